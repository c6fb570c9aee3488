"""BM25 fields against counting by hand and the textbook's formula, in one piece and in many."""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from szqa import bm25
from szqa.bm25 import Field, FieldBuilder, Rows

TEXTS = st.lists(st.lists(st.sampled_from([1, 2, 3, 5, 2**63 + 7]), max_size=12), min_size=1, max_size=9)


def rows_of(texts: list[list[int]]) -> Rows:
    row = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    keys = np.array([key for text in texts for key in text], dtype=np.uint64)
    return Rows.of(row, keys, size=len(texts))


def score(texts: list[list[int]], row: int, asked: dict[int, int]) -> float:
    mean = sum(max(1, len(text)) for text in texts) / len(texts)
    total = 0.0
    for key, times in asked.items():
        holding = sum(key in text for text in texts)
        count = texts[row].count(key)
        norm = 0.6 * (1 - 0.4 + 0.4 * max(1, len(texts[row])) / mean)
        total += times * math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5)) * count / (count + norm)
    return total


@pytest.fixture(params=[3, 1 << 21], ids=["many parts", "one part"])
def _parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bm25, "_CHUNK", request.param)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(TEXTS, st.integers(0, 9))
@pytest.mark.usefixtures("_parts")
def test_scores_and_rows(tmp_path_factory: pytest.TempPathFactory, texts: list[list[int]], cut: int) -> None:
    folder = tmp_path_factory.mktemp("field")
    builder = FieldBuilder(folder, folder)
    for part in (texts[:cut], texts[cut:]):
        if part:
            builder.add(rows_of(part))
    builder.finish()
    field = Field.load(folder)
    asked = {2: 1, 5: 2, 2**63 + 7: 1, 99: 1}
    expected = [score(texts, row, asked) for row in range(len(texts))]
    np.testing.assert_allclose(field.scores(asked), expected, rtol=1e-5)
    read = field.read_rows(folder)
    assert read.keys.tolist() == [key for text in texts for key in sorted(set(text))]
    assert read.counts.tolist() == [Counter(text)[key] for text in texts for key in sorted(set(text))]
    assert read.sizes.tolist() == [len(set(text)) for text in texts]


def test_chosen_rows_come_in_the_order_asked_for() -> None:
    chosen = rows_of([[1, 2, 2], [], [3], [2, 5]]).chosen(np.array([3, 1, 0, 0]))
    assert chosen.keys.tolist() == [2, 5, 1, 2, 1, 2]
    assert chosen.counts.tolist() == [1, 1, 1, 2, 1, 2]
    assert chosen.sizes.tolist() == [2, 0, 2, 2]
    assert chosen.lengths.tolist() == [2, 0, 3, 3]


def test_files_do_not_depend_on_the_parts(tmp_path: Path) -> None:
    texts = [[1, 2], [2, 2, 3], [7], [], [1, 7, 7]]
    for name, cuts in (("one", [5]), ("many", [1, 2, 5])):
        builder = FieldBuilder(tmp_path / name, tmp_path)
        start = 0
        for end in cuts:
            builder.add(rows_of(texts[start:end]))
            start = end
        builder.finish()
    for path in sorted((tmp_path / "one").iterdir()):
        assert path.read_bytes() == (tmp_path / "many" / path.name).read_bytes()
