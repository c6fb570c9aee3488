"""Question and passages → every candidate answer in them, each with the columns the span ranker reads.

Chooses the sentences that share most with the question, proposes spans in them and describes each. Knows nothing of
models or of which candidate is best.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from szqa.alignment import COLUMNS, Context, Forms, Term, Wanted, describe, extract_terms
from szqa.candidates import Sentence, propose_all
from szqa.datatypes import Hit
from szqa.question import Question, analyse
from szqa.synonyms import SYNONYMS
from szqa.text import Segmenter, Token, fold, split_sentences

__all__ = ["CandidateScorer", "Examination", "Examiner", "Place"]

Ints = NDArray[np.int32]
Floats = NDArray[np.float32]

# Most answers stand in the first three sentences; eight still fit the time of an answer.
_MAX_SENTENCES: Final = 8
_MAX_CANDIDATES: Final = 1500
_CACHED_SENTENCES: Final = 20_000
_NAME_TAGS: Final = frozenset(("nr", "ns", "nt", "nz", "nrt", "nrfg"))
_NOUN_TAGS: Final = frozenset(("n", "vn", "an", "l", "i", "j", "b", "eng", ""))


class Place(NamedTuple):
    """A sentence of a hit that is read.

    Attributes:
        hit: index of the hit.
        start: first code point within the passage's text.
        end: code point after the last one.
        cover: share of the question's weight found in it, [0, 1].
        around: the same with its neighbours, the title and the headings.
        local: like ``cover``, but a term found in fewer of the sentences weighs more.
    """

    hit: int
    start: int
    end: int
    cover: float
    around: float
    local: float


@dataclass(frozen=True, slots=True)
class Examination:
    """Every candidate answer to a question.

    Attributes:
        question: the question, taken apart.
        folded: the folded text of each hit's passage.
        places: the sentences that were read, best first.
        place: (n,) for each candidate the index of its sentence in ``places``.
        hit: (n,) the index of its hit.
        starts: (n,) first code point within the passage's text.
        ends: (n,) code point after the last one.
        features: (n, len(COLUMNS)) its columns.
    """

    question: Question
    folded: tuple[str, ...]
    places: tuple[Place, ...]
    place: Ints
    hit: Ints
    starts: Ints
    ends: Ints
    features: Floats


class CandidateScorer(Protocol):
    """Scores the candidates of an examination by other means than their columns, as a network does."""

    def score(self, question: str, hits: Sequence[Hit], examination: Examination, places: Sequence[int]) -> Floats:
        """(n,) float32, one score a candidate; higher is better, comparable across the hits of a question.

        Args:
            question: as asked.
            hits: the passages.
            examination: the candidates in them.
            places: indexes of the sentences to read; candidates elsewhere score as low as the lowest in these.
        """
        ...


class Examiner:
    """Finds and describes candidate answers.

    Args:
        segmenter: tags the words of sentences.
        weight_of: how much a word or a pair of characters tells, >= 0.
    """

    def __init__(self, segmenter: Segmenter, weight_of: Callable[[str], float]) -> None:
        self._segmenter = segmenter
        self._weight_of = weight_of
        self._known: OrderedDict[str, Sentence] = OrderedDict()

    def examine(self, question: str, hits: Sequence[Hit]) -> Examination:
        """Describe the candidate answers to a question in the best sentences of the hits, given best first."""
        asked = analyse(fold(question))
        words = self._tag(asked.text)
        terms = extract_terms(asked, self._weight_of, breaks={word.start for word in words})
        folded = tuple(fold(hit.passage.text) for hit in hits)
        titles = [fold(" ".join((hit.passage.title, *hit.passage.headings))) for hit in hits]
        places, sentences = self._choose(_rank_places(terms, folded, titles), folded)
        if not places:
            nothing = np.zeros(0, dtype=np.int32)
            empty = np.zeros((0, len(COLUMNS)), dtype=np.float32)
            return Examination(asked, folded, (), nothing, nothing, nothing, nothing, empty)
        names, nouns = _demands(asked, words)
        wanted = Wanted(asked, terms, names, nouns)
        sizes = [len(sentence.starts) for sentence in sentences]
        offsets = np.repeat([place.start for place in places], sizes)
        return Examination(
            question=asked,
            folded=folded,
            places=tuple(places),
            place=np.repeat(np.arange(len(places)), sizes).astype(np.int32),
            hit=np.repeat([place.hit for place in places], sizes).astype(np.int32),
            starts=(np.concatenate([sentence.starts for sentence in sentences]) + offsets).astype(np.int32),
            ends=(np.concatenate([sentence.ends for sentence in sentences]) + offsets).astype(np.int32),
            features=describe(wanted, sentences, _contexts(hits, places, folded, titles)),
        )

    def _choose(self, ranked: Sequence[Place], folded: Sequence[str]) -> tuple[list[Place], list[Sentence]]:
        """The best sentences, as many as the limits on sentences and candidates allow."""
        places: list[Place] = []
        sentences: list[Sentence] = []
        count = 0
        best = ranked[:_MAX_SENTENCES]
        for place, sentence in zip(
            best, self._sentences([folded[place.hit][place.start : place.end] for place in best]), strict=True
        ):
            if len(sentence.starts) and (not places or count + len(sentence.starts) <= _MAX_CANDIDATES):
                places.append(place)
                sentences.append(sentence)
                count += len(sentence.starts)
        return places, sentences

    def _sentences(self, folded: Sequence[str]) -> list[Sentence]:
        new = [text for text in dict.fromkeys(folded) if text not in self._known]
        self._known.update(zip(new, propose_all(new, [self._tag(text) for text in new]), strict=True))
        found = [self._known[text] for text in folded]
        while len(self._known) > _CACHED_SENTENCES:
            self._known.popitem(last=False)
        return found

    def _tag(self, folded: str) -> list[Token]:
        """Words with the part of speech that jieba's dictionary gives them, nine times as fast as in context."""
        tag = self._segmenter.dictionary_tag
        return [token._replace(tag=tag(token.text)) for token in self._segmenter.cut(folded)]


def _demands(
    asked: Question, words: Sequence[Token]
) -> tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]:
    """Names and other nouns of a question outside its question word, each with what may stand for it."""
    names, nouns = [], []
    for token in words:
        if len(token.text) < 2 or not token.text.isalnum() or (token.start < asked.end and asked.start < token.end):
            continue
        if token.tag in _NAME_TAGS:
            short = token.text[:-1] if len(token.text) > 2 and token.text[-1] in "市省县区镇" else token.text
            names.append((short,))
        elif token.tag in _NOUN_TAGS:
            nouns.append((token.text, *SYNONYMS.get(token.text, ())))
    return tuple(names), tuple(nouns)


def _rank_places(terms: Sequence[Term], folded: Sequence[str], titles: Sequence[str]) -> list[Place]:
    """All sentences of all hits, those that share most with the question first."""
    intervals = [split_sentences(text) for text in folded]
    forms = Forms.of([term.forms for term in terms])
    found = [
        forms.held_by([text[a:b] for a, b in some]).astype(np.float64)
        for text, some in zip(folded, intervals, strict=True)
    ]
    weights = np.array([term.weight for term in terms])
    weights /= weights.sum() or 1.0
    holding = np.sum([rows.sum(axis=0) for rows in found], axis=0)
    local = weights * np.log((sum(map(len, intervals)) + 1) / (holding + 0.5))
    local /= local.sum() or 1.0
    ranked: list[tuple[float, Place]] = []
    for hit, (rows, titled) in enumerate(zip(found, forms.held_by(titles), strict=True)):
        near = np.maximum(rows, titled)
        near[1:] = np.maximum(near[1:], rows[:-1])
        near[:-1] = np.maximum(near[:-1], rows[1:])
        for (start, end), row, row_near in zip(intervals[hit], rows, near, strict=True):
            cover, local_cover, around = float(weights @ row), float(local @ row), float(weights @ row_near)
            score = 0.5 * (cover + local_cover) + 0.3 * around - 0.02 * hit
            ranked.append((score, Place(hit, start, end, cover, around, local_cover)))
    ranked.sort(key=lambda pair: (-pair[0], pair[1].hit, pair[1].start))
    return [place for _, place in ranked]


def _contexts(
    hits: Sequence[Hit], places: Sequence[Place], folded: Sequence[str], titles: Sequence[str]
) -> list[Context]:
    # Only BM25 scores mean the same in training and in use: fused ones depend on the embedder.
    best = max(hit.lexical_score for hit in hits)
    return [
        Context(
            passage=folded[place.hit],
            title=titles[place.hit],
            start=place.start,
            hit_rank=place.hit + 1,
            hit_gap=1.0 - hits[place.hit].lexical_score / best if best > 0 else 0.0,
            hits=len(hits),
            rank=rank,
            cover=place.cover,
            local_cover=place.local,
            neighbour_cover=place.around,
        )
        for rank, place in enumerate(places)
    ]
