"""Opinions are stored as given, and become draft gold lines that the gold set's own reader accepts."""

import json
import os
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from conftest import ROOT
from szqa.cli import app
from szqa.errors import ConfigurationError
from szqa.feedback import Feedback, FeedbackStore, Source, draft_gold_lines
from szqa.goldset import read_evaluation_set

GOOD = Feedback(
    "a1", "那国家级的呢？", "苏州有多少家国家级绿色工厂？", "93家", True, "对",
    (Source("a.txt", "国家级绿色工厂93家"),), {"reader": "r"}, "2025-01-01T00:00:00+00:00",
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> FeedbackStore:
    return FeedbackStore(tmp_path / "new" / "feedback.sqlite3")


def test_what_is_stored_comes_back(store: FeedbackStore) -> None:
    store.add(GOOD)
    assert list(store) == [GOOD]
    assert len(store) == 1


def test_a_second_opinion_replaces_the_first_and_keeps_its_comment(store: FeedbackStore) -> None:
    store.add(GOOD)
    store.add(Feedback("a1", "x", "x", "x", False))
    (kept,) = store
    assert (kept.helpful, kept.comment, kept.question) == (False, "对", GOOD.question)
    store.add(Feedback("a1", "x", "x", "x", False, "不对"))
    assert [one.comment for one in store] == ["不对"]


def test_the_file_is_in_wal_mode_and_readable_meanwhile(store: FeedbackStore) -> None:
    store.add(GOOD)
    other = sqlite3.connect(store.path)
    assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert other.execute("SELECT question, helpful FROM feedback").fetchall() == [(GOOD.question, 1)]
    other.close()


def test_several_threads_may_write(store: FeedbackStore) -> None:
    def write(thread: int) -> None:
        for number in range(20):
            store.add(Feedback(f"{thread}-{number}", "q", "q", None, True))

    threads = [threading.Thread(target=write, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store) == 80


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite3"
    path.write_text("这不是数据库" * 100, "utf-8")
    with pytest.raises(ConfigurationError, match=r"x\.sqlite3"):
        FeedbackStore(path)


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=50))
def test_any_text_is_data(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    store = FeedbackStore(tmp_path_factory.mktemp("f") / "f.sqlite3")
    store.add(Feedback("1", text, text, text, False, text + "'); DROP TABLE feedback; --"))
    (kept,) = store
    assert (kept.asked, kept.answer) == (text, text)
    assert kept.comment.startswith(text)


def test_draft_gold_lines(tmp_path: Path) -> None:
    bad = Feedback("b2", "几家？", "几家？", "5家", False, "应为93家")
    silent = Feedback("c3", "书记是谁？", "书记是谁？", None, True)
    lines = list(draft_gold_lines([GOOD, bad, silent]))
    rows = [json.loads(line) for line in lines]
    assert [row["type"] for row in rows] == ["number", "unanswerable", "unanswerable"]
    assert rows[0]["answers"] == ["93家"]
    assert rows[0]["evidence"] == [{"source": "a.txt", "quote": "国家级绿色工厂93家"}]
    assert rows[1]["draft"]["answered"] == "5家"
    assert rows[1]["draft"]["comment"] == "应为93家"
    path = tmp_path / "draft.jsonl"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    assert [question.id for question in read_evaluation_set(path).questions] == ["fb-a1", "fb-b2", "fb-c3"]


WRITER = """
import sys, threading
from pathlib import Path
from szqa.feedback import Feedback, FeedbackStore
store, name = FeedbackStore(Path(sys.argv[1])), sys.argv[2]
def write(n):
    for m in range(25):
        store.add(Feedback(f"{name}-{n}-{m}", "q", "q", "a", True, "c" * m))
        store.add(Feedback("shared", "q", "q", "a", bool(m % 2), name))
threads = [threading.Thread(target=write, args=(n,)) for n in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_two_processes_and_their_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite3"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WRITER, str(path), name], env=environment, stderr=subprocess.PIPE
        )
        for name in ("one", "two")
    ]
    for process in processes:
        _, errors = process.communicate(timeout=120)
        assert (process.returncode, errors) == (0, b"")
    kept = {one.answer_id: one for one in FeedbackStore(path)}
    expected = {f"{name}-{n}-{m}" for name in ("one", "two") for n in range(3) for m in range(25)}
    assert kept.keys() == expected | {"shared"}
    assert all(len(kept[answer_id].comment) == int(answer_id.split("-")[2]) for answer_id in expected)
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_the_file_is_nobody_elses_to_read(store: FeedbackStore) -> None:
    store.add(GOOD)
    for file in store.path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_what_is_purged_is_gone_from_the_disk_too(store: FeedbackStore) -> None:
    reader = sqlite3.connect(store.path)  # keeps the write-ahead log in being
    store.add(replace(GOOD, comment="一句不该留下的话"))
    store.add(replace(GOOD, answer_id="a2", comment="较新的话", created="2025-06-01T00:00:00+00:00"))
    assert store.purge(before=datetime(2025, 1, 1, tzinfo=UTC)) == 0
    assert store.purge(before=datetime(2025, 3, 1, tzinfo=UTC)) == 1
    assert [one.answer_id for one in store] == ["a2"]
    reader.close()
    written = b"".join(file.read_bytes() for file in store.path.parent.iterdir())
    assert "一句不该留下的话".encode() not in written
    assert "较新的话".encode() in written
    assert store.purge() == 1
    assert len(store) == 0
    assert "较新的话".encode() not in b"".join(file.read_bytes() for file in store.path.parent.iterdir())


def test_purging_from_the_command_line(store: FeedbackStore) -> None:
    store.add(GOOD)
    store.add(Feedback("new", "q", "q", None, False))
    runner = CliRunner()
    for arguments in ([], ["--all", "--older-than", "3"]):
        assert runner.invoke(app, ["feedback", "purge", str(store.path), *arguments]).exit_code == 2
    assert len(store) == 2
    assert runner.invoke(app, ["feedback", "purge", str(store.path), "--older-than", "30"]).exit_code == 0
    assert [one.answer_id for one in store] == ["new"]
    assert runner.invoke(app, ["feedback", "purge", str(store.path), "--all"]).exit_code == 0
    assert len(store) == 0
    missing = runner.invoke(app, ["feedback", "purge", str(store.path.parent / "none"), "--all"])
    assert isinstance(missing.exception, ConfigurationError)
