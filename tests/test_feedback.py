"""Opinions are stored as given, and become draft gold lines that the gold set's own reader accepts."""

import json
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
