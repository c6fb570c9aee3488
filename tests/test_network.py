"""The network's opinion: what it reads, and that the shipped files agree with one another."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import szqa.network
from szqa.datatypes import Hit, Passage
from szqa.errors import ConfigurationError
from szqa.examiner import Examiner, Place
from szqa.network import SpanNetwork, windows_around
from szqa.neural import Vocabulary, encode_pair, onnx_scorer, score_pairs, score_places, word_classes
from szqa.text import Segmenter

MODEL = Path(szqa.network.__file__).parent / "models" / "reader"
TEXT = "2024年，苏州33家企业获评江苏省省级智能工厂、224家企业获评省级智能车间。新能源汽车渗透率达45.3%。"
QUESTION = "有多少家企业获评省级智能车间"


def make_hit(text: str, number: int = 0) -> Hit:
    return Hit(Passage(f"d:{number}", "d", "苏州", (), text, 0, len(text)), 1.0, number + 1, lexical_score=1.0)


def place(hit: int, start: int, end: int) -> Place:
    return Place(hit, start, end, 1.0, 1.0, 1.0)


def test_windows_hold_every_place_and_join_where_they_touch() -> None:
    places = [place(0, 100, 150), place(0, 200, 220), place(1, 0, 10), place(0, 600, 620)]
    windows = list(windows_around(places, {0: 1000, 1: 30}))
    assert windows == [(0, 68, 252), (0, 568, 652), (1, 0, 30)]


def test_a_long_sentence_is_read_in_windows_that_cover_it() -> None:
    windows = list(windows_around([place(0, 0, 1000)], {0: 1000}))
    assert max(end - start for _, start, end in windows) <= 384
    assert {i for _, start, end in windows for i in range(start, end)} == set(range(1000))


def test_candidates_score_as_their_edges_do(segmenter: Segmenter) -> None:
    hits = [make_hit(TEXT), make_hit("苏州工业园区迎来开发建设30周年。", 1)]
    found = Examiner(segmenter, lambda _: 1.0).examine(QUESTION, hits)
    scores = SpanNetwork(segmenter, MODEL).score(QUESTION, hits, found, range(len(found.places)))
    assert scores.shape == found.starts.shape
    vocabulary = Vocabulary.load(MODEL)
    pair = encode_pair(
        QUESTION, TEXT, words=word_classes(segmenter.cut(TEXT), segmenter.plain_tag), vocabulary=vocabulary
    )
    (chars,) = score_pairs(onnx_scorer(MODEL / "model_int8.onnx"), [pair], vocabulary)
    rows = np.flatnonzero(found.hit == 0)
    assert scores[rows] == pytest.approx(chars.starts[found.starts[rows]] + chars.ends[found.ends[rows] - 1], abs=1e-4)
    best = int(scores.argmax())
    assert TEXT[found.starts[best] : found.ends[best]] == "224家"


def test_a_long_passage_is_scored_as_if_all_of_it_were_cut(segmenter: Segmenter) -> None:
    text = "苏州，古称吴。" * 30 + TEXT + "“工业上楼”（试点）全面启动……\n" * 30
    found = Examiner(segmenter, lambda _: 1.0).examine(QUESTION, [make_hit(text)])
    read = [number for number, place in enumerate(found.places) if "省级智能车间" in text[place.start : place.end]]
    (area,) = windows_around([found.places[number] for number in read], {0: len(text)})
    vocabulary = Vocabulary.load(MODEL)
    pair = encode_pair(
        QUESTION, text, words=word_classes(segmenter.cut(text), segmenter.plain_tag), vocabulary=vocabulary
    )
    (chars,) = score_places(onnx_scorer(MODEL / "model_int8.onnx"), [pair], [area], vocabulary)
    scores = SpanNetwork(segmenter, MODEL).score(QUESTION, [make_hit(text)], found, read)
    rows = np.flatnonzero(np.isin(found.place, read))
    assert len(rows) > 1
    assert np.array_equal(scores[rows], chars.starts[found.starts[rows]] + chars.ends[found.ends[rows] - 1])


def test_sentences_that_are_not_read_score_as_low_as_the_lowest(segmenter: Segmenter) -> None:
    hits = [make_hit(TEXT), make_hit("苏州工业园区迎来开发建设30周年。", 1)]
    found = Examiner(segmenter, lambda _: 1.0).examine(QUESTION, hits)
    network = SpanNetwork(segmenter, MODEL)
    read = [number for number, place in enumerate(found.places) if place.hit == 0]
    scores = network.score(QUESTION, hits, found, read)
    alone = network.score(QUESTION, hits[:1], Examiner(segmenter, lambda _: 1.0).examine(QUESTION, hits[:1]), [0, 1])
    assert scores[found.hit == 0] == pytest.approx(alone, abs=0.01)
    assert set(scores[found.hit == 1].tolist()) == {min(scores)}


def test_the_shipped_int8_network_agrees_with_the_one_transformers_loads(segmenter: Segmenter) -> None:
    from transformers import AutoModelForQuestionAnswering

    from szqa.training.network import torch_scorer

    vocabulary = Vocabulary.load(MODEL)
    pair = encode_pair(
        QUESTION, TEXT, words=word_classes(segmenter.cut(TEXT), segmenter.plain_tag), vocabulary=vocabulary
    )
    loaded = AutoModelForQuestionAnswering.from_pretrained(MODEL, local_files_only=True).float().eval()
    (exact,) = score_pairs(torch_scorer(loaded, half=False), [pair], vocabulary)
    (rounded,) = score_pairs(onnx_scorer(MODEL / "model_int8.onnx"), [pair], vocabulary)
    for one, other in ((exact.starts, rounded.starts), (exact.ends, rounded.ends)):
        assert np.abs(one - other).mean() < 0.5
        assert np.corrcoef(one, other)[0, 1] > 0.99
    assert exact.starts.argmax() == rounded.starts.argmax()


def test_a_network_without_a_file_or_of_other_inputs_is_refused(tmp_path: Path, segmenter: Segmenter) -> None:
    shutil.copytree(MODEL, tmp_path / "reader")
    config = json.loads((MODEL / "config.json").read_text("utf-8"))
    (tmp_path / "reader" / "config.json").write_text(json.dumps({**config, "szqa_input_version": 99}), "utf-8")
    with pytest.raises(ConfigurationError, match="模型的输入版本为 99"):
        SpanNetwork(segmenter, tmp_path / "reader")
    (tmp_path / "reader" / "model_int8.onnx").unlink()
    with pytest.raises(ConfigurationError, match=r"缺少 model_int8\.onnx，请运行 szqa train reader"):
        SpanNetwork(segmenter, tmp_path / "reader")
