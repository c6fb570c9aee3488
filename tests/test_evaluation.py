import json
import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szqa.datatypes import Answer, Citation, Document, Hit, Passage
from szqa.evaluation import (
    QuestionRow,
    area_under_risk,
    auroc,
    best_threshold,
    calibration_error,
    compare,
    confidence_interval,
    evaluate,
    exact_match,
    f1_score,
    paired_p_value,
    ranking_scores,
    reliability_bins,
    risk_coverage,
    score_predictions,
    summarise,
)
from szqa.goldset import Evidence, Place, Question

METRIC_CASES = Path(__file__).parent.parent / ".." / "shared" / "data" / "metric_cases.jsonl"


# Worked out by hand from the definition: segments are Han characters and NLTK's words, F1 is that of the longest run.
@pytest.mark.parametrize(
    ("prediction", "answers", "em", "f1"),
    [
        ("224家", ["224家"], 1, 1),
        ("24家", ["224家"], 0, 1 / 2),
        ("224", ["224家"], 0, 2 / 3),
        ("《红楼梦》", ["红楼梦"], 1, 1),
        ("红楼梦。", ["红楼梦"], 1, 1),
        ("曹雪芹的红楼梦", ["红楼梦"], 0, 3 / 5),
        ("红梦楼", ["红楼梦"], 0, 1 / 3),
        ("", ["红楼梦"], 0, 0),
        ("。", ["，"], 1, 0),
        ("IBM公司", ["ibm公司"], 1, 1),
        ("1990年至1995年", ["1990年"], 0, 4 / 7),
        ("苏州市", ["苏州", "苏州市工业园区"], 0, 4 / 5),
        ("苏州市", ["苏州市工业园区", "苏州"], 0, 4 / 5),
        ("don't stop", ["do not stop"], 0, 1 / 3),
        ("长三角(含江西)大飞机", ["长三角（含江西）大飞机"], 0, 3 / 10),
        ("走……来", ["走来"], 0, 2 / 5),
        ("43.8", ["43.8%"], 0, 2 / 3),
        ("4.68亿元", ["4.68万亿元"], 0, 4 / 7),
        ("龦龦", ["龦"], 0, 0),  # beyond U+9FA5: a word, not a Han character
        ("2019-2020年", ["20192020年"], 1, 1),
        (" 苏州 ", ["苏州"], 1, 1),
        ("苏 州", ["苏州"], 0, 1),
    ],
)
def test_answer_scores(prediction: str, answers: list[str], em: int, f1: float) -> None:
    assert exact_match(prediction, answers) == em
    assert f1_score(prediction, answers) == pytest.approx(f1, abs=1e-12)


@pytest.mark.skipif(not METRIC_CASES.is_file(), reason="the official script's figures are not beside the checkout")
def test_answer_scores_equal_the_official_script() -> None:
    cases = [json.loads(line) for line in METRIC_CASES.read_text("utf-8").splitlines()]
    assert len(cases) > 500
    different = [
        case
        for case in cases
        if exact_match(case["prediction"], case["answers"]) != case["em"]
        or f1_score(case["prediction"], case["answers"]) != case["f1"]
    ]
    assert different == []


@given(st.text(max_size=30), st.lists(st.text(max_size=30), min_size=1, max_size=3))
def test_f1_stays_in_bounds(prediction: str, answers: list[str]) -> None:
    assert 0 <= f1_score(prediction, answers) <= 1


@given(st.text(alphabet="苏州工业224abc ，。", min_size=1, max_size=20))
def test_an_answer_matches_itself(text: str) -> None:
    assert exact_match(text, [text]) == 1
    assert f1_score(text, [text]) in (0, 1)


def test_ranking_scores() -> None:
    scores = ranking_scores([(1,), (2,), (None,), (4, None), (6,)])
    assert scores["recall@1"] == [1, 0, 0, 0, 0]
    assert scores["recall@3"] == [1, 1, 0, 0, 0]
    assert scores["recall@5"] == [1, 1, 0, 0.5, 0]
    assert scores["recall@10"] == [1, 1, 0, 0.5, 1]
    assert scores["RR@10"] == pytest.approx([1, 1 / 2, 0, 1 / 4, 1 / 6])
    ideal_of_two = 1 + 1 / math.log2(3)
    expected = [1, 1 / math.log2(3), 0, 1 / math.log2(5) / ideal_of_two, 1 / math.log2(7)]
    assert scores["nDCG@10"] == pytest.approx(expected)


def test_ranking_scores_of_evidence_in_one_passage() -> None:
    assert ranking_scores([(1, 1)])["nDCG@10"] == [1]
    assert ranking_scores([(1, 1)])["recall@1"] == [0.5]
    assert ranking_scores([])["RR@10"] == []


def test_auroc() -> None:
    # Of the four pairs (positive, negative) three are in order, and one of the six below is a tie worth half.
    assert auroc([0.9, 0.4, 0.5, 0.1], [True, True, False, False]) == pytest.approx(3 / 4)
    assert auroc([0.9, 0.5, 0.5, 0.1, 0.2], [True, True, False, False, False]) == pytest.approx(5.5 / 6)
    assert auroc([0.9, 0.5], [True, True]) is None


def test_risk_coverage() -> None:
    points = risk_coverage([0.2, 0.9, 0.8, 0.8], [1, 0, 1, 0])
    assert [point.coverage for point in points] == [0.25, 0.5, 0.75, 1]
    # The two answers at 0.8 hold one error between them: half an error each, in either order.
    assert [point.risk for point in points] == pytest.approx([0, 0.5 / 2, 1 / 3, 2 / 4])
    assert area_under_risk(points) == pytest.approx((0 + 1 / 4 + 1 / 3 + 1 / 2) / 4)
    assert area_under_risk([]) is None


def test_calibration_error() -> None:
    bins = reliability_bins([0.05, 0.92, 0.98, 1.0], [0, 1, 0, 1])
    assert [(item.count, item.accuracy) for item in bins] == [(1, 0), (3, pytest.approx(2 / 3))]
    assert bins[1].score == pytest.approx((0.92 + 0.98 + 1.0) / 3)
    expected = (1 * 0.05 + 3 * ((0.92 + 0.98 + 1.0) / 3 - 2 / 3)) / 4
    assert calibration_error(bins) == pytest.approx(expected)
    assert calibration_error([]) is None


def test_best_threshold() -> None:
    # Answering the two surest gains 1.5 and abstaining on the other two gains 1: any threshold in (0.3, 0.6].
    best = best_threshold([0.9, 0.6, 0.3, 0.1], [1, 0.5, 0, 0], [0, 0, 1, 0])
    assert best is not None
    assert [best.value, best.mean] == pytest.approx([0.45, 2.5 / 4])
    always = best_threshold([0.4, 0.6], [1, 1], [0, 0])
    assert always is not None and always.value == 0
    never = best_threshold([0.4, 0.6], [0, 0], [1, 1])
    assert never is not None and never.value > 0.6 and never.mean == 1
    assert best_threshold([], [], []) is None


def test_confidence_interval() -> None:
    interval = confidence_interval([0.0, 1.0] * 50)
    assert interval is not None
    # The mean of 100 coins has a standard deviation of 0.05.
    assert list(interval) == pytest.approx([0.4, 0.6], abs=0.015)
    assert confidence_interval([0.0, 1.0] * 50) == interval
    assert confidence_interval([0.5, 0.5, 0.5]) == (0.5, 0.5)
    assert confidence_interval([1.0]) is None


def test_paired_p_value() -> None:
    # Four differences of one sign: of the 16 ways to swap, 2 are as extreme.
    assert paired_p_value([0, 0, 0, 0, 1], [1, 1, 1, 1, 1]) == pytest.approx(2 / 16)
    assert paired_p_value([0, 1], [1, 0]) == 1
    assert paired_p_value([0.3, 0.7], [0.3, 0.7]) == 1
    assert paired_p_value([0.0] * 30, [1.0] * 30) < 0.001


TEXT = "苏州有33家企业获评智能工厂。无锡有5家博物馆。"
DOCUMENT = Document("d1", "报告", TEXT, "a.txt")
FIRST = Passage("d1:0-15", "d1", "报告", ("第一节",), TEXT[:15], 0, 15)
SECOND = Passage("d1:15-24", "d1", "报告", (), TEXT[15:24], 15, 24)
EVIDENCE = Evidence("a.txt", "苏州有33家企业", (Place("d1", 0, 8),))
FACTORIES = Question("q1", "智能工厂几家", "number", ("33家", "33家企业"), (EVIDENCE,), "dev")
MUSEUMS = Question(
    "q2", "无锡有几家博物馆", "number", ("5家",), (Evidence("a.txt", TEXT[15:24], (Place("d1", 15, 24),)),)
)
NOTHING = Question("q3", "南京有几家", "unanswerable")


def _answer(question: Question, passage: Passage, words: str, score: float) -> Answer:
    start = passage.start + passage.text.index(words)
    end = start + len(words)
    citation = Citation(
        1, "d1", "报告", "a.txt", passage.headings, passage.text, passage.start, passage.end, start, end
    )
    timings = {"retrieve": 1.0, "read": 3.0}
    return Answer(question.text, words, score, passage.text, (citation,), (Hit(passage, 1.0, 1),), timings)


def _ask(question: Question) -> Answer:
    if question is FACTORIES:
        return _answer(question, FIRST, "33家", 0.9)
    if question is MUSEUMS:
        return _answer(question, FIRST, "33家", 0.7)  # the wrong place
    return _answer(question, SECOND, "5家", 0.2)


def _search(question: Question) -> Sequence[Hit]:
    return [Hit(FIRST, 2.0, 1), Hit(SECOND, 1.0, 2)]


@pytest.fixture
def rows() -> list[QuestionRow]:
    questions = [FACTORIES, MUSEUMS, NOTHING]
    return list(evaluate(questions, _ask, _search, threshold=0.5, documents={"d1": DOCUMENT}))


def test_evaluate(rows: list[QuestionRow]) -> None:
    assert [(row.answered, row.em, row.f1, row.outcome) for row in rows] == [
        (True, 1, 1, "right"),
        (True, 0, pytest.approx(0.5), "wrong"),  # 33, 家 against 5, 家
        (False, 1, 1, "right"),
    ]
    assert [row.ranks for row in rows] == [(1,), (2,), None]
    assert [row.cited for row in rows] == [(True,), (False,), (False,)]
    assert [row.verbatim for row in rows] == [True, True, True]
    shown = rows[0].shown
    assert shown is not None
    assert shown.text[shown.start : shown.end] == "33家"
    assert shown.location == "报告 › 第一节"
    assert rows[0].gold[0].text[rows[0].gold[0].start : rows[0].gold[0].end] == "33家企业"


def test_evaluate_is_lazy() -> None:
    def interrupted(question: Question) -> Answer:
        if question is MUSEUMS:
            raise KeyboardInterrupt
        return _ask(question)

    done = []
    with pytest.raises(KeyboardInterrupt):
        for row in evaluate([FACTORIES, MUSEUMS], interrupted):
            done.append(row.id)
    assert done == ["q1"]


def test_evaluate_notices_an_answer_that_is_not_verbatim() -> None:
    changed = Document("d1", "报告", TEXT.replace("33家", "34家"), "a.txt")
    [row] = evaluate([FACTORIES], _ask, documents={"d1": changed})
    assert row.verbatim is False


def test_summarise(rows: list[QuestionRow]) -> None:
    metrics = summarise(rows, threshold=0.5)
    content = metrics.to_json()
    assert list(content) == ["retrieval", "answers", "abstention", "citations", "latency_ms"]
    assert content["answers"] == {
        "em": pytest.approx(2 / 3),
        "f1": pytest.approx(2.5 / 3),
        "has_answer": {"em": 0.5, "f1": 0.75, "n": 2},
        "no_answer": {"em": 1.0, "f1": 1.0, "n": 1},
        "verbatim": 1.0,
    }
    assert content["retrieval"] == {
        "recall@1": 0.5,
        "recall@3": 1.0,
        "recall@5": 1.0,
        "recall@10": 1.0,
        "RR@10": 0.75,
        "nDCG@10": pytest.approx((1 + 1 / math.log2(3)) / 2),
    }
    assert content["citations"] == {"first": 0.5, "any": 0.5}
    assert content["latency_ms"] == {"retrieve": {"median": 1, "p95": 1}, "read": {"median": 3, "p95": 3}}
    assert content["abstention"] == {
        "precision": 1.0,
        "recall": 1.0,
        "auroc": 1.0,
        "aurc": pytest.approx((0 + 1 / 2 + 2 / 3) / 3),
        "ece": pytest.approx((0.1 + 0.7 + 0.2) / 3),
        "threshold": 0.5,
        "best_threshold": pytest.approx(0.45),
        "best_f1": pytest.approx(2.5 / 3),
    }
    assert {name: item.value for name, item in metrics.by_type.items()} == {"number": 0.75, "unanswerable": 1}
    json.dumps(content)


def test_summarise_nothing() -> None:
    content = summarise([]).to_json()
    assert content["retrieval"] is None
    assert content["latency_ms"] == {}


def test_score_predictions() -> None:
    questions = [FACTORIES, MUSEUMS, NOTHING]
    rows = score_predictions(questions, {"q1": "33家企业", "q2": "六家", "q3": ""}, documents=[DOCUMENT])
    assert [(row.answered, row.em, row.verbatim) for row in rows] == [
        (True, 1, True),
        (True, 0, False),
        (False, 1, None),
    ]
    metrics = summarise(rows)
    assert metrics.value("em") == pytest.approx(2 / 3)
    assert metrics.value("verbatim") == 0.5
    assert (metrics.auroc, metrics.area, metrics.calibration_error, metrics.best) == (None, None, None, None)
    assert [row.answered for row in score_predictions(questions, {})] == [False, False, False]


def test_compare(rows: list[QuestionRow]) -> None:
    questions = [NOTHING, MUSEUMS, FACTORIES]
    new = score_predictions(questions, {"q1": "33家", "q2": "5家", "q3": "5家"})
    comparison = compare(rows, new)
    f1 = next(item for item in comparison.measures if item.name == "f1")
    assert [f1.old, f1.new] == pytest.approx([2.5 / 3, 2 / 3])
    assert f1.difference == pytest.approx(-0.5 / 3)
    assert (f1.won, f1.lost, f1.tied) == (1, 1, 1)
    # The differences are +0.5 and -1, and none of the four ways to swap brings a smaller sum than 0.5.
    assert f1.p_value == 1
    assert [pair[1].id for pair in comparison.changed] == ["q3", "q2"]
    assert not any(item.name.startswith("recall") for item in comparison.measures)  # the new run has none


def test_compare_leaves_out_what_one_run_lacks(rows: list[QuestionRow]) -> None:
    renamed = Question("q1", "别的问题", "number", ("33家",), (EVIDENCE,))
    comparison = compare(rows, score_predictions([renamed, NOTHING], {}))
    assert [new.id for _, new in comparison.pairs] == ["q3"]
    assert comparison.only_old == ("q1", "q2")
    assert comparison.only_new == ("q1",)
