"""Plain text with hidden characters: what is drawn, what is hidden, and that a network learns from it."""

import json
from pathlib import Path

import numpy as np
import pytest

from szqa.neural import Vocabulary
from szqa.text import Segmenter
from szqa.training.masked_text import NO_TARGET, MaskedBatch, Text, draw_masked_batches, encode_text
from szqa.training.network import Preset
from szqa.training.questions import Example
from szqa.training.reader import Stage, train
from szqa.training.reader_data import encode_examples

PARAGRAPHS = ["春江潮水连海平，海上明月共潮生。" * 4, "滟滟随波千万里，何处春江无月明。" * 4, ""]


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary.of(PARAGRAPHS, min_count=1, max_size=100)


@pytest.fixture
def text(vocabulary: Vocabulary) -> Text:
    return encode_text({"one": PARAGRAPHS, "two": ["月" * 50]}, {"one": 3.0, "two": 1.0}, vocabulary)


def _draw(
    text: Text, vocabulary: Vocabulary, *, first_step: int = 0, part: tuple[int, int] = (0, 1)
) -> list[MaskedBatch]:
    return list(
        draw_masked_batches(
            text, vocabulary, seed=1, steps=6, first_step=first_step, batch_chars=4000, sizes=(20, 40), part=part
        )
    )


def test_a_document_ends_with_a_separator(text: Text, vocabulary: Vocabulary) -> None:
    assert text.ids[0] == text.ids[text.stops[0] - 1] == vocabulary.sep_id
    assert text.stops.tolist() == [1 + 65 + 65 + 1, 1 + 65 + 65 + 1 + 1 + 51]
    decoded = "".join(vocabulary.tokens[i] for i in text.ids[1:17])
    assert decoded == "春江潮水连海平,海上明月共潮生。"


def test_a_fifth_is_hidden_and_the_rest_is_shown(text: Text, vocabulary: Vocabulary) -> None:
    for batch in _draw(text, vocabulary):
        asked = batch.targets != NO_TARGET
        assert 0.12 < asked.mean() < 0.28
        shown = np.where(asked, batch.targets, batch.input_ids)
        assert (batch.input_ids[:, 0] == vocabulary.cls_id).all()
        assert (shown[:, 1:] != vocabulary.mask_id).all()
        assert 0.7 < (batch.input_ids[asked] == vocabulary.mask_id).mean() < 0.9
        # What is shown and what is asked for are a piece of the text together.
        row = "".join(map(chr, shown[0, 1:]))
        assert row in "".join(map(chr, text.ids))


def test_sources_are_drawn_by_their_weights(text: Text, vocabulary: Vocabulary) -> None:
    moon = vocabulary.encode("月")[0]
    rows = [
        np.isin(np.where(batch.targets == NO_TARGET, batch.input_ids, batch.targets)[:, 1:15], [moon]).all(axis=1)
        for batch in _draw(text, vocabulary)
    ]
    assert 0.15 < np.concatenate(rows).mean() < 0.35


def test_steps_do_not_depend_on_where_drawing_began(text: Text, vocabulary: Vocabulary) -> None:
    whole, rest = _draw(text, vocabulary), _draw(text, vocabulary, first_step=4)
    odd = _draw(text, vocabulary, part=(1, 2))
    assert len(rest) == 2
    assert len(odd) == 3
    for one, other in zip([*whole[4:], *whole[1::2]], [*rest, *odd], strict=True):
        assert np.array_equal(one.input_ids, other.input_ids)
        assert np.array_equal(one.targets, other.targets)


def test_saved_text_comes_back(text: Text, tmp_path: Path) -> None:
    text.save(tmp_path / "text.npz")
    loaded = Text.load(tmp_path / "text.npz")
    assert np.array_equal(loaded.ids, text.ids)
    assert np.array_equal(loaded.stops, text.stops)
    assert np.array_equal(loaded.weights, text.weights)


def test_a_network_learns_to_guess(text: Text, vocabulary: Vocabulary, segmenter: Segmenter, tmp_path: Path) -> None:
    text.save(tmp_path / "text.npz")
    vocabulary.save(tmp_path)
    encode_examples([Example("春江？", "春江潮水", 0, 2)], segmenter=segmenter, vocabulary=vocabulary).save(
        tmp_path / "trial.npz"
    )
    preset = Preset(layers=1, hidden=32, heads=2, intermediate=64, batch_chars=640, learning_rate=0.01, decay=0.9)
    train(tmp_path, tmp_path / "run", preset=preset, stages=[Stage("masked", (), steps=250, sizes=(40,), warm_up=10)])
    losses = [json.loads(line)["loss"] for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()[:5]]
    # Guessing by frequency alone leaves about 3.
    assert losses[4] < min(losses[0], 2.0)
