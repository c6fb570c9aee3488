"""Synthetic questions: what they ask for, what they keep, and that their answers stay in place."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szqa.text import Segmenter
from szqa.training.questions import Example, ask, questions_of, unanswerable, write_questions
from szqa.training.targets import TargetKind, find_targets

REPORT = (
    "2023年，苏州市新增高新技术企业2400家，同比增长12.5%。市政府印发《数字经济发展行动方案》，"
    "苏州工业园区建设了智能制造平台。王建国担任组长，学校位于上海。平台包括研发、检测和培训。"
)


def _rng(seed: int) -> Random:
    return Random(seed)  # noqa: S311 - no secret depends on it


def _targets(text: str, segmenter: Segmenter) -> dict[TargetKind, set[str]]:
    tokens, found = segmenter.tag(text), dict[TargetKind, set[str]]()
    for target in find_targets(text, tokens):
        answer = text[tokens[target.first].start : tokens[target.last - 1].end]
        found.setdefault(target.kind, set()).add(answer)
    return found


def test_targets_of_every_kind(segmenter: Segmenter) -> None:
    found = _targets(REPORT, segmenter)
    assert found["year"] == {"2023年"}
    assert found["percent"] == {"12.5%"}
    assert "2400家" in found["number"]
    assert found["title"] == {"《数字经济发展行动方案》"}
    assert found["person"] == {"王建国"}
    assert "上海" in found["place"]
    assert "研发、检测和培训" in found["list"] | found["rest"]


def test_unit_stays_in_the_question(segmenter: Segmenter) -> None:
    text = "全市新增高新技术企业2400家。"
    tokens = segmenter.tag(text)
    (target,) = (target for target in find_targets(text, tokens) if target.kind == "number")
    assert target.head == "家"
    questions = {ask(text, tokens, target=target, rng=_rng(seed)) for seed in range(40)}
    assert "全市新增高新技术企业多少家？" in questions
    assert all(question is None or "2400" not in question for question in questions)


def test_no_question_from_too_little(segmenter: Segmenter) -> None:
    text = "共33家。"
    tokens = segmenter.tag(text)
    (target,) = find_targets(text, tokens)
    assert [ask(text, tokens, target=target, rng=_rng(seed)) for seed in range(10)] == [None] * 10


@given(seed=st.integers(0, 10**6), max_chars=st.integers(40, 200))
def test_questions_keep_their_answers(segmenter: Segmenter, seed: int, max_chars: int) -> None:
    tokens = segmenter.tag(REPORT)
    examples = questions_of(REPORT, tokens, rng=_rng(seed), count=4, max_chars=max_chars)
    assert len(examples) <= 4
    for example in examples:
        assert example.answer
        assert example.context in REPORT
        assert len(example.context) <= max(max_chars, len(example.answer))
        assert example.answer not in example.question


def test_same_seed_same_questions(segmenter: Segmenter) -> None:
    paragraphs = [REPORT, "", "短。", REPORT[:60]]
    first, second = (list(write_questions(paragraphs, segmenter=segmenter, rng=_rng(3))) for _ in range(2))
    assert first == second
    assert len(first) >= 2


def test_documents_do_not_share_a_passage(segmenter: Segmenter) -> None:
    paragraphs = [REPORT[:60], "", REPORT[60:]]
    contexts = {e.context for e in write_questions(paragraphs, segmenter=segmenter, rng=_rng(1), min_chars=10)}
    assert contexts <= {REPORT[:60], REPORT[60:]}


def test_answer_must_lie_in_the_passage() -> None:
    assert Example("谁？", "王建国来了。", -1, -1).answer is None
    for start, end in ((0, 0), (-1, 2), (2, 9)):
        with pytest.raises(ValueError, match="leaves a passage of 6 characters"):
            Example("谁？", "王建国来了。", start, end)


def test_unanswerable_by_another_year() -> None:
    context = "2023年新增企业2400家。2022年新增企业2100家，这些企业分布在全市各个区县，数量逐年增加。"
    example = Example("2023年新增企业多少家？", context, 9, 14)
    changed = [unanswerable(example, rng=_rng(seed)) for seed in range(20)]
    swapped = {c.question for c in changed if c and c.context == context}
    assert swapped
    for question in swapped:
        assert question != example.question
        assert question[:4] not in context


def test_unanswerable_by_deletion() -> None:
    context = "学校的校长是王建国。学校位于城市的东部，建筑面积为三万平方米，绿树成荫，环境优美，交通便利。"
    changed = unanswerable(Example("校长是谁？", context, 6, 9), rng=_rng(0))
    assert changed is not None
    assert changed.answer is None
    assert changed.context == context[10:]
    assert unanswerable(Example("谁？", "王建国来了。王建国走了。", 0, 3), rng=_rng(0)) is None


def test_unanswerable_by_another_name() -> None:
    context = "苏州市的面积为8657平方公里。苏州市位于长江三角洲中部，东临上海，南接嘉兴，西抱太湖，北依长江。"
    example = Example("苏州市的面积是多少？", context, 7, 15)
    changed = [unanswerable(example, rng=_rng(seed), names=["苏州市", "无锡市"]) for seed in range(20)]
    assert "无锡市的面积是多少？" in {c.question for c in changed if c}
