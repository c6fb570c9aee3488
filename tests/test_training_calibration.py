"""The second calibration learns from a handful of questions which of the reader's answers to trust."""

import math

import pytest

pytest.importorskip("sklearn")

from szqa.datatypes import Hit, Passage
from szqa.reader import ranker_reader
from szqa.text import Segmenter
from szqa.training.calibration import CalibrationCase, fit_calibration

TEXT = "2024年，苏州33家企业获评省级智能工厂，新增5G工厂23个，新能源汽车渗透率达45.3%。"


def log_odds(score: float) -> float:
    return math.log(score / (1 - score))


def test_answers_score_higher_than_questions_about_other_things(segmenter: Segmenter) -> None:
    hits = (Hit(Passage("d:0", "d", "苏州", (), TEXT, 0, len(TEXT)), score=1.0, rank=1),)
    right = [
        ("苏州多少家企业获评省级智能工厂", "33家"),
        ("新增5G工厂多少个", "23个"),
        ("新能源汽车渗透率达多少", "45.3%"),
    ]
    wrong = ["谁写了红楼梦", "泰坦尼克号是哪年沉没的", "光的速度是多少"]
    cases = [CalibrationCase(question, hits, (answer,)) for question, answer in right] * 5
    cases += [CalibrationCase(question, hits, ()) for question in wrong] * 5
    reader = ranker_reader(segmenter)
    calibration, scores = fit_calibration(reader, cases)
    assert scores.questions == 30
    assert scores.auroc > 0.9
    sure, unsure = (
        calibration(reader.evidence(reader.weigh(question, hits)))[0] for question in (right[0][0], wrong[0])
    )
    assert sure > 0 > unsure
    assert log_odds(calibration.threshold) == pytest.approx((sure + unsure) / 2, abs=1.0)


def test_questions_over_other_texts_help(segmenter: Segmenter) -> None:
    hits = (Hit(Passage("d:0", "d", "苏州", (), TEXT, 0, len(TEXT)), score=1.0, rank=1),)
    right = CalibrationCase("苏州多少家企业获评省级智能工厂", hits, ("33家",))
    wrong = CalibrationCase("谁写了红楼梦", hits, ())
    reader = ranker_reader(segmenter)
    alone, scores = fit_calibration(reader, [right, wrong] * 10)
    helped, with_others = fit_calibration(reader, [right, wrong] * 10, alike=[right, wrong] * 20, broad=[wrong] * 20)
    assert (scores.questions, with_others.questions) == (20, 60)
    sure, surer = (found(reader.evidence(reader.weigh(right.question, hits)))[0] for found in (alone, helped))
    assert surer > sure > 0


def test_the_threshold_is_that_of_the_cases_themselves(segmenter: Segmenter) -> None:
    hits = (Hit(Passage("d:0", "d", "苏州", (), TEXT, 0, len(TEXT)), score=1.0, rank=1),)
    right = CalibrationCase("苏州多少家企业获评省级智能工厂", hits, ("33家",))
    wrong = CalibrationCase("谁写了红楼梦", hits, ())
    misled = CalibrationCase(right.question, hits, ())
    reader = ranker_reader(segmenter)
    found, scores = fit_calibration(reader, [right, wrong] * 10, alike=[misled] * 5)
    assert scores.questions == 25
    # Whatever is thought of the alike: each of the cases is told apart.
    sure, unsure = (found(reader.evidence(reader.weigh(case.question, hits)))[0] for case in (right, wrong))
    assert unsure < log_odds(found.threshold) < sure
