"""What attackers try, in a real Chromium: the token, scripts in every text, and each page's own policy."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest
from playwright.sync_api import Dialog, Page, Request, expect

from browser.conftest import HostSite, Serve
from conftest import HashEmbedder, make_document
from serving import make_assistant
from szqa.assistant import Assistant
from szqa.datatypes import Block, Hit, Span
from szqa.evaluation import Excerpt, QuestionRow
from szqa.feedback import FeedbackStore
from szqa.index import Index
from szqa.report import Run, compare_runs, write_comparison_files, write_run_files
from szqa.retriever import Retriever
from szqa.server import Limits, ServerSettings, make_app
from szqa.text import Segmenter

TOKEN = "correct-horse-battery-staple"
QUESTION = "苏州获评国家级绿色工厂有多少家？"

# Gradio summarises its own events with pandas, in a way that pandas 3 calls deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::pandas.errors.Pandas4Warning")


# -- token -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def closed(serve: Serve, host_site: HostSite) -> str:
    """A server whose API asks for a token."""
    return serve(make_app(make_assistant(), ServerSettings(api_token=TOKEN, allow_origins=(host_site.origin,))))


@pytest.mark.parametrize(("token", "shown"), [(TOKEN, "93家"), ("", "请求没有被接受")])
def test_the_widget_sends_the_token_it_is_given(
    page: Page, host_site: HostSite, closed: str, token: str, shown: str
) -> None:
    body = f'<szqa-chat token="{token}"></szqa-chat><script src="{closed}/widget.js"></script>'
    page.goto(host_site.put("/token", f"<!doctype html><title>宿主</title>{body}"))
    page.locator("szqa-chat textarea").fill(QUESTION)
    page.locator("szqa-chat textarea").press("Enter")
    expect(page.locator("szqa-chat article")).to_contain_text(shown)


def test_an_embedded_page_takes_the_token_from_its_fragment(page: Page, closed: str) -> None:
    page.goto(f"{closed}/embed#token={TOKEN}")
    page.locator("szqa-chat textarea").fill(QUESTION)
    page.locator("szqa-chat textarea").press("Enter")
    expect(page.locator("szqa-chat article")).to_contain_text("93家")


# -- scripts in texts ------------------------------------------------------------------------------------------------

PAYLOADS = (Path(__file__).parent.parent / "data" / "xss.txt").read_text("utf-8").splitlines()
GROUPS = [" ".join(PAYLOADS[first : first + 10]) for first in range(0, len(PAYLOADS), 10)]
# Elements, attributes and addresses that only a text taken for markup can bring, in shadow trees too.
INJECTED = """() => {
  const found = [], roots = [document];
  const tags = /^(iframe|object|embed|math|mglyph|marquee|isindex|audio|video|x|animate|use|meta|base|link|slot)$/;
  const note = (node) => found.push(node.outerHTML.slice(0, 200));
  for (const root of roots) for (const node of root.querySelectorAll("*")) {
    if (node.shadowRoot) roots.push(node.shadowRoot);
    const name = node.localName, ours = node.closest("head");
    if (tags.test(name) && !ours) note(node);
    if (name === "script" && /^\\s*alert/.test(node.textContent)) note(node);
    for (const { name: attribute, value } of node.attributes) {
      const address = /^(href|src|srcdoc|action|formaction|data|xlink:href)$/.test(attribute);
      if (/^on/.test(attribute)) note(node);
      if (address && /^\\s*(javascript|data:text|(https?:)?\\/\\/evil)/i.test(value)) note(node);
    }
  }
  return found.concat(window.ran || []);
}"""
# A call is noted where no dialog would show, as in a hidden tab.
NOTE_CALLS = "window.ran = []; for (const f of ['alert', 'confirm', 'prompt']) window[f] = (x) => ran.push(f + x);"


class EchoReader:
    """Answers with the whole of the best passage, except where it is told not to."""

    reader_id = "echo"
    threshold = 0.5

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        return [] if "不要回答" in question else [Span(hit.passage, 0, len(hit.passage.text), 1.0) for hit in hits]


@pytest.fixture(scope="module")
def evil() -> Assistant:
    """A document for each string: in its title, its name, a heading and its text."""
    documents = []
    for number, payload in enumerate(PAYLOADS):
        document = make_document(
            f"{payload}\n第{number}种写法{payload}", title=payload, source=f"{number}{payload}.txt"
        )
        heading, text = document.blocks
        documents.append(replace(document, blocks=(Block("heading", heading.start, heading.end, 1), text)))
    index = Index.build(documents, embedder=HashEmbedder(), segmenter=Segmenter())
    return Assistant(index, Retriever(index), EchoReader(), threshold=0.5)


@pytest.fixture(scope="module")
def evil_feedback(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evil") / "feedback.sqlite3"


@pytest.fixture(scope="module")
def evil_origin(serve: Serve, evil: Assistant, evil_feedback: Path) -> str:
    limits = Limits(rate="100000/minute")
    return serve(make_app(evil, ServerSettings(feedback=evil_feedback, limits=limits)))


@pytest.fixture
def victim(page: Page) -> Iterator[Page]:
    """A page that fails the test where a dialog opens or another host is asked."""
    noted: list[str] = []

    def dismiss(dialog: Dialog) -> None:
        noted.append(dialog.message)
        dialog.dismiss()

    def note(request: Request) -> None:
        if urlsplit(request.url).hostname not in (None, "", "127.0.0.1"):
            noted.append(request.url)

    page.add_init_script(NOTE_CALLS)
    page.on("dialog", dismiss)
    page.on("request", note)
    yield page
    assert noted == []


def test_the_strings_would_do_harm_if_they_were_markup(victim: Page, host_site: HostSite) -> None:
    victim.goto(host_site.put("/harm", f"<!doctype html><title>宿主</title>{''.join(PAYLOADS[13:40])}"))
    victim.wait_for_function("window.ran.length > 3")
    assert len(victim.evaluate(INJECTED)) > 10


def test_source_pages_show_them_as_text(victim: Page, evil: Assistant, evil_origin: str) -> None:
    assert len(evil.index.documents) == len(PAYLOADS) >= 80
    for document in evil.index.documents.values():
        victim.goto(f"{evil_origin}/source/{document.id}?answer=0-{len(document.title)}")
        assert victim.locator("h1").text_content() == document.title
        assert document.text.split("\n")[1] in (victim.locator("article").text_content() or "")
        assert victim.evaluate(INJECTED) == []


def test_the_index_page_shows_them_as_text(victim: Page, evil_origin: str) -> None:
    for question in GROUPS:
        victim.goto(f"{evil_origin}/index?" + urlencode({"question": question, "passage": question}))
        assert victim.locator("#question").input_value() == question
        assert victim.evaluate(INJECTED) == []
    shown = victim.locator(".documents").text_content() or ""
    assert [payload for payload in PAYLOADS if payload not in shown] == []


def test_the_chat_shows_them_as_text(victim: Page, evil_origin: str, evil_feedback: Path) -> None:
    victim.goto(evil_origin)
    expect(victim.locator("#szqa-question")).to_be_visible(timeout=20_000)
    for number, question in enumerate(GROUPS):
        asked = question if number % 2 else f"不要回答{question}"
        victim.locator("#szqa-question").fill(asked)
        victim.keyboard.press("Enter")
        turn = victim.locator(".turn").nth(number)
        expect(turn.locator(".tools")).to_be_visible()
        assert (turn.locator(".asked").text_content() or "").endswith(asked)
        turn.locator("[data-act=cite], [data-act=passage]").first.click()
        expect(victim.locator(".source .text")).to_be_visible()
        turn.get_by_role("button", name="没有帮助").click()
        turn.locator(".comment input").fill(question)
        turn.get_by_role("button", name="发送").click()
        expect(turn.get_by_text("已记下")).to_be_visible()
        assert victim.evaluate(INJECTED) == []
    assert {one.comment for one in FeedbackStore(evil_feedback)} == set(GROUPS)


def test_the_widget_shows_them_as_text(victim: Page, evil_origin: str) -> None:
    victim.goto(f"{evil_origin}/embed")
    chat = victim.locator("szqa-chat")
    for number, question in enumerate(GROUPS):
        chat.locator("textarea").fill(question if number % 2 else f"不要回答{question}")
        chat.locator("textarea").press("Enter")
        turn = chat.locator("article").nth(number)
        expect(turn.locator(".thumbs")).to_be_visible()
        if not number % 2:
            turn.locator("summary").click()
        assert victim.evaluate(INJECTED) == []
    victim.reload()
    expect(chat.locator(".thumbs")).to_have_count(len(GROUPS))
    assert victim.evaluate(INJECTED) == []


def test_reports_show_them_as_text(victim: Page, tmp_path: Path) -> None:
    rows = tuple(
        QuestionRow(
            id=f"{number}{payload}", question=payload, type=payload, split="test", answers=(payload,),
            candidate=payload, score=0.9, answered=True, candidate_em=1.0, candidate_f1=1.0, cited=(True,),
            shown=Excerpt(payload, payload, 0, len(payload)), gold=(Excerpt(payload, payload),),
        )
        for number, payload in enumerate(PAYLOADS)
    )  # fmt: skip
    old = Run(PAYLOADS[0], GROUPS[1], {payload: payload for payload in PAYLOADS}, rows, threshold=0.5)
    new = replace(old, name=GROUPS[2], rows=tuple(replace(row, candidate="别的", candidate_em=0.0) for row in rows))
    files = write_run_files(old, tmp_path / "run", metrics=old.metrics())
    files += write_comparison_files(compare_runs(old, new), tmp_path / "both", old=old, new=new)
    pages = [path for path in files if path.suffix in (".html", ".svg")]
    assert len([path for path in pages if path.suffix == ".html"]) == 2
    for path in pages:
        victim.goto(path.as_uri())
        assert victim.evaluate(INJECTED.replace("found.concat(window.ran || [])", "found")) == []
        assert victim.evaluate("window.ran") == []


# -- policies --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/index", "/docs", "/embed", "/source/nothing"])
def test_a_script_that_got_into_a_page_would_not_run(page: Page, evil_origin: str, path: str) -> None:
    page.add_init_script(
        "window.blocked = []; addEventListener('securitypolicyviolation', e => blocked.push(e.effectiveDirective));"
    )
    page.goto(evil_origin + path)
    page.wait_for_timeout(500)
    assert page.evaluate("blocked") == [], "the page itself keeps to its policy"
    # Put in the way an attacker would: as markup. What Playwright evaluates is outside of the page's policy.
    page.evaluate(
        """() => {
          const box = document.createElement("div");
          box.innerHTML = "<img src='data:,' onerror='window.pwned = 1'><svg onload='window.pwned = 1'></svg>";
          document.body.append(box);
          const script = document.createElement("script");
          script.textContent = "window.pwned = 1";
          document.body.append(script);
          const frame = document.createElement("iframe");
          frame.srcdoc = "<script>parent.pwned = 1<\\/script>";
          document.body.append(frame);
        }"""
    )
    page.evaluate("fetch('http://127.0.0.1:9/').catch(() => {})")
    for directive in ("script-src-elem", "script-src-attr", "connect-src"):
        page.wait_for_function("directive => blocked.includes(directive)", arg=directive)
    page.wait_for_timeout(500)
    assert page.evaluate("window.pwned") is None
