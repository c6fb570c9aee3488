"""The shipped network's opinion on candidate answers.

It reads only the sentences that hold candidates, each with a little of its surroundings, so that the time it takes
depends on how much there is to decide and not on how long the passages are. Knows nothing of the columns and trees
that the candidates are ranked by, and of what is made of the scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Hit
from szqa.errors import ConfigurationError
from szqa.examiner import Examination, Place
from szqa.neural import (
    INPUT_VERSION,
    MARK_CLASS,
    Scorer,
    Vocabulary,
    encode_pair,
    onnx_scorer,
    score_places,
    windows,
    word_classes,
)
from szqa.ranker import require_files
from szqa.text import Segmenter, split_sentences

__all__ = ["NETWORK_FILES", "SpanNetwork", "windows_around"]

Floats = NDArray[np.float32]

# What an answer depends on; the folder also holds the network as transformers loads it.
NETWORK_FILES: Final = ("model_int8.onnx", "tokenizer.json", "config.json")
# Characters read on either side of a sentence. Tuned with the number of sentences (``szqa.ranker``) on CMRC 2018 trial
# and DRCD dev: without any the F1 is 0.01 lower, with 48 it is no higher.
_AROUND_CHARS: Final = 32
_MAX_WINDOW, _STRIDE = 384, 192
_CACHED_SENTENCES: Final = 10_000


class SpanNetwork:
    """Scores candidates by the start and end logits of a network.

    Args:
        segmenter: cuts passages into words.
        model_dir: folder that ``szqa train reader`` wrote.

    Raises:
        ConfigurationError: a file is missing, or the model was trained on other inputs.
    """

    def __init__(self, segmenter: Segmenter, model_dir: Path) -> None:
        require_files(model_dir, NETWORK_FILES, command="szqa train reader")
        version = json.loads((model_dir / "config.json").read_text("utf-8")).get("szqa_input_version")
        if version != INPUT_VERSION:
            raise ConfigurationError(
                f"{model_dir}: 模型的输入版本为 {version}，程序的为 {INPUT_VERSION}，请运行 szqa train reader "
                "(the model was trained on inputs of another version; run: szqa train reader)"
            )
        self._vocabulary = Vocabulary.load(model_dir)
        self._scorer: Scorer = onnx_scorer(model_dir / "model_int8.onnx")
        self._words_of = lru_cache(_CACHED_SENTENCES)(
            lambda sentence: word_classes(segmenter.cut(sentence), segmenter.plain_tag)
        )

    def score(self, question: str, hits: Sequence[Hit], examination: Examination, places: Sequence[int]) -> Floats:
        """(n,) start logit plus end logit of each candidate, less those of "not here" in its window.

        Candidates in sentences that are not among ``places`` score as low as the lowest in these.
        """
        read = [examination.places[number] for number in places]
        texts = {place.hit: hits[place.hit].passage.text for place in read}
        order = {hit: number for number, hit in enumerate(texts)}
        lengths = {hit: len(text) for hit, text in texts.items()}
        areas = [(order[hit], start, end) for hit, start, end in windows_around(read, lengths)]
        pairs = [
            encode_pair(
                question,
                text,
                words=self._word_classes(text, [(start, end) for its, start, end in areas if its == number]),
                vocabulary=self._vocabulary,
            )
            for number, text in enumerate(texts.values())
        ]
        scores = score_places(self._scorer, pairs, areas, self._vocabulary)
        result = np.zeros(len(examination.starts), np.float32)
        seen = np.isin(examination.place, places)
        for hit, number in order.items():
            rows = np.flatnonzero(seen & (examination.hit == hit))
            starts, ends = examination.starts[rows], examination.ends[rows]
            result[rows] = scores[number].starts[starts] + scores[number].ends[ends - 1]
        result[~seen] = result[seen].min(initial=0.0)
        return result

    def _word_classes(self, text: str, areas: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
        """``word_classes`` of a passage in some areas; elsewhere all is as if it were punctuation."""
        classes = np.full(len(text), MARK_CLASS, np.int64)
        for start, end in split_sentences(text):  # no word goes beyond its sentence
            if any(start < area_end and area_start < end for area_start, area_end in areas):
                classes[start:end] = self._words_of(text[start:end])
        return classes


def windows_around(places: Sequence[Place], lengths: dict[int, int]) -> Iterator[tuple[int, int, int]]:
    """What is read of each hit: its places with their surroundings, those that touch as one, long ones in windows.

    Args:
        places: the sentences that hold candidates.
        lengths: hit → length of its passage, in characters.

    Yields:
        (hit, start, end) within the passage's text.
    """
    for hit, length in lengths.items():
        merged: list[tuple[int, int]] = []
        for place in sorted((place for place in places if place.hit == hit), key=lambda place: place.start):
            start, end = max(0, place.start - _AROUND_CHARS), min(length, place.end + _AROUND_CHARS)
            if merged and start <= merged[-1][1]:
                start, end = merged[-1][0], max(end, merged.pop()[1])
            merged.append((start, end))
        for start, end in merged:
            for low, high in windows(end - start, size=_MAX_WINDOW, stride=_STRIDE):
                yield hit, start + low, start + high
