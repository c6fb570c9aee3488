"""One visitor's actions while others of theirs are under way: none undoes, repeats or loses another."""

import copy
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from serving import make_assistant
from szqa.feedback import Feedback, FeedbackStore
from szqa.server.conversation import Conversation
from szqa.server.service import Reply, Service
from szqa.server.visit import Visit
from szqa.strings import WORDS

QUESTION = "苏州获评国家级绿色工厂有多少家？"
FOLLOW_UP = "那省级的呢？"
PATIENCE_S = 20


class SlowStore(FeedbackStore):
    """Tells when an opinion arrives, and writes it when it is let."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.arrived = threading.Event()
        self.let = threading.Event()

    def add(self, feedback: Feedback) -> None:
        self.arrived.set()
        assert self.let.wait(PATIENCE_S)
        super().add(feedback)


@pytest.fixture
def store(tmp_path: Path) -> SlowStore:
    return SlowStore(tmp_path / "feedback.sqlite3")


@pytest.fixture
def service(store: SlowStore) -> Service:
    return Service(make_assistant(), store)


@pytest.fixture
def visit(service: Service) -> Visit:
    """A visit with one question answered, whose turn has the id 1."""
    visit = Visit()
    _act(visit, service, act="ask", question=QUESTION)
    assert [turn.id for turn in visit.now.turns] == [1]
    return visit


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Runs actions beside the test's own."""
    with ThreadPoolExecutor() as pool:
        yield pool


def _act(visit: Visit, service: Service, **values: object) -> list[Conversation]:
    return list(visit.after(values, service, "zh-CN"))


def _answers(conversation: Conversation) -> list[str | None]:
    return [turn.reply.answer.text if turn.reply else None for turn in conversation.turns]


def test_a_question_asked_while_an_opinion_is_written_is_kept(
    visit: Visit, service: Service, store: SlowStore, aside: ThreadPoolExecutor
) -> None:
    voting = aside.submit(_act, visit, service, act="vote", turn="1", helpful="yes")
    assert store.arrived.wait(PATIENCE_S)
    before = _act(visit, service, act="ask", question=FOLLOW_UP)[-1]
    assert _answers(before) == ["93家", "325家"]
    store.let.set()
    (after,) = voting.result(PATIENCE_S)
    assert _answers(after) == ["93家", "325家"]
    assert [turn.helpful for turn in after.turns] == [True, None]
    assert after.version > before.version
    assert [one.helpful for one in store] == [True]


@pytest.mark.parametrize("act", ["undo", "clear", "retry"])
def test_an_opinion_on_a_turn_that_is_gone_brings_nothing_back(
    visit: Visit, service: Service, store: SlowStore, aside: ThreadPoolExecutor, act: str
) -> None:
    voting = aside.submit(_act, visit, service, act="vote", turn="1", helpful="no")
    assert store.arrived.wait(PATIENCE_S)
    left = _act(visit, service, act=act, turn="1")[-1]
    store.let.set()
    assert voting.result(PATIENCE_S) == [left]
    assert _answers(left) == (["93家"] if act == "retry" else [])
    assert [turn.helpful for turn in left.turns] == [None] * len(left.turns)
    assert [one.helpful for one in store] == [False], "it was an opinion all the same"


def test_the_later_of_two_opinions_counts_and_keeps_the_comment(
    visit: Visit, service: Service, store: SlowStore
) -> None:
    store.let.set()
    _act(visit, service, act="comment", turn="1", comment="没有评价，不能说明")
    assert len(store) == 0
    _act(visit, service, act="vote", turn="1", helpful="yes")
    _act(visit, service, act="comment", turn="1", comment=" 少算了 ")
    _act(visit, service, act="vote", turn="1", helpful="no")
    (turn,) = visit.now.turns
    assert (turn.helpful, turn.commented) == (False, True)
    assert [(one.helpful, one.comment) for one in store] == [(False, "少算了")]


def test_an_opinion_that_cannot_be_kept_says_so(
    visit: Visit, service: Service, store: SlowStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Feedback) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    store.let.set()
    with monkeypatch.context() as patch, pytest.raises(sqlite3.OperationalError):
        patch.setattr(store, "add", full)
        _act(visit, service, act="vote", turn="1", helpful="yes")
    (turn,) = visit.now.turns
    assert (turn.helpful, turn.unsaved) == (None, True)
    _act(visit, service, act="vote", turn="1", helpful="yes")
    (turn,) = visit.now.turns
    assert (turn.helpful, turn.unsaved) == (True, False)


def test_two_questions_at_once_are_both_answered_in_order(
    visit: Visit, service: Service, aside: ThreadPoolExecutor
) -> None:
    first = visit.after({"act": "ask", "question": FOLLOW_UP}, service, "zh-CN")
    second = visit.after({"act": "ask", "question": "市委书记是谁？"}, service, "zh-CN")
    assert [turn.pending for turn in next(first).turns] == [False, True]
    assert [turn.pending for turn in next(second).turns] == [False, True, True]
    # The later one is quicker.
    assert _answers(next(second)) == ["93家", None, None]
    last: Future[Conversation] = aside.submit(next, first)
    assert _answers(last.result(PATIENCE_S)) == ["93家", "325家", None]


def test_a_second_click_on_what_is_under_way_does_nothing(visit: Visit, service: Service) -> None:
    asking = visit.after({"act": "ask", "question": FOLLOW_UP}, service, "zh-CN")
    pending = next(asking)
    for values in ({"act": "ask", "question": FOLLOW_UP}, {"act": "retry", "turn": "2"}, {"act": "undo", "turn": "2"}):
        number = str(pending.turns[-1].id)
        assert _act(visit, service, **{**values, "turn": number}) == [pending]
    assert _answers(next(asking)) == ["93家", "325家"]


def test_an_action_that_is_sent_again_is_taken_once(visit: Visit, service: Service, store: SlowStore) -> None:
    store.let.set()
    asking = visit.after({"act": "ask", "question": FOLLOW_UP, "task": "a1"}, service, "zh-CN")
    pending = next(asking)
    assert (_answers(pending), pending.taken) == (["93家", None], ("a1",))
    assert _act(visit, service, act="ask", question=FOLLOW_UP, task="a1") == [pending]
    (answered,) = asking
    assert _act(visit, service, act="ask", question=FOLLOW_UP, task="a1") == [answered]
    assert _answers(answered) == ["93家", "325家"]
    for _ in range(2):
        _act(visit, service, act="vote", turn="1", helpful="yes", task="a2")
    assert len(store) == 1
    (cleared,) = _act(visit, service, act="clear", task="a3")
    assert _act(visit, service, act="ask", question=FOLLOW_UP, task="a1")[-1] == cleared
    assert (cleared.turns, cleared.taken) == ((), ("a1", "a2", "a3"))
    assert cleared.version > answered.version


def test_an_action_with_another_name_is_another_action(visit: Visit, service: Service) -> None:
    for task in ("a1", "a2", None, None, "", "a b", "一", "a" * 17, 7, '"><script>'):
        _act(visit, service, act="ask", question=FOLLOW_UP, task=task)
    assert len(visit.now.turns) == 11
    assert visit.now.taken == ("a1", "a2"), "what is no name is never repeated in a page"


def test_an_answer_to_a_conversation_that_was_cleared_is_dropped(visit: Visit, service: Service) -> None:
    asking = visit.after({"act": "ask", "question": FOLLOW_UP}, service, "zh-CN")
    next(asking)
    (cleared,) = _act(visit, service, act="clear")
    assert next(asking) == cleared
    assert cleared.turns == ()


def test_an_error_nobody_foresaw_ends_its_own_question_only(
    visit: Visit, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = visit.after({"act": "ask", "question": FOLLOW_UP}, service, "zh-CN")
    next(waiting)

    def broken(*_: object, **__: object) -> Reply:
        raise RuntimeError("broken")

    with monkeypatch.context() as patch:
        patch.setattr(service, "ask", broken)
        with pytest.raises(RuntimeError):
            _act(visit, service, act="ask", question="几家？")
    assert [turn.problem for turn in visit.now.turns] == ["", "", WORDS["zh-CN"].failed]
    assert [turn.pending for turn in visit.now.turns] == [False, True, False]
    assert _answers(next(waiting)) == ["93家", "325家", None]


def test_a_visitor_who_leaves_leaves_no_question_open(visit: Visit, service: Service) -> None:
    asking = visit.after({"act": "ask", "question": FOLLOW_UP}, service, "zh-CN")
    next(asking)
    asking.close()  # type: ignore[attr-defined]
    assert visit.now.turns[-1].problem == WORDS["zh-CN"].failed


def test_every_visitor_has_a_visit_of_their_own(visit: Visit) -> None:
    other = copy.deepcopy(visit)
    assert other.now.turns == ()
    assert other.now.visit != visit.now.visit
