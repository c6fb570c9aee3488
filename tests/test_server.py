"""The server without a browser: API, pages, CORS, and what it refuses."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving import EVIL, make_assistant
from szqa.assistant import Assistant
from szqa.dialogue import Turn
from szqa.errors import ConfigurationError
from szqa.feedback import FeedbackStore
from szqa.server import ServerSettings, make_app, serve
from szqa.server.conversation import Conversation, panel_html, view
from szqa.server.pages import source_blocks
from szqa.server.service import BusyError, Reply, Service
from szqa.server.starters import questions_about
from szqa.server.visit import Visit
from szqa.strings import LANGUAGES, WORDS, language_of

QUESTION = "苏州获评国家级绿色工厂有多少家？"
ALLOWED = "https://site.example"


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return make_assistant()


@pytest.fixture(scope="module")
def feedback_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("feedback") / "feedback.sqlite3"


@pytest.fixture(scope="module")
def client(assistant: Assistant, feedback_path: Path) -> Iterator[TestClient]:
    app = make_app(assistant, ServerSettings(allow_origins=(ALLOWED,), feedback=feedback_path))
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as opened:
        yield opened


def _ask(client: TestClient, question: str, **more: object) -> dict[str, object]:
    response = client.post("/api/ask", json={"question": question, **more})
    assert response.status_code == 200, response.text
    row = response.json()
    assert isinstance(row, dict)
    return row


# -- answers ---------------------------------------------------------------------------------------------------------


def test_answer(client: TestClient, assistant: Assistant) -> None:
    row = client.post("/api/ask", json={"question": QUESTION}).json()
    assert row["answer"] == "93家"
    assert row["question"] == row["understood"] == QUESTION
    assert row["suggestions"] == []
    citation = row["citations"][0]
    text = assistant.index.documents[citation["document_id"]].text
    assert text[citation["answer_start"] : citation["answer_end"]] == "93家"
    assert citation["segments"] == [
        {"text": "苏州获评国家级绿色工厂", "highlighted": False},
        {"text": "93家", "highlighted": True},
        {"text": "、绿色工业园区9家。", "highlighted": False},
    ]
    assert citation["url"] == f"/source/{citation['document_id']}#c{citation['start']}-{citation['end']}"
    for passage in row["passages"]:
        assert "".join(piece["text"] for piece in passage["segments"]) == passage["text"]


def test_follow_up_is_completed_from_the_history(client: TestClient) -> None:
    row = _ask(client, "那省级的呢？", history=[{"question": QUESTION, "answer": "93家"}])
    assert row["understood"] == "苏州获评省级绿色工厂有多少家？"
    assert row["question"] == "那省级的呢？"
    assert row["answer"] == "325家"


def test_abstention_suggests_questions_that_are_answered(client: TestClient) -> None:
    row = _ask(client, "苏州市委书记是谁？")
    assert row["answer"] is None
    assert row["citations"] == []
    suggestions = row["suggestions"]
    assert isinstance(suggestions, list)
    assert 1 <= len(suggestions) <= 3
    for suggestion in suggestions:
        assert _ask(client, suggestion)["answer"] is not None


def test_documents_health_and_info(client: TestClient, assistant: Assistant) -> None:
    rows = client.get("/api/documents").json()
    assert [row["source"] for row in rows] == ["suzhou.txt", "evil.txt"]
    whole = client.get(f"/api/documents/{rows[0]['id']}").json()
    assert whole["text"] == assistant.index.documents[rows[0]["id"]].text
    assert whole["characters"] == len(whole["text"])
    assert client.get("/api/health").json() == {"status": "ok"}
    info = client.get("/api/info").json()
    assert (info["documents"], info["passages"]) == (2, len(assistant.index.passages))
    assert info["settings"]["reader"] == "clauses"
    assert info["examples"]


# -- feedback --------------------------------------------------------------------------------------------------------


def test_feedback_keeps_question_answer_evidence_and_settings(client: TestClient, feedback_path: Path) -> None:
    row = _ask(client, "那省级的呢？", history=[{"question": QUESTION, "answer": "93家"}])
    body = {"id": row["id"], "question": "别的", "answer": "别的", "helpful": False, "comment": "应为三百"}
    assert client.post("/api/feedback", json=body).status_code == 201
    kept = next(one for one in FeedbackStore(feedback_path) if one.answer_id == row["id"])
    assert (kept.asked, kept.question, kept.answer) == ("那省级的呢？", "苏州获评省级绿色工厂有多少家？", "325家")
    assert (kept.helpful, kept.comment) == (False, "应为三百")
    assert [source.quote for source in kept.evidence] == ["苏州获评省级绿色工厂325家。"]
    assert kept.settings["threshold"] == "0.5"


def test_feedback_on_a_forgotten_answer_is_kept_as_sent(client: TestClient, feedback_path: Path) -> None:
    body = {"id": "gone", "question": "几家？", "answer": None, "helpful": True}
    assert client.post("/api/feedback", json=body).status_code == 201
    kept = next(one for one in FeedbackStore(feedback_path) if one.answer_id == "gone")
    assert (kept.question, kept.answer, kept.evidence) == ("几家？", None, ())


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, "question: 缺少 (missing)"),
        ({"question": ""}, "question: 是空的 (empty)"),
        ({"question": "   "}, "问题是空的"),
        ({"question": "苏" * 1001}, "question: 太长 (too long)"),
        ({"question": 3}, "question: 应为字符串"),
        ({"question": "甲", "history": [{"question": "乙"}] * 21}, "history: 太多"),
        ({"question": "甲", "history": [{"answer": "乙"}]}, "history.0.question: 缺少"),
        ({"question": "甲", "extra": 1}, "extra: 没有这个字段"),
    ],
)
def test_invalid_questions(client: TestClient, body: dict[str, object], expected: str) -> None:
    response = client.post("/api/ask", json=body)
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    row = response.json()
    assert (row["status"], row["title"]) == (422, "请求内容不对 (invalid request)")
    assert expected in row["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/api/ask", 405),
        ("PUT", "/api/documents", 405),
        ("DELETE", "/api/documents/x", 405),
        ("GET", "/api/nothing", 404),
        ("GET", "/api/documents/nothing", 404),
        ("GET", "/nothing", 404),
        ("GET", "/gradio_api/file=/etc/passwd", 404),
        ("GET", "/gradio_api/file/etc/passwd", 404),
        ("POST", "/gradio_api/upload", 404),
        ("GET", "/gradio_api/proxy=https://example.com", 404),
        ("GET", "/monitoring", 404),
        ("POST", "/gradio_api/run/ask", 404),
    ],
)
def test_what_does_not_exist_is_a_problem(client: TestClient, method: str, path: str, status: int) -> None:
    response = client.request(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["status"] == status
    assert "(" in response.json()["title"]
    if status == 405:
        assert response.headers["allow"]


def test_not_json_and_too_large(client: TestClient) -> None:
    text = client.post("/api/ask", content='{"question": "甲"}'.encode(), headers={"content-type": "text/plain"})
    assert text.status_code == 422
    broken = client.post("/api/ask", content=b"{", headers={"content-type": "application/json"})
    assert "JSON" in broken.json()["detail"]
    large = client.post("/api/ask", content=b"x" * 1_000_001, headers={"content-type": "application/json"})
    assert large.status_code == 413
    assert large.json()["status"] == 413


# -- other sites -----------------------------------------------------------------------------------------------------


def test_cors_allows_the_listed_site_only(client: TestClient) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    allowed = client.options("/api/ask", headers={"Origin": ALLOWED, **asked})
    assert allowed.headers["access-control-allow-origin"] == ALLOWED
    assert "access-control-allow-credentials" not in allowed.headers
    refused = client.options("/api/ask", headers={"Origin": "https://other.example", **asked})
    assert refused.status_code == 400
    assert "access-control-allow-origin" not in refused.headers
    page = client.get("/config", headers={"Origin": "https://other.example"})
    assert "access-control-allow-origin" not in page.headers


def test_without_an_origin_nobody_is_allowed(assistant: Assistant) -> None:
    with TestClient(make_app(assistant, ServerSettings())) as client:
        for path in ("/api/health", "/config", "/"):
            assert "access-control-allow-origin" not in client.get(path, headers={"Origin": ALLOWED}).headers
        assert "frame-ancestors 'self'" in client.get("/embed").headers["content-security-policy"]


def test_frames(client: TestClient) -> None:
    assert client.get("/embed").headers["content-security-policy"].endswith(f"frame-ancestors 'self' {ALLOWED}")
    for path in ("/", "/index", "/docs"):
        assert "frame-ancestors 'self'" in client.get(path).headers["content-security-policy"]


def test_no_cookies(client: TestClient) -> None:
    for path in ("/", "/index", "/embed", "/api/health", "/widget.js", "/config"):
        assert "set-cookie" not in client.get(path).headers


@pytest.mark.parametrize(
    "origin",
    ["*", "https://*.example.com", "example.com", "https://example.com/", "https://example.com/a", "ftp://a", "null",
     "https://a b", "https://a;script-src *", "https://user@example.com", "https://a:99999"],
)  # fmt: skip
def test_what_is_not_an_origin_is_refused(origin: str) -> None:
    with pytest.raises(ConfigurationError, match="--allow-origin"):
        ServerSettings(allow_origins=(origin,))


def test_every_site_has_to_be_asked_for_by_name() -> None:
    settings = ServerSettings(allow_origins=("any",))
    assert settings.cors_origins == ["*"]
    assert settings.frame_ancestors == "*"
    plain = ServerSettings(allow_origins=("https://example.com", "http://localhost:8000", "http://[::1]:80"))
    assert plain.cors_origins == ["https://example.com", "http://localhost:8000", "http://[::1]:80"]


# -- pages -----------------------------------------------------------------------------------------------------------


def test_source_page_shows_all_characters_and_no_markup(client: TestClient, assistant: Assistant) -> None:
    for document in assistant.index.documents.values():
        page = client.get(f"/source/{document.id}")
        assert page.status_code == 200
        assert "<script>" not in page.text
        assert "<img" not in page.text
        shown = "\n".join(
            "".join(piece.text for row in block.rows for piece in row.pieces) for block in source_blocks(document)
        )
        assert shown == document.text


def test_source_page_marks_the_answer(client: TestClient) -> None:
    row = client.post("/api/ask", json={"question": QUESTION}).json()
    citation = row["citations"][0]
    path, _, fragment = citation["url"].partition("#")
    page = client.get(path, params={"answer": f"{citation['answer_start']}-{citation['answer_end']}"}).text
    assert f'id="{fragment}"' in page
    assert page.count("<mark>93家</mark>") == 1
    assert client.get(path, params={"answer": "x-1"}).status_code == 200
    assert client.get(path, params={"answer": "5-999999999999"}).status_code == 200
    assert client.get("/source/nothing").status_code == 404


def test_index_page_says_why(client: TestClient, assistant: Assistant) -> None:
    page = client.get("/index", params={"question": QUESTION, "passage": assistant.index.passages[0].id})
    assert page.status_code == 200
    assert "BM25" in page.text
    assert '<span class="word">绿色</span>' in page.text
    assert 'class="hit chosen"' in page.text
    assert "<script>" not in client.get("/index", params={"question": EVIL}).text
    assert "问题是空的" in client.get("/index", params={"question": " "}).text


@pytest.mark.parametrize(("header", "word"), [("zh-TW,zh;q=0.9", "文件"), ("en-US", "Documents"), ("", "文档")])
def test_pages_speak_the_visitors_language(client: TestClient, header: str, word: str) -> None:
    assert word in client.get("/index", headers={"Accept-Language": header}).text


def test_pages_need_nothing_from_another_host(client: TestClient) -> None:
    for path in ("/docs", "/index", "/embed"):
        text = client.get(path).text
        assert "https://" not in text
        assert "//cdn" not in text
    assert "default-src 'none'" in client.get("/docs").headers["content-security-policy"]


def test_api_page_names_every_endpoint(client: TestClient) -> None:
    text = client.get("/docs").text
    for endpoint in ("POST /api/ask", "GET /api/documents/{document_id}", "POST /api/feedback", "GET /api/info"):
        assert endpoint in text
    assert set(client.get("/openapi.json").json()["paths"]) >= {"/api/ask", "/api/health"}


# -- conversation ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service(assistant: Assistant) -> Service:
    return Service(assistant, None)


def _after(visit: Visit, service: Service, **values: object) -> Conversation:
    return list(visit.after(values, service, "zh-CN"))[-1]


def _ids(visit: Visit) -> list[str]:
    return [str(turn.id) for turn in visit.now.turns]


def _answers(visit: Visit) -> list[str | None]:
    return [turn.reply.answer.text if turn.reply else None for turn in visit.now.turns]


def test_asking_shows_the_question_before_the_answer(service: Service) -> None:
    first, second = Visit().after({"act": "ask", "question": QUESTION}, service, "zh-CN")
    assert first.turns[0].pending
    assert second.turns[0].reply is not None
    assert second.turns[0].reply.answer.text == "93家"
    assert second.version > first.version


def test_retry_undo_rephrase_and_clear(service: Service) -> None:
    visit = Visit()
    _after(visit, service, act="ask", question=QUESTION)
    _after(visit, service, act="ask", question="那省级的呢？")
    first, second = _ids(visit)
    assert _answers(visit) == ["93家", "325家"]
    _after(visit, service, act="retry", turn=second)
    assert [turn.asked for turn in visit.now.turns] == [QUESTION, "那省级的呢？"]
    assert _answers(visit) == ["93家", "325家"]
    _after(visit, service, act="rephrase", turn=_ids(visit)[1], question=QUESTION)
    assert _answers(visit) == ["93家", "93家"]
    _after(visit, service, act="rephrase", turn=first, question="苏州获评省级绿色工厂有多少家？")
    assert _answers(visit) == ["93家", "93家", "325家"]
    _after(visit, service, act="undo", turn=_ids(visit)[-1])
    assert _answers(visit) == ["93家", "93家"]
    _after(visit, service, act="clear")
    assert visit.now.turns == ()


@pytest.mark.parametrize(
    "values",
    [{}, {"act": "vote"}, {"act": "vote", "turn": "9"}, {"act": "retry", "turn": "-1"}, {"act": "ask"},
     {"act": "ask", "question": "  "}, {"act": "comment", "turn": "1"}, {"act": "rephrase", "turn": {"a": 1}},
     {"act": "undo"}, {"act": ["ask"], "question": 5}],
)  # fmt: skip
def test_nonsense_from_a_browser_changes_nothing(service: Service, values: dict[str, object]) -> None:
    visit = Visit()
    before = _after(visit, service, act="ask", question=QUESTION)
    assert list(visit.after(values, service, "zh-CN"))[-1] == visit.now == before


def test_problems_are_shown_in_their_place(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    long = _after(Visit(), service, act="ask", question="苏" * 1001)
    assert "1001" in long.turns[0].problem

    def busy(*_: object, **__: object) -> Reply:
        raise BusyError("忙")

    monkeypatch.setattr(service, "ask", busy)
    for language in LANGUAGES:
        now = list(Visit().after({"act": "ask", "question": "几家？"}, service, language))[-1]
        assert now.turns[0].problem == WORDS[language].busy
        assert WORDS[language].busy in view("conversation", language, now)


def test_whatever_is_said_is_shown_as_text(service: Service) -> None:
    visit = Visit()
    _after(visit, service, act="ask", question=f"坏文档标题的脚本{EVIL}")
    _after(visit, service, act="ask", question=EVIL)
    pages = [view("conversation", language, visit.now) for language in LANGUAGES]
    pages += [
        panel_html(visit.now, {"act": act, "turn": "1", "n": "1"}, service.assistant.index.documents, "zh-CN")
        for act in ("cite", "passage")
    ]
    for html in pages:
        assert html
        assert "<script" not in html
        assert "<img" not in html
        # Gradio fills texts into templates of its own.
        assert not set("{}$`\\") & set(html)
    assert "&lt;script&gt;" in pages[0]


def test_panel_shows_the_cited_place(service: Service) -> None:
    now = _after(Visit(), service, act="ask", question=QUESTION)
    documents = service.assistant.index.documents
    html = panel_html(now, {"act": "cite", "turn": "1", "n": "1"}, documents, "zh-CN")
    assert "<mark>93家</mark>" in html
    assert "一、绿色制造" in html
    assert html.count("sentence here") == 1
    assert panel_html(now, {"act": "cite", "turn": "1", "n": "9"}, documents, "zh-CN") == ""
    assert panel_html(now, {"act": "cite", "turn": "7", "n": "1"}, documents, "zh-CN") == ""


# -- starting --------------------------------------------------------------------------------------------------------


def test_a_port_in_use_is_a_clear_error(assistant: Assistant) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match="--port"):
            serve(assistant, ServerSettings(port=port), report=pytest.fail)


def test_questions_about_a_passage_have_their_answer_in_it(assistant: Assistant) -> None:
    passage = assistant.index.passages[0]
    pairs = questions_about(passage, assistant.index.segmenter)
    assert ("苏州获评省级绿色工厂多少家？", "325家") in pairs
    for question, answer in pairs:
        assert answer in passage.text
        assert answer not in question


@pytest.mark.parametrize(
    ("header", "language"),
    [(None, "zh-CN"), ("", "zh-CN"), ("fr", "zh-CN"), ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"), ("zh-TW", "zh-TW"),
     ("zh-Hant-HK", "zh-TW"), ("en-GB,zh-CN;q=0.5", "en"), ("fr,en;q=0.3,zh;q=0.9", "zh-CN"), ("en;q=x", "en"),
     (";;,,=", "zh-CN")],
)  # fmt: skip
def test_language_of(header: str | None, language: str) -> None:
    assert language_of(header) == language


def test_words_are_there_in_every_language() -> None:
    for language in LANGUAGES:
        for name in WORDS[language].__slots__:
            assert getattr(WORDS[language], name).strip(), (language, name)
            assert getattr(WORDS[language], name).count("{}") == getattr(WORDS["zh-CN"], name).count("{}")


def test_history_is_limited_to_the_last_turns(service: Service) -> None:
    history = [Turn("无关的问题有多少家？")] * 30 + [Turn(QUESTION, "93家")]
    assert service.ask("那省级的呢？", history).understood == "苏州获评省级绿色工厂有多少家？"


def test_openapi_is_plain_json(client: TestClient) -> None:
    assert json.loads(client.get("/openapi.json").text)["info"]["title"] == "szqa"
