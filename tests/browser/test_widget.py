"""The widget in a real Chromium, on a page of another origin than the server it asks."""

import json
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import ConsoleMessage, Locator, Page, Route, expect

from browser.conftest import PHONE, HostSite, NewPage, Serve
from serving import EVIL, make_assistant
from szqa.server import ServerSettings, make_app

ROOT = Path(__file__).parent.parent.parent
WIDGET = ROOT / "src" / "szqa" / "static" / "widget.js"
QUESTION = "苏州获评国家级绿色工厂有多少家？"
FOLLOW_UP = "省级的呢？"
UNKNOWN = "火星上的年平均气温？"
CORS = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}

HOSTILE = """
* { color: red !important; font: 40px/1 serif !important; margin: 30px !important; padding: 20px !important;
    border: 5px dashed lime !important; text-transform: uppercase !important; letter-spacing: 10px !important;
    direction: rtl !important; box-sizing: content-box !important; --bg: red; --accent: red; --text: lime; }
szqa-chat { display: none !important; opacity: .1 !important; transform: rotate(20deg) !important;
    position: static !important; width: 20px !important; visibility: hidden !important; }
html { font-size: 40px; } body { transform: scale(.8); overflow: hidden; filter: blur(2px); }
button, textarea, p, div, section, svg { display: none !important; }
"""


@dataclass(frozen=True, slots=True)
class Servers:
    """The same documents twice: for the host site, and closed to it."""

    allowed: str
    closed: str
    feedback: Path


@pytest.fixture(scope="module")
def servers(serve: Serve, host_site: HostSite, tmp_path_factory: pytest.TempPathFactory) -> Servers:
    feedback = tmp_path_factory.mktemp("widget") / "feedback.sqlite"
    assistant = make_assistant()
    allowed = make_app(assistant, ServerSettings(allow_origins=(host_site.origin,), feedback=feedback))
    return Servers(serve(allowed), serve(make_app(assistant, ServerSettings())), feedback)


def script(server: str, attributes: str = "") -> str:
    return f'<script src="{server}/widget.js" defer {attributes}></script>'


def document(body: str, *, head: str = "") -> str:
    viewport = '<meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html><html lang="zh-CN"><head><meta charset="utf-8">{viewport}<title>宿主</title>{head}</head>'
        f"<body><main><h1>宿主网页</h1><p>正文。</p>{body}</main></body></html>"
    )


@pytest.fixture
def host(host_site: HostSite, servers: Servers) -> Iterator[HostSite]:
    """The host site with the usual pages on it."""
    host_site.put("/floating", document("", head=script(servers.allowed)))
    host_site.put("/inline", document("<szqa-chat></szqa-chat>", head=script(servers.allowed)))
    yield host_site
    host_site.pages.clear()


def ask(chat: Locator, question: str) -> Locator:
    """Ask by typing; gives the last turn once it is answered or has failed."""
    before = chat.locator("article").count()
    chat.locator("textarea").fill(question)
    chat.locator("textarea").press("Enter")
    expect(chat.locator("article")).to_have_count(before + 1)
    turn = chat.locator("article").last
    expect(turn.locator(".wait")).to_have_count(0)
    return turn


def answer_with(page: Page, body: object, *, status: int = 200, headers: dict[str, str] | None = None) -> list[str]:
    """Answer /api/ask in the server's stead; gives the requests' bodies as they come in."""
    asked: list[str] = []

    def handle(route: Route) -> None:
        asked.append(route.request.post_data or "")
        text = body if isinstance(body, str) else json.dumps(body)
        route.fulfill(status=status, body=text, headers={**CORS, **(headers or {})})

    page.route("**/api/ask", handle)
    return asked


def an_answer(text: str | None, **more: object) -> dict[str, object]:
    citation = {
        "n": 1,
        "title": "标题",
        "headings": [],
        "segments": [{"text": text, "highlighted": True}],
        "url": "/source/a",
    }
    return {
        "id": "1",
        "question": "问",
        "understood": "问",
        "answer": text,
        "citations": [citation] if text else [],
        **more,
    }


def test_one_small_file_that_parses_no_html() -> None:
    code = WIDGET.read_text("utf-8")
    assert len(WIDGET.read_bytes()) <= 20_000
    assert (
        re.findall(
            r"\b(?:innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval|new Function|cookie)\b\s*[(=]", code
        )
        == []
    )
    assert re.findall(r"https?://(?!HOST/|www\.w3\.org/2000/svg)\S+", code) == []
    assert re.findall(r"\b(?:import|require)\b\s*[({\"']", code) == []


def test_the_script_alone_adds_a_button_and_answers(page: Page, host: HostSite, servers: Servers) -> None:
    page.goto(f"{host.origin}/floating")
    page.get_by_role("button", name="打开问答").click()
    turn = ask(page.locator("szqa-chat"), QUESTION)
    expect(turn.locator(".a")).to_contain_text("93家")
    expect(turn.locator("mark").first).to_have_text("93家")
    expect(turn.locator("blockquote").first).to_contain_text("苏州获评国家级绿色工厂93家")
    link = turn.locator("figcaption a").first
    expect(link).to_have_text("[1] 苏州报告 › 一、绿色制造")
    expect(link).to_have_attribute("rel", "noopener")
    with page.context.expect_page() as opened:
        link.click()
    source = opened.value
    assert source.url.startswith(f"{servers.allowed}/source/")
    expect(source.locator("mark, :target, .marked").first).to_be_visible()
    expect(source.locator("body")).to_contain_text("国家级绿色工厂93家")
    assert page.evaluate("document.cookie") == ""


def test_follow_up_shows_the_question_as_understood(page: Page, host: HostSite) -> None:
    page.goto(f"{host.origin}/inline")
    chat = page.locator("szqa-chat")
    ask(chat, QUESTION)
    turn = ask(chat, FOLLOW_UP)
    expect(turn.locator(".a")).to_contain_text("325家")
    understood = turn.locator("button.small")
    expect(understood).to_contain_text("理解为：")
    understood.click()
    expect(chat.locator("textarea")).to_have_value(re.compile("省级绿色工厂"))


def test_abstains_plainly_with_passages_and_questions(page: Page, host: HostSite) -> None:
    page.goto(f"{host.origin}/inline")
    chat = page.locator("szqa-chat")
    turn = ask(chat, UNKNOWN)
    expect(turn.locator(".a")).to_have_text("文档中没有找到答案")
    expect(turn.locator("mark")).to_have_count(0)
    turn.locator("summary").click()
    expect(turn.locator("details blockquote").first).to_be_visible()
    asked = answer_with(page, an_answer(None, suggestions=["可以答的问题？"]))
    ask(chat, UNKNOWN).locator(".chip").click()
    expect(chat.locator("article")).to_have_count(3)
    assert json.loads(asked[-1])["question"] == "可以答的问题？"
    assert len(json.loads(asked[-1])["history"]) == 2


def test_feedback_reaches_the_database(page: Page, host: HostSite, servers: Servers) -> None:
    page.goto(f"{host.origin}/inline")
    turn = ask(page.locator("szqa-chat"), QUESTION)
    turn.get_by_role("button", name="没有帮助").click()
    expect(turn.get_by_role("button", name="没有帮助")).to_have_attribute("aria-pressed", "true")
    expect(turn.locator(".thumbs")).to_contain_text("谢谢反馈")
    with sqlite3.connect(servers.feedback) as database:
        rows = database.execute("SELECT asked, answer, helpful FROM feedback").fetchall()
    database.close()
    assert (QUESTION, "93家", 0) in rows
    page.route("**/api/feedback", lambda route: route.abort())
    turn.get_by_role("button", name="有帮助", exact=True).click()
    expect(turn.locator(".thumbs")).to_contain_text("连不上")
    expect(turn.get_by_role("button", name="没有帮助")).to_have_attribute("aria-pressed", "true")


def test_several_on_one_page_keep_their_own_conversations(page: Page, host: HostSite, servers: Servers) -> None:
    body = '<szqa-chat title="甲"></szqa-chat><szqa-chat title="乙"></szqa-chat><szqa-chat floating open></szqa-chat>'
    url = host.put("/three", document(body, head=script(servers.allowed)))
    page.goto(url)
    first, second, third = (page.locator("szqa-chat").nth(number) for number in range(3))
    ask(first, QUESTION)
    ask(third, UNKNOWN)
    page.goto(host.put("/elsewhere", document("")))
    page.goto(url)
    expect(first.locator(".a")).to_contain_text("93家")
    expect(second.locator("article")).to_have_count(0)
    expect(third.locator(".q")).to_have_text(UNKNOWN)
    first.get_by_role("button", name="清空对话").click()
    expect(first.locator("textarea")).to_be_focused()
    page.reload()
    expect(first.locator("article")).to_have_count(0)
    expect(third.locator("article")).to_have_count(1)


def test_a_site_that_is_not_allowed_is_told_so_and_may_retry(page: Page, host: HostSite, servers: Servers) -> None:
    page.goto(host.put("/refused", document("<szqa-chat></szqa-chat>", head=script(servers.closed))))
    page.evaluate("""() => { window.seen = [];
        window.addEventListener("error", () => seen.push("window"));
        document.querySelector("szqa-chat").addEventListener("error", (event) => seen.push(event.detail.kind)); }""")
    turn = ask(page.locator("szqa-chat"), QUESTION)
    expect(turn.get_by_role("alert")).to_contain_text("连不上问答服务")
    assert page.evaluate("seen") == ["away"]
    answer_with(page, an_answer("好了"))
    turn.get_by_role("button", name="重试").click()
    expect(turn.locator(".a")).to_contain_text("好了")
    expect(page.locator("szqa-chat article")).to_have_count(1)


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (422, {"detail": "问题太长 (too long)"}, "请求没有被接受。"),
        (500, "<html>oops", "服务出错了。"),
        (200, "<html>proxy", "服务出错了。"),
        (200, {"answer": 7, "citations": [None, 3], "passages": "x"}, None),
    ],
)
def test_failures_have_words(page: Page, host: HostSite, status: int, body: object, message: str | None) -> None:
    page.goto(f"{host.origin}/inline")
    answer_with(page, body, status=status)
    turn = ask(page.locator("szqa-chat"), QUESTION)
    if message is None:
        expect(turn.locator(".a")).to_contain_text("7")
    else:
        expect(turn.get_by_role("alert")).to_have_text(message)
    if isinstance(body, dict) and "detail" in body:
        expect(turn).to_contain_text("问题太长")


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_only_after_its_time(page: Page, host: HostSite, status: int) -> None:
    page.clock.install()
    page.goto(f"{host.origin}/inline")
    answer_with(page, {"detail": "忙"}, status=status, headers={"Retry-After": "3"})
    turn = ask(page.locator("szqa-chat"), QUESTION)
    expect(turn.get_by_role("alert")).to_contain_text("稍后再试")
    expect(turn.locator(".chip")).to_be_disabled()
    page.clock.run_for(3500)
    expect(turn.locator(".chip")).to_have_text("重试")
    expect(turn.locator(".chip")).to_be_enabled()


def test_waiting_ends_by_time_or_by_the_user(page: Page, host: HostSite) -> None:
    page.clock.install()
    page.goto(f"{host.origin}/inline")
    asked: list[Route] = []
    page.route("**/api/ask", lambda route: asked.append(route))
    chat = page.locator("szqa-chat")
    chat.locator("textarea").fill("一")
    chat.locator("textarea").press("Enter")
    expect(chat.locator(".wait")).to_be_visible()
    chat.locator("textarea").fill("二")
    for _ in range(3):
        chat.locator("textarea").press("Enter")
    expect(chat.locator("article")).to_have_count(1)
    expect(chat.locator("textarea")).to_have_value("二")
    page.clock.run_for(31_000)
    expect(chat.get_by_role("alert")).to_have_text("等了很久仍没有回答。")
    chat.locator("textarea").press("Enter")
    expect(chat.locator(".wait")).to_be_visible()
    chat.get_by_role("button", name="停止").click()
    expect(chat.get_by_role("alert").last).to_have_text("已停止。")
    assert len(asked) == 2


def test_enter_of_an_input_method_does_not_send(page: Page, host: HostSite) -> None:
    page.goto(f"{host.origin}/inline")
    asked = answer_with(page, an_answer("好"))
    box = page.locator("szqa-chat textarea")
    box.fill("苏州")
    for event in ("{key: 'Enter', isComposing: true}", "{key: 'Enter', keyCode: 229}"):
        box.evaluate(
            f"box => box.dispatchEvent(new KeyboardEvent('keydown', {{...{event}, bubbles: true, composed: true}}))"
        )
    box.press("Shift+Enter")
    expect(box).to_have_value("苏州\n")
    assert asked == []
    box.press("Enter")
    expect(page.locator("szqa-chat .a")).to_contain_text("好")
    assert len(asked) == 1


def test_by_keyboard_alone(page: Page, host: HostSite) -> None:
    page.goto(f"{host.origin}/floating")
    page.evaluate("window.keys = []; document.addEventListener('keydown', event => keys.push(event.key))")
    chat = page.locator("szqa-chat")
    page.keyboard.press("Tab")
    expect(chat.locator(".fab")).to_be_focused()
    page.keyboard.press("Enter")
    expect(chat.locator("textarea")).to_be_focused()
    expect(chat.get_by_role("dialog", name="文档问答")).to_be_visible()
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    expect(chat.locator(".sr")).to_have_text("93家")
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(page.evaluate("document.activeElement.tagName"))
    assert set(seen) == {"SZQA-CHAT"}
    chat.locator(".send").focus()
    page.keyboard.press("Tab")
    expect(chat.get_by_role("button", name="清空对话")).to_be_focused()
    page.keyboard.press("Shift+Tab")
    expect(chat.locator(".send")).to_be_focused()
    page.keyboard.press("Escape")
    expect(chat.locator(".fab")).to_be_focused()
    expect(chat.locator(".panel")).to_be_hidden()
    assert page.evaluate("keys") == ["Tab"]


GEOMETRY = """chat => [...chat.shadowRoot.querySelectorAll('*')].map(node => {
    const {x, y, width, height} = node.getBoundingClientRect();
    const {color, fontSize, display, letterSpacing, backgroundColor} = getComputedStyle(node);
    return [node.tagName, x, y, width, height, color, fontSize, display, letterSpacing, backgroundColor].join(' ');
})"""


def test_css_of_the_host_page_stays_outside(new_page: NewPage, host: HostSite, servers: Servers) -> None:
    looks = []
    for name, style in (("/calm", ""), ("/hostile", f"<style>{HOSTILE}</style>")):
        page = new_page()
        page.goto(host.put(name, document("", head=script(servers.allowed) + style)))
        chat = page.locator("szqa-chat")
        chat.locator(".fab").click()
        ask(chat, QUESTION)
        looks.append(chat.evaluate(GEOMETRY))
        assert chat.evaluate("chat => getComputedStyle(chat).opacity + getComputedStyle(chat).visibility") == "1visible"
    assert looks[0] == looks[1]


def test_the_widget_leaves_the_host_page_alone(page: Page, host: HostSite, servers: Servers) -> None:
    body = "<h2>标题</h2><p>段落<button>按钮</button><input></p><table><tr><td>格</td></tr></table>"
    rects = """() => [...document.querySelectorAll('main *')].map(node => {
        const box = node.getBoundingClientRect(); const style = getComputedStyle(node);
        return [box.x, box.y, box.width, box.height, style.color, style.font].join(' '); })"""
    page.goto(host.put("/without", document(body)))
    before, names = page.evaluate(rects), set(page.evaluate("Object.keys(window)"))
    page.goto(host.put("/with", document(body, head=script(servers.allowed))))
    expect(page.locator("szqa-chat .fab")).to_be_visible()
    page.locator("szqa-chat .fab").click()
    assert page.evaluate(rects) == before
    assert set(page.evaluate("Object.keys(window)")) - names == {"szqa"}
    assert page.evaluate("document.adoptedStyleSheets.length + document.styleSheets.length") == 0


def test_markup_in_questions_documents_and_settings_stays_text(page: Page, host: HostSite, servers: Servers) -> None:
    page.on("dialog", lambda dialog: pytest.fail(f"script ran: {dialog.message}"))
    page.goto(host.put("/evil", document("", head=script(servers.allowed, "data-manual"))))
    page.evaluate("evil => szqa.init({title: evil, greeting: evil, starters: [evil], open: true, lang: evil})", EVIL)
    chat = page.locator("szqa-chat")
    expect(chat.locator("h2")).to_have_text(EVIL)
    expect(chat.locator(".chip")).to_have_text(EVIL)
    turn = ask(chat, f"坏文档标题的脚本是什么？{EVIL}")
    expect(turn.locator(".q")).to_contain_text(EVIL)
    evil = an_answer(EVIL, understood=EVIL, passages=[], suggestions=[EVIL])
    evil["citations"] = [
        {"n": EVIL, "title": EVIL, "headings": [EVIL], "url": "javascript:alert(1)", "segments": [{"text": EVIL}]}
    ]
    answer_with(page, evil)
    turn = ask(chat, "再问")
    expect(turn.locator(".a")).to_contain_text(EVIL)
    expect(turn.locator("figcaption a")).to_have_attribute("href", f"{servers.allowed}/javascript:alert(1)")
    assert chat.locator("script, img, iframe").count() == 0


def test_a_strict_content_security_policy_is_enough(page: Page, host: HostSite, servers: Servers) -> None:
    sources = f"default-src 'none'; script-src {servers.allowed}; connect-src {servers.allowed}"
    policy = f"{sources}; require-trusted-types-for 'script'"
    violations: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text and "favicon" not in message.text:
            violations.append(message.text)

    page.on("console", note)
    head = script(servers.allowed, 'data-theme="accent:#b00020" data-zindex="7" data-open')
    page.goto(host.put("/strict", document("<szqa-chat></szqa-chat>", head=head), {"Content-Security-Policy": policy}))
    chat = page.locator("szqa-chat")
    expect(ask(chat, QUESTION).locator(".a")).to_contain_text("93家")
    expect(chat.locator(".panel")).to_have_css("border-radius", "16px")
    assert violations == []


def test_dark_mode_and_motion(new_page: NewPage, host: HostSite) -> None:
    page = new_page(color_scheme="dark", reduced_motion="no-preference")
    page.goto(f"{host.origin}/inline")
    chat = page.locator("szqa-chat")
    expect(chat.locator(".panel")).to_have_css("background-color", "rgb(23, 25, 30)")
    chat.evaluate("chat => chat.setAttribute('scheme', 'light')")
    expect(chat.locator(".panel")).to_have_css("background-color", "rgb(255, 255, 255)")
    page.route("**/api/ask", lambda _: None)
    chat.locator("textarea").fill("问")
    chat.locator("textarea").press("Enter")
    expect(chat.locator(".wait")).to_have_css("animation-name", "wait")
    page.emulate_media(reduced_motion="reduce")
    expect(chat.locator(".wait")).to_have_css("animation-name", "none")


def test_a_phone_is_filled(new_page: NewPage, host: HostSite) -> None:
    page = new_page(viewport=PHONE)
    page.goto(f"{host.origin}/floating")
    chat = page.locator("szqa-chat")
    chat.locator(".fab").click()
    ask(chat, QUESTION)
    assert chat.locator(".panel").bounding_box() == {"x": 0, "y": 0, **PHONE}
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    page.goto(f"{host.origin}/inline")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_long_words_other_directions_and_emoji(new_page: NewPage, host: HostSite) -> None:
    page = new_page(viewport=PHONE)
    page.goto(f"{host.origin}/floating")
    chat = page.locator("szqa-chat")
    chat.locator(".fab").click()
    text = "مرحبا بالعالم 👩‍👩‍👧‍👦𠮷" + "W" * 400
    answer_with(page, an_answer(text))
    turn = ask(chat, text)
    expect(turn.locator("mark")).to_have_text(text)
    expect(turn.locator(".a")).to_have_css("direction", "rtl")
    assert chat.locator(".log").evaluate("log => log.scrollWidth - log.clientWidth") == 0


@pytest.mark.parametrize(
    ("locale", "placeholder"),
    [("zh-CN", "输入问题"), ("zh-TW", "輸入問題"), ("en-GB", "Ask a question"), ("fr", "Ask a question")],
)
def test_language_follows_the_browser(new_page: NewPage, host: HostSite, locale: str, placeholder: str) -> None:
    page = new_page(locale=locale)
    page.goto(f"{host.origin}/inline")
    expect(page.get_by_placeholder(placeholder)).to_be_visible()


def test_options_methods_and_events(page: Page, host: HostSite, servers: Servers) -> None:
    page.goto(host.put("/init", document('<div id="here"></div>', head=script(servers.allowed))))
    expect(page.locator("szqa-chat")).to_have_count(1)
    page.evaluate("""() => {
        window.seen = [];
        for (const type of ["open", "answer"]) document.addEventListener(type, event => seen.push(type));
        window.chat = szqa.init({title: "问", lang: "en", scheme: "dark", position: "top-left", zIndex: 42,
            theme: "accent:rgb(1, 2, 3);width:300px", starters: ["一？", "二？"]});
        window.inside = szqa.init({target: "#here", question: "苏州获评国家级绿色工厂有多少家？"});
    }""")
    floating, inside = page.locator("szqa-chat[floating]"), page.locator("#here szqa-chat")
    expect(page.locator("szqa-chat")).to_have_count(2)
    expect(inside.locator(".a")).to_contain_text("93家")
    expect(floating).to_have_css("z-index", "42")
    expect(floating.locator(".fab")).to_have_css("background-color", "rgb(1, 2, 3)")
    page.evaluate("chat.open()")
    expect(floating.get_by_placeholder("Ask a question")).to_be_focused()
    expect(floating.locator(".chip")).to_have_text(["一？", "二？"])
    box = floating.bounding_box()
    assert box is not None and (box["x"], box["y"], box["width"]) == (20, 20, 300)
    result = page.evaluate("chat.ask('苏州获评国家级绿色工厂有多少家？')")
    assert result["answer"] == "93家"
    assert page.evaluate("Promise.all([chat.ask('苏州获评省级绿色工厂有多少家？'), chat.ask('再问')])")[1] is None
    page.evaluate("chat.clear(); chat.close()")
    expect(floating.locator("article")).to_have_count(0)
    expect(floating.locator(".fab")).to_be_visible()
    assert page.evaluate("seen") == ["answer", "open", "answer", "answer"]


def test_without_storage_the_page_itself_remembers(page: Page, host: HostSite) -> None:
    page.add_init_script(
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new DOMException('closed'); }})"
    )
    page.goto(f"{host.origin}/inline")
    chat = page.locator("szqa-chat")
    expect(ask(chat, QUESTION).locator(".a")).to_contain_text("93家")
    chat.evaluate("chat => document.body.append(chat)")
    expect(chat.locator("article")).to_have_count(1)


def test_the_frame_is_for_allowed_sites(page: Page, host: HostSite, servers: Servers) -> None:
    frames = "".join(
        f'<iframe src="{server}/embed" title="问答"></iframe>' for server in (servers.allowed, servers.closed)
    )
    page.goto(host.put("/frames", document(frames)))
    chat = page.frame_locator("iframe >> nth=0").locator("szqa-chat")
    expect(ask(chat, QUESTION).locator(".a")).to_contain_text("93家")
    expect(page.frame_locator("iframe >> nth=1").locator("szqa-chat")).to_have_count(0)


def test_the_example_page(page: Page, host: HostSite, servers: Servers) -> None:
    example = (ROOT / "examples" / "embed.html").read_text("utf-8").replace("http://127.0.0.1:7860", servers.allowed)
    page.goto(host.put("/example", example))
    expect(page.locator("szqa-chat")).to_have_count(2)
    ask(page.locator("szqa-chat#report"), QUESTION)
    expect(page.locator("#last")).to_have_text("93家")
    page.locator("#worse").click()
    expect(page.locator("szqa-chat#report .panel")).to_be_visible()
    page.locator("szqa-chat[floating] .fab").click()
    expect(page.get_by_role("dialog", name="制造业问答")).to_be_visible()


def serious_violations(page: Page) -> list[tuple[str, str]]:
    """What axe-core calls serious or critical, with the first element at fault."""
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run().then(results => results.violations)")
    serious = [violation for violation in found if violation["impact"] in ("serious", "critical")]
    return [(violation["id"], violation["nodes"][0]["html"]) for violation in serious]


# axe cannot tell colours in the floating panel from the page's beneath it, so it judges them inline.
@pytest.mark.parametrize("path", ["/floating", "/inline"])
@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(new_page: NewPage, host: HostSite, color_scheme: str, path: str) -> None:
    page = new_page(color_scheme=color_scheme)
    page.goto(f"{host.origin}{path}")
    chat = page.locator("szqa-chat")
    assert serious_violations(page) == []
    if path == "/floating":
        chat.locator(".fab").click()
    ask(chat, QUESTION)
    ask(chat, FOLLOW_UP)
    ask(chat, UNKNOWN).locator("summary").click()
    answer_with(page, {"detail": "忙"}, status=503)
    ask(chat, QUESTION)
    assert serious_violations(page) == []
