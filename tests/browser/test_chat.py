"""The chat page in a real Chromium: what a visitor sees, clicks, types and hears."""

import json
import sqlite3
import threading
from asyncio import to_thread
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Locator, Page, expect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from typer.testing import CliRunner

from browser.conftest import PHONE, NewPage, Serve
from serving import EVIL, SlowReader, make_assistant
from szqa.cli import app as cli
from szqa.dialogue import Turn
from szqa.feedback import Feedback, FeedbackStore
from szqa.server import ServerSettings, make_app
from szqa.server.conversation import Conversation, view
from szqa.server.service import Reply, Service
from szqa.strings import Language

# Gradio summarises its own events with pandas, in a way that pandas 3 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")

QUESTION = "苏州有多少家国家级绿色工厂？"
FOLLOW_UP = "那省级的呢？"


@pytest.fixture(scope="module")
def feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chat") / "feedback.sqlite3"


@pytest.fixture(scope="module")
def origin(serve: Serve, feedback: Path) -> str:
    return serve(make_app(make_assistant(), ServerSettings(feedback=feedback)))


@pytest.fixture
def chat(page: Page, origin: str) -> Iterator[Page]:
    yield _open(page, origin)


def _open(page: Page, origin: str) -> Page:
    page.goto(origin)
    # The first page of a new server imports pandas and tries its questions: 5 s alone, 20 s and more beside other work.
    expect(page.locator(".welcome .chips button").first).to_be_visible(timeout=60_000)
    return page


def _ask(page: Page, question: str) -> Locator:
    """Type a question and wait for its turn."""
    before = page.locator(".turn").count()
    page.locator("#szqa-question").fill(question)
    page.keyboard.press("Enter")
    turn = page.locator(".turn").nth(before)
    expect(turn.locator(".tools")).to_be_visible()
    return turn


def _held_back(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Events: an opinion has arrived at the store; let it be written."""
    arrived, let = threading.Event(), threading.Event()
    add = FeedbackStore.add

    def slow(store: FeedbackStore, feedback: Feedback) -> None:
        arrived.set()
        assert let.wait(60)
        add(store, feedback)

    monkeypatch.setattr(FeedbackStore, "add", slow)
    return arrived, let


def _in_view(page: Page, selector: str) -> bool:
    return bool(
        page.evaluate(
            """selector => {
              const box = document.querySelector(selector).getBoundingClientRect();
              const at = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
              return Boolean(at?.closest(selector));
            }""",
            selector,
        )
    )


def test_answer_first_then_its_sentence_and_source(chat: Page) -> None:
    turn = _ask(chat, QUESTION)
    expect(turn.locator(".answer")).to_have_text("93家")
    expect(turn.locator("blockquote")).to_have_text("苏州获评国家级绿色工厂93家、绿色工业园区9家。")
    expect(turn.locator("blockquote mark")).to_have_text("93家")
    expect(turn.locator(".citations a")).to_have_text("苏州报告 › 一、绿色制造")
    sizes = [
        turn.locator(part).evaluate("node => parseFloat(getComputedStyle(node).fontSize)")
        for part in (".answer", "blockquote")
    ]
    assert sizes[0] > 1.5 * sizes[1]


def test_a_citation_opens_the_source_at_the_highlighted_characters(chat: Page) -> None:
    turn = _ask(chat, QUESTION)
    number = turn.get_by_role("button", name="打开出处 1")
    number.click()
    panel = chat.get_by_role("region", name="苏州报告")
    expect(panel.locator("mark")).to_have_text("93家")
    expect(panel.locator(".here")).to_have_text("苏州获评国家级绿色工厂93家、绿色工业园区9家。")
    expect(panel.locator(".path")).to_have_text("一、绿色制造")
    assert _in_view(chat, ".source mark")
    expect(panel.locator("#szqa-source-title")).to_be_focused()
    chat.keyboard.press("Escape")
    expect(panel).to_be_hidden()
    expect(number).to_be_focused()


def test_a_closed_citation_opens_again(chat: Page) -> None:
    number = _ask(chat, QUESTION).get_by_role("button", name="打开出处 1")
    for _ in range(2):
        number.click()
        expect(chat.locator(".source mark")).to_be_visible()
        expect(chat.locator("#szqa-source-title")).to_be_focused()
        chat.keyboard.press("Escape")
        expect(chat.locator(".source")).to_be_hidden()


def test_the_whole_source_opens_at_the_place(chat: Page) -> None:
    turn = _ask(chat, QUESTION)
    with chat.context.expect_page() as opened:
        turn.locator(".citations a").click()
    source = opened.value
    source.wait_for_load_state()
    assert urlsplit(source.url).path.startswith("/source/")
    expect(source.locator("mark")).to_have_text("93家")
    expect(source.locator(":target")).to_have_text("苏州获评国家级绿色工厂93家、绿色工业园区9家。")


def test_a_follow_up_is_understood_shown_and_editable(chat: Page) -> None:
    _ask(chat, QUESTION)
    turn = _ask(chat, FOLLOW_UP)
    expect(turn.locator(".answer")).to_have_text("325家")
    expect(turn.locator(".understood summary")).to_contain_text("理解为：苏州有多少家省级绿色工厂？")
    turn.locator(".understood summary").click()
    turn.locator(".understood input").fill("2024年苏州规模以上工业总产值是多少？")
    turn.get_by_role("button", name="按此重新提问").click()
    expect(chat.locator(".turn")).to_have_count(2)
    expect(chat.locator(".turn").nth(1).locator(".answer")).to_have_text("4.68万亿元")


def test_abstention_says_so_and_offers_what_can_be_answered(chat: Page) -> None:
    turn = _ask(chat, "市委书记是谁？")
    expect(turn.locator(".none")).to_have_text("文档中没有找到答案。")
    expect(turn.locator(".answer")).to_have_count(0)
    expect(turn.get_by_text("可能相关的段落")).to_be_visible()
    chips = turn.locator(".chips button")
    assert 1 <= chips.count() <= 3
    chips.first.click()
    expect(chat.locator(".turn").nth(1).locator(".answer")).to_be_visible()


def test_a_related_passage_opens_and_says_why(chat: Page) -> None:
    turn = _ask(chat, "市委书记的绿色工厂是谁？")
    turn.locator(".related button").first.click()
    expect(chat.locator(".source .here").first).to_be_visible()
    with chat.context.expect_page() as opened:
        turn.get_by_role("link", name="为何命中").first.click()
    expect(opened.value.locator(".hit.chosen")).to_contain_text("BM25")
    expect(opened.value.locator(".hit.chosen .word").first).to_be_visible()


def test_feedback_is_stored_with_question_answer_evidence_and_settings(chat: Page, feedback: Path) -> None:
    turn = _ask(chat, QUESTION)
    up = turn.get_by_role("button", name="有帮助", exact=True)
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(up).to_be_focused()
    turn.get_by_label("想说明一下吗").fill("完全正确")
    turn.get_by_role("button", name="发送").click()
    expect(turn.get_by_text("已记下")).to_be_visible()
    rows = sqlite3.connect(feedback).execute(
        "SELECT question, answer, helpful, evidence, settings FROM feedback WHERE comment = '完全正确'"
    )
    ((question, answer, helpful, evidence, settings),) = rows.fetchall()
    rows.connection.close()
    assert (question, answer, helpful) == (QUESTION, "93家", 1)
    assert "苏州获评国家级绿色工厂93家" in evidence
    assert '"threshold"' in settings
    exported = CliRunner().invoke(cli, ["feedback", "export", str(feedback)])
    lines = [json.loads(line) for line in exported.stdout.splitlines()]
    (line,) = (line for line in lines if line["draft"]["comment"] == "完全正确")
    assert (line["question"], line["answers"], line["evidence"][0]["source"]) == (QUESTION, ["93家"], "suzhou.txt")


def test_a_question_asked_while_an_opinion_is_written_is_kept(chat: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    arrived, let = _held_back(monkeypatch)
    up = _ask(chat, QUESTION).get_by_role("button", name="有帮助", exact=True)
    up.click()
    assert arrived.wait(60)
    second = _ask(chat, FOLLOW_UP)
    third = _ask(chat, "市委书记是谁？")
    expect(up).to_have_attribute("aria-pressed", "false")
    let.set()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(second.locator(".answer")).to_have_text("325家")
    expect(third.locator(".none")).to_be_visible()
    expect(chat.locator(".turn")).to_have_count(3)


def test_a_view_that_was_overtaken_is_not_shown(chat: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, let = threading.Event(), threading.Event()

    def slow(name: str, language: Language, conversation: Conversation | None = None, **more: tuple[str, ...]) -> str:
        html = view(name, language, conversation, **more)
        if conversation and [turn.helpful for turn in conversation.turns] == [True]:
            drawn.set()
            assert let.wait(60)
        return html

    up = _ask(chat, QUESTION).get_by_role("button", name="有帮助", exact=True)
    with monkeypatch.context() as patch:
        patch.setattr("szqa.server.chat.view", slow)
        up.click()
        assert drawn.wait(60)
    second = _ask(chat, FOLLOW_UP)
    expect(up).to_have_attribute("aria-pressed", "true")
    with chat.expect_event("console", lambda message: message.text == "overtaken view arrived"):
        chat.evaluate(
            """() => new MutationObserver(() => {
              if (document.querySelectorAll('.turn').length === 1) console.log('overtaken view arrived');
            }).observe(document.querySelector('#szqa-conversation'), {childList: true, subtree: true})"""
        )
        let.set()
    expect(chat.locator(".turn")).to_have_count(2)
    expect(second.locator(".answer")).to_have_text("325家")


class LateClosing:
    """An application whose word that a stream of Gradio's events is closed arrives late: when it is let."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.closing = threading.Event()
        self.let = threading.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_late(message: Message) -> None:
            if b'"close_stream"' in message.get("body", b""):
                self.closing.set()
                assert await to_thread(self.let.wait, 60)
            await send(message)

        await self._app(scope, receive, send_late)


def test_a_question_asked_while_the_stream_of_events_closes_is_answered_once(page: Page, serve: Serve) -> None:
    reader = SlowReader(0)
    late = LateClosing(make_app(make_assistant(reader), ServerSettings()))
    _open(page, serve(late))
    assert late.closing.wait(60)
    tried = len(reader.read_questions)
    # The server has closed the stream, the page does not know it yet, and waits there for what becomes of this.
    with page.expect_response(lambda response: "/queue/join" in response.url):
        page.locator("#szqa-question").fill(QUESTION)
        page.keyboard.press("Enter")
    for _ in range(tried + 1):
        assert reader.begun.acquire(timeout=60)
    late.let.set()
    expect(page.locator(".turn .answer")).to_have_text("93家")
    _ask(page, FOLLOW_UP)
    expect(page.locator(".turn")).to_have_count(2)
    assert len(reader.read_questions) - tried == 2


def test_a_question_that_the_server_turned_away_is_sent_again(chat: Page) -> None:
    turn = _ask(chat, QUESTION)
    chat.route("**/queue/join*", lambda route: route.fulfill(status=503, json={"detail": "busy"}), times=1)
    _ask(chat, FOLLOW_UP)
    expect(turn.locator(".answer")).to_have_text("93家")
    expect(chat.locator(".turn")).to_have_count(2)


def test_an_opinion_that_arrives_late_leaves_the_focus_where_the_visitor_types(
    chat: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrived, let = _held_back(monkeypatch)
    up = _ask(chat, QUESTION).get_by_role("button", name="有帮助", exact=True)
    up.click()
    assert arrived.wait(60)
    box = chat.locator("#szqa-question")
    box.fill(FOLLOW_UP)
    let.set()
    expect(up).to_have_attribute("aria-pressed", "true")
    _drawn(chat)
    expect(box).to_be_focused()
    chat.keyboard.press("Enter")
    expect(chat.locator(".turn").nth(1).locator(".answer")).to_have_text("325家")


def _drawn(page: Page) -> None:
    """Wait for what the page does behind a new view: its script runs in the frame after."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_an_opinion_that_cannot_be_kept_says_so(
    chat: Page, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    turn = _ask(chat, QUESTION)
    up = turn.get_by_role("button", name="有帮助", exact=True)
    with monkeypatch.context() as patch:
        patch.setattr(FeedbackStore, "add", full)
        up.click()
        expect(turn.get_by_role("alert")).to_have_text("没能记下您的反馈，请重试。")
    expect(up).to_have_attribute("aria-pressed", "false")
    up.click()
    expect(up).to_have_attribute("aria-pressed", "true")
    expect(turn.get_by_role("alert")).to_have_count(0)


def test_copy_retry_undo_and_clear(chat: Page) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    turn = _ask(chat, QUESTION)
    turn.get_by_role("button", name="复制").click()
    expect(turn.get_by_role("button", name="已复制")).to_be_visible()
    assert chat.evaluate("navigator.clipboard.readText()") == "93家"
    turn.evaluate("turn => turn.setAttribute('data-old', '')")  # the turn of before shows the same answer
    turn.get_by_role("button", name="重试").click()
    expect(chat.locator(".turn:not([data-old]) .tools")).to_be_visible()
    expect(turn.locator(".answer")).to_have_text("93家")
    expect(chat.locator(".turn")).to_have_count(1)
    turn.get_by_role("button", name="撤回").click()
    expect(chat.locator(".turn")).to_have_count(0)
    expect(chat.locator("#szqa-question")).to_have_value(QUESTION)
    _ask(chat, QUESTION)
    chat.get_by_role("button", name="清空对话").click()
    expect(chat.locator(".welcome")).to_be_visible()


def test_examples_are_answered(chat: Page) -> None:
    chat.locator(".welcome .chips button").first.click()
    expect(chat.locator(".turn .answer")).to_be_visible()


def test_an_empty_question_is_not_sent_and_a_composition_is_not_cut_short(chat: Page) -> None:
    box = chat.locator("#szqa-question")
    box.fill("   ")
    box.press("Enter")
    box.fill("苏州")
    box.evaluate(
        "box => box.dispatchEvent(new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    box.press("Shift+Enter")
    expect(box).to_have_value("苏州\n")
    expect(chat.locator(".turn")).to_have_count(0)


def test_by_keyboard_alone(chat: Page) -> None:
    _ask(chat, QUESTION)
    reached = []
    chat.evaluate("document.activeElement.blur()")
    for _ in range(25):
        chat.keyboard.press("Tab")
        reached.append(chat.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText"))
        if reached[-1] == "打开出处 1":
            break
    assert reached[-1] == "打开出处 1", reached
    outline = chat.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    chat.keyboard.press("Enter")
    expect(chat.locator(".source mark")).to_be_visible()
    chat.keyboard.press("Tab")
    expect(chat.get_by_role("button", name="关闭")).to_be_focused()
    chat.keyboard.press("Enter")
    expect(chat.get_by_role("button", name="打开出处 1")).to_be_focused()


def test_answers_are_announced(chat: Page) -> None:
    _ask(chat, QUESTION)
    expect(chat.locator("#szqa-live")).to_have_text("答案：93家")
    assert chat.locator("#szqa-live").get_attribute("role") == "status"


def test_a_phone_shows_everything_without_scrolling_sideways(new_page: NewPage, origin: str) -> None:
    page = _open(new_page(viewport=PHONE), origin)
    turn = _ask(page, QUESTION)
    _ask(page, "坏文档标题的脚本")
    _ask(page, "很长的词" * 30)
    tall = page.evaluate("[...document.querySelectorAll('.number')].map(node => node.offsetHeight)")
    assert max(tall) < 40, "a number is on one line, however long the title beside it"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert page.evaluate("Math.max(...[...document.querySelectorAll('.log *')].map(n => n.scrollWidth))") <= 360
    turn.get_by_role("button", name="打开出处 1").click()
    expect(page.locator(".source mark")).to_be_visible()
    box = page.locator("#szqa-panel").bounding_box()
    assert box == {"x": 0, "y": 0, "width": PHONE["width"], "height": PHONE["height"]}
    assert _in_view(page, ".source mark")


def test_dark_mode_follows_the_system(new_page: NewPage, origin: str) -> None:
    page = _open(new_page(color_scheme="dark"), origin)
    _ask(page, QUESTION)
    page.get_by_role("button", name="打开出处 1").click()
    background, text, source = (
        page.locator(place).first.evaluate(f"node => getComputedStyle(node).{name}")
        for place, name in (("#szqa", "backgroundColor"), (".answer", "color"), (".source .is-prose", "color"))
    )
    assert sum(_rgb(background)) < 150
    assert sum(_rgb(text)) > 600
    assert sum(_rgb(source)) > 600


def _rgb(value: str) -> list[int]:
    return [int(part) for part in value[value.index("(") + 1 : -1].split(",")[:3]]


@pytest.mark.parametrize(
    ("locale", "title", "ask", "none"),
    [
        ("zh-CN", "文档问答", "提问", "文档中没有找到答案。"),
        ("zh-TW", "文件問答", "提問", "文件中沒有找到答案。"),
        ("en-US", "Ask the documents", "Ask", "The documents do not say."),
    ],
)
def test_the_interface_speaks_the_browsers_language(
    new_page: NewPage, origin: str, locale: str, title: str, ask: str, none: str
) -> None:
    page = _open(new_page(locale=locale), origin)
    expect(page.get_by_role("heading", level=1)).to_have_text(title)
    expect(page.locator("#szqa-composer button")).to_have_text(ask)
    expect(_ask(page, "市委书记是谁？").locator(".none")).to_have_text(none)
    assert page.evaluate("document.documentElement.lang") == locale.replace("en-US", "en")


def test_what_tries_to_be_markup_is_shown_as_text(chat: Page) -> None:
    turn = _ask(chat, f"坏文档标题的脚本是什么？{EVIL}")
    expect(turn.locator(".asked")).to_contain_text(EVIL)
    second = _ask(chat, "坏文档标题的脚本")
    expect(second).to_contain_text("<script>alert('x')</script>")
    second.locator("[data-act=cite], [data-act=passage]").first.click()
    expect(chat.locator(".source")).to_contain_text(EVIL)
    assert chat.locator("#szqa img, #szqa script").count() == 0


def test_the_page_says_how_to_embed_it(chat: Page, origin: str) -> None:
    chat.locator(".embed summary").click()
    expect(chat.locator(".embed code")).to_have_text(f'<script src="{origin}/widget.js" defer></script>')


def test_nothing_is_fetched_from_another_host(page: Page, origin: str) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    _open(page, origin)
    _ask(page, QUESTION)
    for path in ("/docs", "/index", "/embed"):
        page.goto(origin + path)
    page.wait_for_load_state("networkidle")
    elsewhere = [url for url in asked if not url.startswith((origin, "data:", "blob:"))]
    assert elsewhere == []
    assert page.context.cookies() == []


def test_an_error_nobody_foresaw_leaves_a_message(
    page: Page, serve: Serve, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    app = make_app(make_assistant(), ServerSettings())
    _open(page, serve(app))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr("szqa.server.service.Service.ask", broken)
    turn = _ask(page, QUESTION)
    expect(turn.locator(".problem")).to_have_text("出了点问题，没有得到回答。")
    monkeypatch.undo()
    turn.get_by_role("button", name="重试").click()
    expect(turn.locator(".answer")).to_have_text("93家")


def test_a_server_out_of_reach_is_said_and_the_question_kept(chat: Page) -> None:
    _ask(chat, QUESTION)
    chat.context.set_offline(True)
    chat.locator("#szqa-question").fill(FOLLOW_UP)
    chat.keyboard.press("Enter")
    expect(chat.get_by_role("alert")).to_contain_text("连不上服务器")
    expect(chat.locator("#szqa-question")).to_have_value(FOLLOW_UP)
    expect(chat.locator(".turn")).to_have_count(1)
    expect(chat.get_by_text("Connection to the server was lost")).to_be_hidden()
    # Gradio sends nothing more from this page, even where the server is back.
    chat.context.set_offline(False)
    chat.locator("#szqa-question").press("Enter")
    expect(chat.locator("#szqa-question")).to_have_value("")
    expect(chat.get_by_role("alert")).to_contain_text("请稍后刷新网页")
    chat.reload()
    expect(chat.locator("#szqa-question")).to_have_value(FOLLOW_UP)


def test_what_is_looked_for_shows_at_once_and_is_said(chat: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    let = threading.Event()
    ask = Service.ask

    def slow(service: Service, question: str, history: Sequence[Turn] = (), *, verbatim: bool = False) -> Reply:
        assert let.wait(60)
        return ask(service, question, history, verbatim=verbatim)

    monkeypatch.setattr(Service, "ask", slow)
    chat.locator("#szqa-question").fill(QUESTION)
    chat.keyboard.press("Enter")
    expect(chat.locator(".turn .asked")).to_contain_text(QUESTION)
    expect(chat.locator(".pending .bone").first).to_be_visible()
    expect(chat.locator("#szqa-live")).to_have_text("正在查找原文…")
    let.set()
    expect(chat.locator(".answer")).to_have_text("93家")
    expect(chat.locator(".pending")).to_have_count(0)


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(new_page: NewPage, origin: str, color_scheme: Literal["light", "dark"]) -> None:
    page = _open(new_page(color_scheme=color_scheme), origin)
    assert _violations(page) == []
    _ask(page, QUESTION).get_by_role("button", name="有帮助", exact=True).click()
    _ask(page, FOLLOW_UP)
    _ask(page, "市委书记是谁？")
    page.locator("[data-act=cite]").first.click()
    expect(page.locator(".source mark")).to_be_visible()
    assert _violations(page) == []
    for path in ("/index?question=绿色工厂", "/docs"):
        page.goto(origin + path)
        assert _violations(page) == []
    page.goto(origin)


def _violations(page: Page) -> list[str]:
    """What axe-core calls serious or critical, with the first element at fault."""
    # A page's own policy keeps scripts out that are put into it; what is evaluated here is not.
    page.evaluate((files("axe_playwright_python") / "axe.min.js").read_text("utf-8"))
    found = page.evaluate("axe.run().then(results => results.violations)")
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    return [f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0]['failureSummary']}" for one in serious]
