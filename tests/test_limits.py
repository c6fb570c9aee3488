"""Limits of the server, over real connections where it is connections that are limited."""

import json
import socket
import threading
import time

import httpx
import pytest
from starlette.testclient import TestClient

from conftest import HashEmbedder, make_document
from serving import ClauseReader, SlowReader, make_assistant, running
from szqa.assistant import Assistant
from szqa.errors import ConfigurationError
from szqa.index import Index
from szqa.retriever import Retriever
from szqa.server import Limits, ServerSettings, make_app
from szqa.server.rates import Rates, client_key
from szqa.text import Segmenter

QUESTION = "苏州获评国家级绿色工厂有多少家？"
ALLOWED = "https://site.example"


@pytest.fixture(scope="module")
def assistant() -> Assistant:
    return make_assistant()


def _client(assistant: Assistant, limits: Limits) -> TestClient:
    return TestClient(make_app(assistant, ServerSettings(allow_origins=(ALLOWED,), limits=limits)))


def _request(body: bytes, *, length: int | None = None, extra: str = "") -> bytes:
    head = f"POST /api/ask HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{extra}"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def _ask_body(question: str = QUESTION) -> bytes:
    return json.dumps({"question": question}).encode()


def _ask(port: int) -> httpx.Response:
    url = f"http://127.0.0.1:{port}/api/ask"
    return httpx.post(url, json={"question": QUESTION}, trust_env=False, timeout=30)


def _read_all(connection: socket.socket) -> bytes:
    """Everything until the other end closes; a reset is an end too."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionResetError:
        pass
    return received


# -- rate ------------------------------------------------------------------------------------------------------------


def test_a_client_that_asks_too_often_is_told_when_to_come_again(assistant: Assistant) -> None:
    with _client(assistant, Limits(rate="3/hour")) as client:
        statuses = [client.get("/api/documents").status_code for _ in range(4)]
        refused = client.post("/api/ask", json={"question": QUESTION}, headers={"Origin": ALLOWED})
        assert statuses == [200, 200, 200, 429]
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "application/problem+json"
        assert 3500 <= int(refused.headers["retry-after"]) <= 3600
        assert refused.json()["title"] == "请求太频繁 (too many requests)"
        # A page of another site can read why.
        assert refused.headers["access-control-allow-origin"] == ALLOWED
        assert "retry-after" in refused.headers["access-control-expose-headers"].lower()
        for path in ("/api/health", "/widget.js", "/szqa/pages.css", "/"):
            assert client.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/index?question=a", "/source/x", "/gradio_api/queue/join", "/api/feedback"])
def test_whatever_costs_something_is_counted(assistant: Assistant, path: str) -> None:
    with _client(assistant, Limits(rate="1/hour")) as client:
        client.get("/api/info")
        assert client.post(path).status_code == 429


def test_the_window_moves_on() -> None:
    rates = Rates("2/second")
    assert [rates.wait_s("192.0.2.1") for _ in range(3)] == [0, 0, 1]
    assert rates.wait_s("192.0.2.2") == 0
    deadline = time.monotonic() + 5
    while rates.wait_s("192.0.2.1"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_one_subscriber_is_one_client() -> None:
    assert client_key("2001:db8:1:2:3::4") == client_key("2001:db8:1:2::9") == "2001:db8:1:2::/64"
    assert client_key("2001:db8:1:3::4") != client_key("2001:db8:1:2::4")
    assert client_key("::ffff:192.0.2.7") == client_key("192.0.2.7") == "192.0.2.7"
    assert client_key("testclient") == "testclient"


def test_a_header_anyone_can_write_is_not_believed(assistant: Assistant) -> None:
    limits = Limits(rate="2/hour")
    with running(make_app(assistant, ServerSettings(limits=limits)), limits) as port:
        statuses = [
            httpx.get(
                f"http://127.0.0.1:{port}/api/info", headers={"X-Forwarded-For": f"192.0.2.{n}"}, trust_env=False
            ).status_code
            for n in range(3)
        ]
    assert statuses == [200, 200, 429]


@pytest.mark.parametrize(
    ("limits", "option"),
    [
        ({"rate": "often"}, "--rate"),
        ({"rate": ""}, "--rate"),
        ({"max_body_bytes": 0}, "--max-body"),
        ({"max_waiting": -1}, "--max-waiting"),
        ({"max_connections": 0}, "--max-connections"),
        ({"patience_s": 0.0}, "--patience"),
        ({"trusted_proxies": ("proxy",)}, "--trusted-proxy"),
    ],
)
def test_limits_that_make_no_sense_are_refused(limits: dict[str, object], option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        Limits(**limits)  # type: ignore[arg-type]


# -- size ------------------------------------------------------------------------------------------------------------


def test_a_body_is_measured_whether_it_says_its_size_or_not(assistant: Assistant) -> None:
    limits = Limits(max_body_bytes=1000)
    body = _ask_body()
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    head = b"POST /api/ask HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"
    with running(make_app(assistant, ServerSettings(limits=limits)), limits) as port:
        for request, expected in (
            (_request(b"", length=1001), b"413"),
            (_request(b"", length=10**19), b"413"),
            (head + b"\r\n" + (b"ff\r\n" + b"x" * 255 + b"\r\n") * 5, b"413"),
            (head + b"Connection: close\r\n\r\n" + chunk + b"0\r\n\r\n", b"200"),
        ):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(request)
                answer = _read_all(connection)
            assert answer.startswith(b"HTTP/1.1 " + expected), answer
            # Nothing more is read from a client that has said too much.
            assert b"connection: close" in answer.lower()


# -- load ------------------------------------------------------------------------------------------------------------


def test_beyond_its_capacity_the_server_says_so_at_once() -> None:
    reader = SlowReader(2.0)
    limits = Limits(max_waiting=1)
    answers: list[httpx.Response] = []
    with running(make_app(make_assistant(reader), ServerSettings(limits=limits)), limits) as port:

        def ask() -> None:
            answers.append(_ask(port))

        first = threading.Thread(target=ask)
        first.start()
        assert reader.begun.acquire(timeout=10)
        started = time.monotonic()
        refused = _ask(port)
        assert time.monotonic() - started < 1.5
        first.join(timeout=20)
        again = _ask(port)
    assert refused.status_code == 503
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["retry-after"] == "2"
    assert [answer.json()["answer"] for answer in (*answers, again)] == ["93家", "93家"]


def test_a_question_whose_asker_has_left_is_not_answered() -> None:
    reader = SlowReader(0.7)
    with running(make_app(make_assistant(reader), ServerSettings())) as port:
        first = socket.create_connection(("127.0.0.1", port))
        first.sendall(_request(_ask_body("苏州获评省级绿色工厂有多少家？")))
        assert reader.begun.acquire(timeout=10)
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", port)) as leaving:
                leaving.sendall(_request(_ask_body("离开的人问了什么？")))
        answer = _ask(port)
        first.close()
    assert answer.json()["answer"] == "93家"
    assert reader.read_questions == ["苏州获评省级绿色工厂有多少家？", QUESTION]


@pytest.mark.parametrize(
    "beginning",
    [b"", b"GET /api/health HT", b"GET /api/health HTTP/1.1\r\nHost: a\r\n", _request(b"{", length=100)],
)
def test_a_client_that_never_finishes_is_dropped_and_holds_nobody_up(assistant: Assistant, beginning: bytes) -> None:
    limits = Limits(patience_s=1.0)
    with running(make_app(assistant, ServerSettings(limits=limits)), limits) as port:
        slow = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(20)]
        started = time.monotonic()
        for connection in slow:
            connection.sendall(beginning)
        health = httpx.get(f"http://127.0.0.1:{port}/api/health", trust_env=False)
        assert health.status_code == 200
        for connection in slow:
            assert _read_all(connection) == b""
            connection.close()
        assert time.monotonic() - started < 8


def test_a_byte_now_and_then_gains_no_time(assistant: Assistant) -> None:
    limits = Limits(patience_s=1.0)
    with (
        running(make_app(assistant, ServerSettings(limits=limits)), limits) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        with pytest.raises(OSError):
            for _ in range(80):
                connection.sendall(b"a")
                time.sleep(0.1)


def test_a_second_request_has_to_be_finished_too(assistant: Assistant) -> None:
    limits = Limits(patience_s=1.0)
    with (
        running(make_app(assistant, ServerSettings(limits=limits)), limits) as port,
        socket.create_connection(("127.0.0.1", port), timeout=10) as connection,
    ):
        connection.sendall(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 404")
        connection.sendall(b"GET /api/health HTTP/1.1\r\n")
        assert _read_all(connection).count(b"HTTP/1.1") == 0


def test_an_answer_that_is_not_taken_is_not_kept() -> None:
    text = "\n".join(f"第{n}段写着一些很长的话，长得一个套接字放不下。" for n in range(60_000))
    large = make_document(text, title="长文", source="long.txt")
    index = Index.build([large], embedder=HashEmbedder(), segmenter=Segmenter())
    assistant = Assistant(index, Retriever(index), ClauseReader(), threshold=0.5)
    limits = Limits(patience_s=0.5)
    with (
        running(make_app(assistant, ServerSettings(limits=limits)), limits) as port,
        socket.socket() as connection,
    ):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", port))
        connection.settimeout(20)
        connection.sendall(f"GET /api/documents/{large.id} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        time.sleep(3)
        taken = len(_read_all(connection))
    assert 0 < taken < len(text.encode())


def test_one_address_cannot_take_every_connection(assistant: Assistant) -> None:
    limits = Limits(max_connections=16)
    with running(make_app(assistant, ServerSettings(limits=limits)), limits) as port:
        held = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(4)]
        url = f"http://127.0.0.1:{port}/api/health"
        refused = httpx.get(url, trust_env=False)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] == "2"
        for connection in held:
            connection.close()
        deadline = time.monotonic() + 10
        while httpx.get(url, trust_env=False).status_code != 200:
            assert time.monotonic() < deadline
