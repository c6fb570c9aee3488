"""The columns that describe a candidate answer, and how they are put together.

Some hold for the whole question, some for a sentence, some for a candidate; the last ones compare a candidate with the
best one of the question. Knows nothing of how sentences were found.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from szqa.alignment.demands import demand_columns
from szqa.alignment.overlap import known_columns, near_columns, overlap_columns, overlaps
from szqa.alignment.sheet import Context, lay, longest_runs
from szqa.alignment.terms import FUNCTION_CHARACTERS, Forms, Wanted, coverage
from szqa.candidates import SPAN_COLUMNS, Sentence
from szqa.question import KINDS, Question, numbers, years

__all__ = ["COLUMNS", "RELATIVE_COLUMNS", "describe"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]

QUESTION_COLUMNS: Final = ("kind", "question_chars", "left_share", "asks_unit", "question_years", "question_levels")
SENTENCE_COLUMNS: Final = (
    "hit_rank",
    "hit_gap",
    "hits",
    "sentence_rank",
    "sentence_cover",
    "sentence_gap",
    "neighbour_cover",
    "passage_cover",
    "title_cover",
    "all_cover",
    "local_cover",
    "local_gap",
    "character_cover",
    "sentence_run",
    "sentence_chars",
    "sentence_position",
    "missing_weight_sentence",
    "missing_weight_passage",
    "missing_share_passage",
    "year_state",
    "number_missing",
    "level_missing",
    "names",
    "name_missing_sentence",
    "name_missing_around",
    "nouns",
    "noun_missing_sentence",
    "noun_missing_around",
)
ALIGNED_COLUMNS: Final = (
    *(
        f"{region}_{side}_{direction}"
        for region in ("sentence", "clause", "item")
        for side in ("left", "right")
        for direction in ("before", "after")
    ),
    "clause_cover",
    "clause_gap",
    "item_cover",
    "item_gap",
    "item_gap_all",
    "clause_gap_all",
    "inside_weight",
    "inside_share",
    "outside_cover",
    "distance_before",
    "weight_before",
    "distance_after",
    "weight_after",
    "distance_left_last",
    "distance_right_first",
    "match_before",
    "match_after",
    "unit_state",
    "unit_other",
    "head_state",
    "kind_match",
    "level_conflict",
    "year_conflict",
    "in_question",
    "noun_missing_clause",
    "noun_missing_item",
    "item_aligned",
    "clause_aligned",
    "item_apart",
    "item_known",
    "clause_known",
    "item_run",
    "run_at_start",
    "run_at_end",
)
# Of these the ranker also sees how far a candidate is from the best one of the kind asked for.
RELATIVE_TO: Final = (
    "item_aligned",
    "clause_aligned",
    "item_apart",
    "item_known",
    "item_run",
    "match_before",
    "match_after",
    "noun_missing_item",
)
RELATIVE_COLUMNS: Final = tuple(f"{name}_gap" for name in RELATIVE_TO)
COLUMNS: Final = (*QUESTION_COLUMNS, *SENTENCE_COLUMNS, *ALIGNED_COLUMNS, *SPAN_COLUMNS, *RELATIVE_COLUMNS)
# Where one group of columns ends and the next one begins.
_EDGES: Final = np.cumsum([len(QUESTION_COLUMNS), len(SENTENCE_COLUMNS), len(ALIGNED_COLUMNS), len(SPAN_COLUMNS)])


def describe(wanted: Wanted, sentences: Sequence[Sentence], contexts: Sequence[Context]) -> Floats:
    """Describe every candidate of the sentences read for a question.

    Returns:
        (n, len(COLUMNS)) float32, one row a candidate, sentence by sentence.
    """
    features = np.empty((sum(len(sentence.starts) for sentence in sentences), len(COLUMNS)), dtype=np.float32)
    if not len(features):
        return features
    sheet = lay(sentences)
    question = wanted.question
    runs = longest_runs(sheet.codes, (question.left, question.right))
    shared, sentence_wise, aligned, spans, relative = np.split(features, _EDGES, axis=1)
    shared[:] = _question_columns(wanted)
    sentence_wise[:] = _sentence_columns(wanted, sentences, contexts, sheet.whole.maxima(runs))[sheet.sentence]
    np.concatenate([sentence.features for sentence in sentences], out=spans)
    overlap = overlaps(wanted, sheet)
    columns = (
        *overlap_columns(overlap, sheet),
        *near_columns(overlap, sheet, contexts),
        *demand_columns(wanted, sheet, contexts, spans),
        *known_columns(overlap, sheet, question, runs),
    )
    for place, column in enumerate(columns):
        aligned[:, place] = column
    relative[:] = _relative(features)
    return features


def _question_columns(wanted: Wanted) -> list[float]:
    question = wanted.question
    return [
        KINDS.index(question.kind),
        len(question.text),
        coverage(wanted.terms, [term.left for term in wanted.terms]),
        bool(question.unit),
        len(question.years),
        len(question.levels),
    ]


class _Held(NamedTuple):
    """(k, g) each: which groups of some forms every sentence holds itself, and which its title and passage hold."""

    here: Bools
    title: Bools
    passage: Bools

    @property
    def around(self) -> Bools:
        return self.title | self.passage


def _held(groups: Sequence[Sequence[str]], sentences: Sequence[Sentence], contexts: Sequence[Context]) -> _Held:
    forms = Forms.of(groups)
    around = list(dict.fromkeys(text for context in contexts for text in (context.title, context.passage)))
    held = dict(zip(around, forms.held_by(around), strict=True))
    return _Held(
        forms.held_by([sentence.text for sentence in sentences]),
        np.array([held[context.title] for context in contexts]),
        np.array([held[context.passage] for context in contexts]),
    )


def _sentence_columns(
    wanted: Wanted, sentences: Sequence[Sentence], contexts: Sequence[Context], runs: NDArray[np.int32]
) -> NDArray[np.float64]:
    """(k, len(SENTENCE_COLUMNS)), given the longest run of the question's characters in each of the k sentences."""
    terms, question, texts = wanted.terms, wanted.question, [sentence.text for sentence in sentences]
    weights = np.array([term.weight for term in terms])
    held = _held([term.forms for term in terms], sentences, contexts)
    missing = np.array([coverage(terms, row) for row in (~held.around).tolist()])
    cover, local = (np.array([getattr(c, name) for c in contexts]) for name in ("cover", "local_cover"))
    columns = (
        [context.hit_rank for context in contexts],
        [context.hit_gap for context in contexts],
        [context.hits for context in contexts],
        [context.rank for context in contexts],
        cover,
        cover.max() - cover,
        [context.neighbour_cover for context in contexts],
        [coverage(terms, row) for row in held.passage.tolist()],
        [coverage(terms, row) for row in held.title.tolist()],
        1.0 - missing,
        local,
        local.max() - local,
        _character_cover(question, texts),
        runs,
        [len(text) for text in texts],
        [context.start / max(1, len(context.passage)) for context in contexts],
        np.where(held.here, 0, weights).max(axis=1, initial=0),
        np.where(held.around, 0, weights).max(axis=1, initial=0),
        missing,
        *_contradictions(question, texts, contexts),
        *_missing_words(wanted.names, sentences, contexts),
        *_missing_words(wanted.nouns, sentences, contexts),
    )
    return np.array(columns, dtype=np.float64).T


def _character_cover(question: Question, texts: Sequence[str]) -> list[float]:
    """Share of the question's characters, function words left out, that each text holds."""
    asked = {character for character in question.left + question.right if character.isalnum()} - FUNCTION_CHARACTERS
    return [len(asked.intersection(text)) / len(asked) if asked else 0.0 for text in texts]


def _contradictions(question: Question, texts: Sequence[str], contexts: Sequence[Context]) -> list[list[int]]:
    """Columns from year_state to level_missing."""
    return [
        [_year_state(question, text, context) for text, context in zip(texts, contexts, strict=True)],
        [len(question.numbers - numbers(text)) if question.numbers else -1 for text in texts],
        [sum(level not in text for level in question.levels) if question.levels else -1 for text in texts],
    ]


def _year_state(question: Question, text: str, context: Context) -> int:
    """-1 no year asked, 0 it is nowhere, 1 around, 2 in the sentence; less 3 where the sentence names only others."""
    if not question.years:
        return -1
    if any(year in text for year in question.years):
        return 2
    around = any(year in context.title or year in context.passage for year in question.years)
    return int(around) - (3 if years(text) else 0)


def _missing_words(
    words: Sequence[Sequence[str]], sentences: Sequence[Sentence], contexts: Sequence[Context]
) -> tuple[Ints, Ints, Ints]:
    """Number of words, of those that each sentence lacks, and of those that are not around it either."""
    held = _held(words, sentences, contexts)
    count = np.full(len(sentences), len(words))
    return count, count - held.here.sum(axis=1), count - held.around.sum(axis=1)


def _relative(features: Floats) -> Floats:
    """(n, len(RELATIVE_COLUMNS)) how far each candidate is from the best one of the kind asked for."""
    kind = features[:, COLUMNS.index("kind_match")]
    values = features[:, [COLUMNS.index(name) for name in RELATIVE_TO]]
    gaps: Floats = values - values[kind == kind.max()].max(axis=0)
    return gaps
