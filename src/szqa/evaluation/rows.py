"""Ask every question of an evaluation set and judge what comes back, question by question.

The driver is given callables, so it measures anything that answers. It knows nothing of files, indexes or tables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from szqa.datatypes import Answer, Citation, Document, Hit
from szqa.evaluation.answers import exact_match, f1_score
from szqa.evaluation.ranking import RANKING_DEPTH
from szqa.goldset import Place, Question

__all__ = ["Ask", "Excerpt", "QuestionRow", "Search", "evaluate", "score_predictions"]

Ask = Callable[[Question], Answer]
Search = Callable[[Question], Sequence[Hit]]


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A piece of a source with some of its characters marked.

    Attributes:
        location: where it stands, for a reader.
        text: the piece.
        start: first marked code point within ``text``.
        end: code point after the last marked one; equal to ``start`` where nothing is marked.
    """

    location: str
    text: str
    start: int = 0
    end: int = 0


@dataclass(frozen=True, slots=True)
class QuestionRow:
    """What became of one question.

    Attributes:
        id: the question's id.
        question: its text.
        type: its type.
        split: "dev", "test" or empty.
        answers: the gold answers; empty where the documents do not say.
        candidate: the best answer found, given or not; ``None`` where there was none.
        score: the candidate's score, [0, 1]; ``None`` where the system gives none.
        answered: whether the candidate was given as the answer.
        candidate_em: exact match of the candidate, whether given or not.
        candidate_f1: its F1.
        ranks: rank of the first passage that holds each piece of evidence, from 1; ``None`` for one not found among
            the first ten; the whole ``None`` where retrieval was not measured.
        cited: for each citation, whether it holds any of the evidence.
        verbatim: whether the candidate and every quote are what stands at their place in the source; ``None`` where
            there is no candidate or its source is not known.
        timings_ms: milliseconds of each stage.
        shown: the passage of the candidate, to show.
        gold: the evidence, to show.
    """

    id: str
    question: str
    type: str
    split: str
    answers: tuple[str, ...]
    candidate: str | None
    score: float | None
    answered: bool
    candidate_em: float
    candidate_f1: float
    ranks: tuple[int | None, ...] | None = None
    cited: tuple[bool, ...] = ()
    verbatim: bool | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    shown: Excerpt | None = None
    gold: tuple[Excerpt, ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether the documents hold an answer."""
        return bool(self.answers)

    @property
    def em(self) -> float:
        """Exact match as SQuAD 2.0 counts it: abstaining is right exactly where there is no answer."""
        return self.candidate_em if self.answered else self.abstaining_gain

    @property
    def f1(self) -> float:
        """F1, with abstaining counted as for ``em``."""
        return self.candidate_f1 if self.answered else self.abstaining_gain

    @property
    def abstaining_gain(self) -> float:
        """What abstaining on this question is worth: 1 where there is no answer, else 0."""
        return float(not self.answerable)

    @property
    def outcome(self) -> str:
        """One of "right" (exact match, or abstained where there is no answer), "abstained" and "wrong"."""
        if self.em == 1:
            return "right"
        return "wrong" if self.answered else "abstained"


def evaluate(
    questions: Iterable[Question],
    ask: Ask,
    search: Search | None = None,
    *,
    threshold: float = 0.0,
    documents: Mapping[str, Document] | None = None,
) -> Iterator[QuestionRow]:
    """Ask questions one by one.

    Args:
        questions: what is asked; hand in an iterable that shows progress to see some.
        ask: gives the best answer it can find, whatever its score, so that every threshold can be judged afterwards.
        search: gives the passages for a question, best first; ``None`` leaves retrieval unmeasured.
        threshold: score from which a candidate counts as given, [0, 1].
        documents: the sources by id, to check that answers and quotes are verbatim.

    Yields:
        One row a question as it is done: stop in between, and the rows so far are whole.
    """
    for question in questions:
        answer = ask(question)
        hits = search(question) if search and question.evidence else None
        candidate_em, candidate_f1 = _judge(answer.text, question)
        yield QuestionRow(
            question.id,
            question.text,
            question.type,
            question.split,
            question.answers,
            answer.text,
            answer.score,
            answer.text is not None and answer.score >= threshold,
            candidate_em,
            candidate_f1,
            None if hits is None else _ranks(question, hits),
            tuple(_supported(question, citation) for citation in answer.citations),
            _is_verbatim(answer, documents) if answer.text is not None and documents is not None else None,
            answer.timings_ms,
            _shown(answer),
            _gold_excerpts(question),
        )


def score_predictions(
    questions: Iterable[Question], predictions: Mapping[str, str], *, documents: Sequence[Document] = ()
) -> list[QuestionRow]:
    """Score another system's answers.

    Args:
        questions: what was asked.
        predictions: question id → answer; empty or missing where the system abstained.
        documents: the sources, to check that answers stand in one of them.
    """
    rows = []
    for question in questions:
        candidate = predictions.get(question.id, "").strip() or None
        em, f1 = _judge(candidate, question)
        verbatim = any(candidate in document.text for document in documents) if candidate and documents else None
        rows.append(
            QuestionRow(
                question.id,
                question.text,
                question.type,
                question.split,
                question.answers,
                candidate,
                None,
                candidate is not None,
                em,
                f1,
                verbatim=verbatim,
                gold=_gold_excerpts(question),
            )
        )
    return rows


def _judge(candidate: str | None, question: Question) -> tuple[float, float]:
    if candidate is None or not question.answerable:
        return 0.0, 0.0
    return exact_match(candidate, question.answers), f1_score(candidate, question.answers)


def _ranks(question: Question, hits: Sequence[Hit]) -> tuple[int | None, ...]:
    places = [Place(hit.passage.document_id, hit.passage.start, hit.passage.end) for hit in hits[:RANKING_DEPTH]]
    return tuple(
        next((rank for rank, place in enumerate(places, start=1) if evidence.supports(place)), None)
        for evidence in question.evidence
    )


def _supported(question: Question, citation: Citation) -> bool:
    place = Place(citation.document_id, citation.start, citation.end)
    return any(evidence.supports(place) for evidence in question.evidence)


def _is_verbatim(answer: Answer, documents: Mapping[str, Document]) -> bool:
    first = answer.citations[0]
    text = documents[first.document_id].text
    return text[first.answer_start : first.answer_end] == answer.text and all(
        documents[citation.document_id].text[citation.start : citation.end] == citation.quote
        for citation in answer.citations
    )


def _shown(answer: Answer) -> Excerpt | None:
    """The passage around the first citation, the answer marked."""
    if answer.text is None:
        return None
    citation = answer.citations[0]
    start, text = citation.start, citation.quote
    for hit in answer.hits:
        passage = hit.passage
        if passage.document_id == citation.document_id and passage.start <= citation.start < passage.end:
            start, text = passage.start, passage.text
    at = (citation.answer_start or citation.start) - start
    return Excerpt(" › ".join((citation.title, *citation.headings)), text, at, at + len(answer.text))


def _gold_excerpts(question: Question) -> tuple[Excerpt, ...]:
    excerpts = []
    for evidence in question.evidence:
        # The longest answer shows best what belongs to it.
        found = [answer for answer in sorted(question.answers, key=len) if answer in evidence.quote]
        start = evidence.quote.find(found[-1]) if found else 0
        excerpts.append(Excerpt(evidence.source, evidence.quote, start, start + len(found[-1]) if found else start))
    return tuple(excerpts)
