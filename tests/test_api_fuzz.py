"""Whatever is sent, the server answers: no 500, no traceback, and every citation verbatim.

`make test` tries a few hundred cases; `pytest -m long` more than ten thousand, which is counted.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Literal

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from requests import Request
from schemathesis import Case
from schemathesis.core.result import Ok
from starlette.testclient import TestClient

from conftest import ROOT
from serving import FACTORY_TEXT, make_assistant
from szqa.assistant import Assistant
from szqa.dialogue import Turn, standalone
from szqa.errors import QuestionError
from szqa.server import Limits, ServerSettings, make_app

SHORT = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


def _long(cases: int) -> settings:
    return settings(SHORT, max_examples=cases)


# -- what is sent ----------------------------------------------------------------------------------------------------

# Words of the documents, question words, and the characters that break things, put together at random.
WORDS = (
    *FACTORY_TEXT.split("。"),
    *("多少家", "是谁", "那", "呢", "？", "省级", "国家级", "它", "Ａ１", "𠮷野家", "ﷺ", "👨‍👩‍👧", "苏" * 300),
    *("\u202e", "\u200b", "\ufeff", "\x00", "\ud800", "\r\n"),
    *("'; DROP TABLE feedback; --", "../../etc/passwd", "{{7*7}}", "%s%n"),
)
anything = st.text(st.characters(exclude_categories=()), max_size=60)
texts = st.lists(st.one_of(st.sampled_from(WORDS), anything), min_size=1, max_size=5).map("".join)
turns = st.fixed_dictionaries({"question": texts}, optional={"answer": st.none() | texts})
askings = st.fixed_dictionaries({"question": texts}, optional={"history": st.lists(turns, max_size=22)})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
fields = st.sampled_from(["question", "history", "answer", "id", "helpful", "comment", "extra"])
bodies = st.one_of(values, st.dictionaries(fields, values, max_size=6)).map(lambda value: json.dumps(value).encode())
opinions = st.fixed_dictionaries(
    {"id": texts, "question": texts, "helpful": st.booleans()}, optional={"answer": st.none() | texts, "comment": texts}
)
sound = st.one_of(askings, opinions).map(lambda value: json.dumps(value).encode())
raw = st.one_of(bodies, st.binary(max_size=300), sound)
endpoints = st.sampled_from(["/api/ask", "/api/feedback", "/api/reload", "/api/documents", "/gradio_api/queue/join"])
kinds = st.sampled_from(
    ["application/json", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=gbk"]
)


# -- what must hold --------------------------------------------------------------------------------------------------


class Counted:
    """A client that counts what it has sent and judges what comes back."""

    def __init__(self, client: TestClient, assistant: Assistant) -> None:
        self.client = client
        self.texts = {document.id: document.text for document in assistant.index.documents.values()}
        self.cases = 0

    def post(self, path: str, body: bytes, kind: str = "application/json") -> None:
        self.cases += 1
        response = self.client.post(path, content=body, headers={"Content-Type": kind})
        check(response.status_code, response.headers, response.text)
        if path == "/api/ask" and response.status_code == 200:
            verbatim(response.json(), self.texts)


def check(status: int, headers: Mapping[str, str], text: str) -> None:
    assert status < 500, text
    assert "Traceback" not in text
    if status >= 400 and not headers["content-type"].startswith("text/html"):
        kind = headers["content-type"]
        assert kind in ("application/problem+json", "application/json"), kind


def verbatim(row: dict[str, object], texts: Mapping[str, str]) -> None:
    citations, passages = row["citations"], row["passages"]
    assert isinstance(citations, list)
    assert isinstance(passages, list)
    assert (row["answer"] is None) == (citations == [])
    for place in (*citations, *passages):
        shown = place.get("quote", place.get("text"))
        assert texts[place["document_id"]][place["start"] : place["end"]] == shown
        assert "".join(piece["text"] for piece in place["segments"]) == shown
    if citations:
        first = citations[0]
        assert texts[first["document_id"]][first["answer_start"] : first["answer_end"]] == row["answer"]


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return make_assistant()


@pytest.fixture(scope="module")
def server(assistant: Assistant, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    limits = Limits(rate="1000000/second")
    feedback = tmp_path_factory.mktemp("fuzz") / "feedback.sqlite3"
    app = make_app(assistant, ServerSettings(feedback=feedback, limits=limits))
    with TestClient(app, raise_server_exceptions=False) as client:
        yield Counted(client, assistant)


def _questions(server: Counted, chosen: settings) -> None:
    @chosen
    @given(body=askings)
    def ask(body: dict[str, object]) -> None:
        server.post("/api/ask", json.dumps(body).encode())

    ask()


def _bodies(server: Counted, chosen: settings) -> None:
    @chosen
    @given(path=endpoints, body=raw, kind=kinds)
    def send(path: str, body: bytes, kind: str) -> None:
        server.post(path, body, kind)

    send()


def _operations(server: Counted, chosen: settings) -> None:
    """Schemathesis makes requests from the OpenAPI document, valid ones and invalid ones."""
    schema = schemathesis.openapi.from_dict(server.client.get("/openapi.json").json())
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    assert len(operations) >= 9
    for operation in operations:
        for mode in schemathesis.GenerationMode:

            @chosen
            @given(case=operation.as_strategy(generation_mode=mode))
            def call(case: "Case[Any]") -> None:
                server.cases += 1
                request = Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
                body = request.body or b""
                assert isinstance(body, str | bytes)
                assert request.method is not None
                assert request.url is not None
                sent = {
                    name.encode("latin-1"): value if isinstance(value, bytes) else value.encode("latin-1")
                    for name, value in request.headers.items()
                    if name.lower() != "content-length"
                }
                response = server.client.request(request.method, request.url, content=body, headers=sent)
                check(response.status_code, response.headers, response.text)

            # What takes no parameter cannot be called wrongly.
            with suppress(Unsatisfiable):
                call()


def _pages(server: Counted, chosen: settings) -> None:
    @chosen
    @given(
        page=st.sampled_from(["/index", "/source/x", "/api/documents/"]), question=texts, passage=texts, language=texts
    )
    def open_page(page: str, question: str, passage: str, language: str) -> None:
        server.cases += 1
        query = {"question": question.encode("utf-8", "replace"), "passage": passage.encode("utf-8", "replace")}
        header = {b"Accept-Language": language.encode("utf-8", "replace").translate(None, b"\r\n\0")}
        response = server.client.get(page, params=query, headers=header)
        check(response.status_code, response.headers, response.text)

    open_page()


Fuzz = Callable[[Counted, settings], None]
FUZZES: tuple[tuple[Fuzz, int], ...] = ((_questions, 4800), (_bodies, 4200), (_pages, 1200), (_operations, 60))


@pytest.mark.parametrize("fuzz", [fuzz for fuzz, _ in FUZZES])
def test_a_few_hundred_cases(server: Counted, fuzz: Fuzz) -> None:
    fuzz(server, settings(SHORT, max_examples=15) if fuzz is _operations else SHORT)


@pytest.mark.long
def test_more_than_ten_thousand_cases(server: Counted, record_testsuite_property: Callable[[str, int], None]) -> None:
    server.cases = 0
    for fuzz, cases in FUZZES:
        fuzz(server, _long(cases))
    record_testsuite_property("fuzz_cases", server.cases)
    assert server.cases >= 10_000


# -- the shipped models ----------------------------------------------------------------------------------------------


def _shipped(assistant: Assistant, chosen: settings) -> None:
    documents = assistant.index.documents

    @chosen
    @given(question=texts, history=st.lists(st.tuples(texts, st.none() | texts), max_size=5))
    def ask(question: str, history: list[tuple[str, str | None]]) -> None:
        before = [Turn(asked, answer) for asked, answer in history]
        try:
            answer = assistant.ask(standalone(question, before, segmenter=assistant.index.segmenter))
        except QuestionError:
            return
        assert 0 <= answer.score <= 1
        assert (answer.text is None) == (answer.citations == ())
        for citation in answer.citations:
            assert documents[citation.document_id].text[citation.start : citation.end] == citation.quote
        if answer.text is not None:
            assert answer.citations[0].answer == answer.text

    ask()


@pytest.fixture(scope="module")
def shipped() -> Assistant:
    from szqa.corpus import load_corpus, user_dictionary
    from szqa.embedder import load_embedder
    from szqa.index import Index
    from szqa.text import Segmenter

    segmenter = Segmenter(user_dictionary(ROOT / "corpus"))
    documents = load_corpus(ROOT / "corpus")
    return Assistant.over(Index.build(documents, embedder=load_embedder(None, segmenter), segmenter=segmenter))


@pytest.mark.parametrize("size", ["short", pytest.param("long", marks=pytest.mark.long)])
def test_the_shipped_models_answer_whatever_is_asked(shipped: Assistant, size: Literal["short", "long"]) -> None:
    _shipped(shipped, _long(1000) if size == "long" else settings(SHORT, max_examples=25))
