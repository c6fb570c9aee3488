"""Milvus that is down, or takes connections and never says a word: an error in good time, and health all the while."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from engines import QUESTION, load_milvus, write_milvus
from serving import ClauseReader
from szqa.assistant import Assistant
from szqa.datatypes import Document
from szqa.engine_index import EngineIndex
from szqa.errors import StoreUnavailableError
from szqa.retriever import EngineRetriever, make_retriever
from szqa.server import ServerSettings, make_app
from szqa.store import StoreOptions
from szqa.text import Segmenter

pytest.importorskip("milvus_lite", reason="needs milvus-lite: pip install 'szqa[milvus]'")


@pytest.fixture
def index(documents: list[Document], segmenter: Segmenter, tmp_path: Path) -> EngineIndex:
    write_milvus(tmp_path / "index", documents, segmenter)
    return load_milvus(tmp_path / "index")


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(64)
        yield int(listener.getsockname()[1])


@pytest.fixture(params=["closed_port", "silent_port"])
def down(request: pytest.FixtureRequest) -> StoreOptions:
    return StoreOptions(f"http://127.0.0.1:{request.getfixturevalue(request.param)}", timeout_s=1.5)


def test_a_store_that_is_down_is_an_error_in_good_time(index: EngineIndex, tmp_path: Path, down: StoreOptions) -> None:
    retriever = EngineRetriever(load_milvus(tmp_path / "index", down))
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1.*没有作答"):
        retriever.search(QUESTION)
    assert time.monotonic() - started < 6
    started = time.monotonic()
    with pytest.raises(StoreUnavailableError):  # those who wait behind are not kept waiting as long
        retriever.search(QUESTION)
    assert time.monotonic() - started < 0.5


def test_health_is_answered_while_the_store_is_down(index: EngineIndex, tmp_path: Path, down: StoreOptions) -> None:
    unreachable = load_milvus(tmp_path / "index", down)
    assistant = Assistant(unreachable, make_retriever(unreachable), ClauseReader(), threshold=0.5)
    with TestClient(make_app(assistant, ServerSettings())) as client:
        response = client.post("/api/ask", json={"question": QUESTION})
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "2"
        assert "没有作答" in response.json()["detail"]
        assert client.get("/api/health").json() == {"status": "ok"}
        assert client.get("/api/info").json()["examples"] == []
        assert client.get("/api/documents").json()[0]["passages"] == 3


def test_a_store_that_comes_back_is_asked_again(
    index: EngineIndex, tmp_path: Path, closed_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    monkeypatch.setattr("szqa.milvus_connection._REST_S", 0.0)
    options = StoreOptions(f"http://127.0.0.1:{closed_port}", timeout_s=2.5)
    retriever = EngineRetriever(load_milvus(tmp_path / "index", options))
    expected = EngineRetriever(index).search(QUESTION)
    with pytest.raises(StoreUnavailableError):
        retriever.search(QUESTION)
    _release(tmp_path / "index" / "milvus.db")
    server, database, _ = start_server_in_thread(str(tmp_path / "index" / "milvus.db"), port=closed_port)
    try:
        assert retriever.search(QUESTION) == expected
    finally:
        server.stop(grace=0)
        database.close()


def _release(path: Path) -> None:
    from milvus_lite.server_manager import server_manager_instance

    server_manager_instance.release_server(str(path))
