"""Running the server: logs, metrics, health, an end without loss, and an index exchanged under load."""

import io
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import httpx
import pytest
from starlette.testclient import TestClient

from conftest import ROOT, HashEmbedder, make_document
from serving import ClauseReader, SlowReader, make_assistant, running
from szqa.assistant import Assistant
from szqa.errors import IndexFormatError
from szqa.feedback import FeedbackStore
from szqa.index import Index
from szqa.retriever import Retriever
from szqa.server import Limits, ServerSettings, make_app
from szqa.server.conversation import ChatTurn, Conversation, panel_html
from szqa.server.logs import LOGGER, JsonLines
from szqa.server.records import route_of
from szqa.server.service import BusyError, Service
from szqa.text import Segmenter

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
QUESTION = "苏州获评国家级绿色工厂有多少家？"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What is logged, as it is written."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines(messages=False))
    level = LOGGER.level
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    yield stream
    LOGGER.removeHandler(handler)
    LOGGER.setLevel(level)


def _rows(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


# -- logs ------------------------------------------------------------------------------------------------------------


def test_a_request_and_its_answer_share_an_id(lines: io.StringIO) -> None:
    with TestClient(make_app(make_assistant(), ServerSettings())) as client:
        response = client.post("/api/ask", json={"question": QUESTION})
        client.get("/api/health")
        client.get("/szqa/pages.css")
    answer, request = _rows(lines)
    assert answer["request_id"] == request["request_id"] == response.headers["x-request-id"]
    assert (answer["event"], answer["answered"]) == ("answer", True)
    assert {"wait_ms", "retrieve_ms", "read_ms", "suggest_ms", "total_ms", "score"} <= answer.keys()
    assert (request["event"], request["method"], request["route"], request["status"]) == (
        "request",
        "POST",
        "/api/ask",
        200,
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", str(request["time"]))


def test_an_error_is_told_by_type_and_place_and_not_to_the_client(
    lines: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(f"cannot answer {QUESTION}")

    monkeypatch.setattr(ClauseReader, "read", broken)
    monkeypatch.setattr(Assistant, "search", broken)
    with TestClient(make_app(make_assistant(), ServerSettings())) as client:
        responses = [client.post("/api/ask", json={"question": QUESTION}), client.get("/index?question=a")]
    for response in responses:
        assert response.status_code == 500
        assert response.json()["title"] == "服务器出错 (internal error)"
        assert "RuntimeError" not in response.text
        assert response.headers["x-content-type-options"] == "nosniff"
    errors = [row for row in _rows(lines) if row["event"] == "error"]
    assert [row["error"] for row in errors] == ["builtins.RuntimeError"] * 2
    assert [row["request_id"] for row in errors] == [response.headers["x-request-id"] for response in responses]
    assert "broken" in str(errors[0]["stack"])
    assert "绿色工厂" not in lines.getvalue()


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/ask", "/api/ask"),
        ("/api/documents/abc", "/api/documents/{id}"),
        ("/source/abc", "/source/{id}"),
        ("/api/health/ready", "/api/health/ready"),
        ("/", "chat"),
        ("/gradio_api/queue/join", "chat event"),
        ("/gradio_api/mcp/sse", "mcp"),
        ("/widget.js", "file"),
        ("/widgetXjs", "other"),
        ("/苏州市长是谁", "other"),
        ("/api/苏州市长是谁", "other"),
    ],
)
def test_a_path_is_counted_under_one_of_few_names(path: str, route: str) -> None:
    assert route_of(path) == route


# -- metrics ---------------------------------------------------------------------------------------------------------


def _metrics(client: TestClient) -> dict[str, float]:
    response = client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    rows = [line.rsplit(" ", 1) for line in response.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def test_metrics_count_what_happened() -> None:
    with TestClient(make_app(make_assistant(), ServerSettings(limits=Limits(rate="5/hour")))) as client:
        for question in (QUESTION, QUESTION, "苏州市委书记是谁？", "  "):
            client.post("/api/ask", json={"question": question})
        figures = _metrics(client)
        assert client.post("/api/ask", json={"question": QUESTION}).status_code == 429
    assert figures['szqa_answers_total{outcome="answered"}'] == 2
    assert figures['szqa_answers_total{outcome="abstained"}'] == 1
    assert figures['szqa_requests_total{method="POST",route="/api/ask",status="200"}'] == 3
    assert figures['szqa_requests_total{method="POST",route="/api/ask",status="422"}'] == 1
    for stage in ("wait", "retrieve", "read", "suggest", "total"):
        assert figures[f'szqa_stage_seconds_count{{stage="{stage}"}}'] == 3
    assert figures["szqa_questions_waiting"] == 0
    assert figures["szqa_index_passages"] == len(make_assistant().index.passages)
    assert 0 <= figures["szqa_index_age_seconds"] < 3600
    assert figures["process_resident_memory_bytes"] > 1e6


def test_metrics_are_not_for_everybody() -> None:
    with TestClient(make_app(make_assistant(), ServerSettings(api_token=TOKEN))) as client:
        assert client.get("/metrics").status_code == 401
        assert client.get("/metrics", headers=BEARER).status_code == 200


# -- health and end --------------------------------------------------------------------------------------------------


def test_alive_and_ready_are_told_apart() -> None:
    reader = SlowReader(1.5)
    limits = Limits(max_waiting=1)
    with running(make_app(make_assistant(reader), ServerSettings(limits=limits)), limits) as port:
        url = f"http://127.0.0.1:{port}/api"
        with httpx.Client(trust_env=False, timeout=30) as client:
            assert client.get(f"{url}/health/ready").json() == {"status": "ok"}
            asking = threading.Thread(target=lambda: httpx.post(f"{url}/ask", json={"question": QUESTION}, timeout=30))
            asking.start()
            assert reader.begun.acquire(timeout=10)
            full = client.get(f"{url}/health/ready")
            assert (full.status_code, full.headers["retry-after"]) == (503, "2")
            assert client.get(f"{url}/health/live").status_code == 200
            assert client.get(f"{url}/health").status_code == 200
            asking.join(timeout=20)
            assert client.get(f"{url}/health/ready").status_code == 200


def test_a_closed_service_takes_nothing_and_is_not_ready() -> None:
    service = Service(make_assistant(), None)
    assert service.ready
    service.close()
    assert not service.ready
    with pytest.raises(BusyError):
        service.ask(QUESTION)


SERVER = """
import sys
sys.path.insert(0, "tests")
from serving import SlowReader, make_assistant
from szqa.server import ServerSettings, serve
def report(line):
    print(line, flush=True)
serve(make_assistant(SlowReader(1.0, over="有多少家")), ServerSettings(port=0), report=report)
"""


def test_running_answers_are_finished_before_the_end() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", SERVER],
        cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert process.stdout is not None
    url = re.findall(r"http://[\d.:]+", process.stdout.readline())[0]
    answers: list[int] = []
    begun = threading.Barrier(4)

    def ask() -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            client.get(f"{url}/api/health")
            begun.wait()
            answers.append(client.post(f"{url}/api/ask", json={"question": QUESTION}).status_code)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    begun.wait()
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    late = httpx.get(f"{url}/api/health/ready", trust_env=False)
    for thread in threads:
        thread.join(timeout=60)
    _, log = process.communicate(timeout=60)
    assert answers == [200, 200, 200]
    assert late.status_code == 503
    assert process.returncode in (0, -signal.SIGTERM)
    rows = [json.loads(line) for line in log.splitlines()]
    assert [row["status"] for row in rows if row["event"] == "request" and row["route"] == "/api/ask"] == [200] * 3
    assert not any(row["level"] == "error" for row in rows)


# -- another index ---------------------------------------------------------------------------------------------------


def _edition(count: int) -> Assistant:
    """The same documents, as they might be on another day."""
    documents = [
        make_document(f"苏州获评国家级绿色工厂{count}家、绿色工业园区9家。\n别的话。", title="报告", source="a.txt"),
        make_document(f"第{count}版才有的文档说了{count}万亿元。", title=f"第{count}版", source=f"{count}.txt"),
    ]
    index = Index.build(documents, embedder=HashEmbedder(), segmenter=Segmenter())
    return Assistant(index, Retriever(index), ClauseReader(), threshold=0.5)


def test_no_answer_is_dropped_or_mixed_while_the_index_is_exchanged() -> None:
    editions = {count: _edition(count) for count in (11, 22, 33)}
    turns = cycle([editions[22], editions[33], editions[11]])
    settings = ServerSettings(api_token=TOKEN, limits=Limits(rate="1000000/minute"))
    app = make_app(editions[11], settings, load=lambda: next(turns))
    answers: list[dict[str, object]] = []
    problems: list[str] = []
    done = threading.Event()

    with running(app) as port:
        url = f"http://127.0.0.1:{port}/api"

        def ask() -> None:
            with httpx.Client(trust_env=False, timeout=60, headers=BEARER) as client:
                while not done.is_set():
                    response = client.post(f"{url}/ask", json={"question": QUESTION})
                    if response.status_code == 200:
                        answers.append(response.json())
                    else:
                        problems.append(response.text)

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        created = []
        for _ in range(9):
            time.sleep(0.2)
            response = httpx.post(f"{url}/reload", headers=BEARER, trust_env=False, timeout=60)
            created.append(response.status_code)
        done.set()
        for thread in threads:
            thread.join(timeout=60)
    assert problems == []
    assert created == [200] * 9
    seen = Counter(str(answer["answer"]) for answer in answers)
    assert set(seen) == {"11家", "22家", "33家"}
    for answer in answers:
        count = int(str(answer["answer"])[:2])
        texts = {document.id: document.text for document in editions[count].index.documents.values()}
        cited = answer["citations"]
        read = answer["passages"]
        assert isinstance(cited, list)
        assert isinstance(read, list)
        for citation in cited:
            assert texts[citation["document_id"]][citation["start"] : citation["end"]] == citation["quote"]
        for passage in read:
            assert texts[passage["document_id"]][passage["start"] : passage["end"]] == passage["text"]


def test_an_old_answer_keeps_the_text_and_settings_it_was_given_with(tmp_path: Path) -> None:
    store = FeedbackStore(tmp_path / "feedback.sqlite3")
    old, new = _edition(11), replace(_edition(22), threshold=0.25)
    service = Service(old, store, load=lambda: new)
    reply = service.ask(QUESTION)
    service.reload()
    assert service.assistant is new
    assert service.ask(QUESTION).answer.text == "22家"
    service.rate(reply.id, question=QUESTION, answer="11家", helpful=True)
    (kept,) = store
    assert (kept.answer, kept.settings["threshold"]) == ("11家", "0.5")
    assert {document.text for document in reply.documents.values()} == {
        document.text for document in old.index.documents.values()
    }
    # The side panel of the chat looks the cited text up by the document's id, which is the same in both.
    conversation = Conversation(turns=(ChatTurn(0, QUESTION, reply),))
    html = panel_html(conversation, {"act": "cite", "turn": "0", "n": "1"}, new.index.documents, "zh-CN")
    assert "<mark>11家</mark>" in html


def test_an_index_that_cannot_be_loaded_leaves_the_old_one(lines: io.StringIO) -> None:
    def broken() -> Assistant:
        raise IndexFormatError("索引不完整 (incomplete)")

    with TestClient(make_app(_edition(11), ServerSettings(api_token=TOKEN), load=broken)) as client:
        refused = client.post("/api/reload", headers=BEARER)
        assert refused.status_code == 409
        assert "仍用原来的索引" in refused.json()["detail"]
        assert "索引不完整" in refused.json()["detail"]
        answer = client.post("/api/ask", json={"question": QUESTION}, headers=BEARER).json()
        assert answer["answer"] == "11家"
        assert client.get("/metrics", headers=BEARER).text.count('szqa_reloads_total{outcome="failed"} 1.0') == 1
    assert "reload failed" in lines.getvalue()


def test_without_a_token_nobody_may_reload() -> None:
    with TestClient(make_app(_edition(11), ServerSettings(), load=lambda: _edition(22))) as client:
        assert client.post("/api/reload").status_code == 403
        assert client.get("/api/reload").status_code == 405
        assert client.post("/api/ask", json={"question": QUESTION}).json()["answer"] == "11家"
