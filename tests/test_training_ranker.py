import random
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lightgbm")
pytest.importorskip("onnx")

import lightgbm

from szqa.datatypes import Passage
from szqa.ranker import Trees
from szqa.text import Segmenter
from szqa.training.onnx_trees import to_onnx
from szqa.training.question_sets import Asked, Collection
from szqa.training.ranker_cases import cases, span_f1
from szqa.training.tree_calibration import best_threshold, is_right

TEXTS = (
    "2024年，苏州33家企业获评江苏省省级智能工厂。",
    "2023年，无锡20家企业获评江苏省省级智能工厂。",
    "苏州新增新能源汽车20.9万辆，渗透率达45.3%。",
    "苏州获评国家级绿色工厂93家、绿色工业园区9家。",
)


def test_onnx_trees_give_what_lightgbm_gives(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    features = (rng.integers(0, 20, (2000, 6)) / 10).astype(np.float32)
    labels = (features[:, 0] > features[:, 1]).astype(float)
    parameters = {"objective": "binary", "num_leaves": 15, "verbosity": -1, "seed": 0, "num_threads": 1}
    booster = lightgbm.train(parameters, lightgbm.Dataset(features, labels), 20)
    (tmp_path / "trees.onnx").write_bytes(to_onnx(booster).SerializeToString())
    trees = Trees(tmp_path / "trees.onnx")
    unseen = (rng.integers(0, 20, (500, 6)) / 10).astype(np.float32)
    assert trees.columns == 6
    np.testing.assert_allclose(trees(unseen), booster.predict(unseen, raw_score=True), atol=1e-4)


def test_onnx_trees_take_a_model_without_a_split(tmp_path: Path) -> None:
    features = np.zeros((50, 3), dtype=np.float32)
    booster = lightgbm.train({"verbosity": -1}, lightgbm.Dataset(features, np.ones(50)), 2)
    (tmp_path / "trees.onnx").write_bytes(to_onnx(booster).SerializeToString())
    np.testing.assert_allclose(Trees(tmp_path / "trees.onnx")(features), np.ones(50), atol=1e-6)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [(0, 3, 1.0), (0, 4, 6 / 7), (1, 3, 0.8), (4, 7, 0.0), (0, 8, 6 / 10)],
)
def test_span_f1_counts_letters_digits_and_han_characters(start: int, end: int, expected: float) -> None:
    f1 = span_f1("33家企业、获评", np.array([start], np.int32), np.array([end], np.int32), (0, 3))
    assert f1[0] == pytest.approx(expected)


def test_a_span_is_right_where_it_nearly_is_the_answer_or_holds_it_closely() -> None:
    text = "苏州33家企业获评江苏省省级智能工厂"
    assert is_right(text, 2, 5, (2, 5))
    assert is_right(text, 2, 7, (2, 5))
    assert not is_right(text, 0, len(text), (2, 5))
    assert not is_right(text, 5, 7, (2, 5))


def collection() -> Collection:
    passages = tuple(Passage(f"c-{i}:0-{len(t)}", f"c-{i}", "", (), t, 0, len(t)) for i, t in enumerate(TEXTS))
    return Collection("c", passages, (Asked("2024年苏州有多少家企业获评省级智能工厂", 0, ((8, 11),)),))


def test_cases_hold_or_lack_the_answer(segmenter: Segmenter) -> None:
    made = list(
        cases(collection(), lambda *_: ("given", "open", "removed", "swapped"), segmenter, rng=random.Random(0))  # noqa: S311
    )
    assert [case.variant for case in made] == ["given", "open", "removed", "swapped"]
    given, opened, removed, swapped = made
    assert [hit.passage.text for hit in given.hits] == [TEXTS[0]]
    assert opened.hits[opened.gold].passage.text == TEXTS[0]
    assert opened.hits[0].lexical_score == opened.hits[0].score > 0
    start, end = opened.answers[0]
    assert opened.hits[opened.gold].passage.text[start:end] == "33家"
    assert removed.gold == -1
    assert TEXTS[0] not in [hit.passage.text for hit in removed.hits]
    assert swapped.gold == -1
    assert swapped.question != opened.question


def test_best_threshold_parts_right_from_unanswerable() -> None:
    scores = np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1], dtype=np.float32)
    right = np.array([1, 1, 1, 0, 0, 0], dtype=np.float32)
    assert 0.3 < best_threshold(scores, right, right > 0) <= 0.7
