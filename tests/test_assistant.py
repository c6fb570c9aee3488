"""From question to cited answer, with a reader whose every choice is known."""

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import HashEmbedder, make_document
from szqa.assistant import MAX_QUESTION_CHARS, Assistant, check_question
from szqa.datatypes import Hit, Span
from szqa.errors import QuestionError
from szqa.index import Index
from szqa.retriever import Retriever
from szqa.text import Segmenter


class NumberReader:
    """Answers with the numbers of the passages, best passage first; sure of the first, less of each further one."""

    reader_id = "numbers"
    threshold = 0.5

    def read(self, question: str, hits: Sequence[Hit]) -> list[Span]:
        found = [(hit.passage, match) for hit in hits for match in re.finditer(r"\d+家", hit.passage.text)]
        return [Span(p, m.start(), m.end(), 0.9 - 0.1 * n) for n, (p, m) in enumerate(found[:9])]


@pytest.fixture(scope="module")
def assistant(embedder: HashEmbedder, segmenter: Segmenter) -> Assistant:
    text = "苏州市概况\n苏州有33家工厂。另有224家车间。\n去年也是33家工厂。\n风景很美。"
    document = make_document(text, title="苏州", source="suzhou.txt")
    index = Index.build([document], embedder=embedder, segmenter=segmenter)
    return Assistant(index, Retriever(index), NumberReader(), threshold=0.5)


def test_answer_and_citation(assistant: Assistant) -> None:
    answer = assistant.ask("苏州有多少家工厂？")
    assert answer.text == "33家"
    assert answer.score == pytest.approx(0.9)
    first = answer.citations[0]
    text = assistant.index.documents[first.document_id].text
    assert first.quote == answer.sentence == "苏州有33家工厂。"
    assert text[first.start : first.end] == first.quote
    assert text[first.answer_start : first.answer_end] == "33家"
    assert first.source == "suzhou.txt"
    assert set(answer.timings_ms) == {"retrieve", "read", "total"}


def test_other_places_that_say_the_same_are_cited(assistant: Assistant) -> None:
    citations = assistant.ask("苏州有多少家工厂？").citations
    assert [citation.n for citation in citations] == [1, 2]
    assert citations[1].quote == "去年也是33家工厂。"
    assert citations[1].answer == "33家"


def test_below_the_threshold_it_abstains(assistant: Assistant) -> None:
    careful = Assistant(assistant.index, assistant.retriever, assistant.reader, threshold=0.95)
    answer = careful.ask("苏州有多少家工厂？")
    assert answer.text is None
    assert answer.abstained
    assert answer.citations == ()
    assert answer.score == pytest.approx(0.9)
    assert len(answer.hits) > 0


def test_nothing_found_is_an_abstention(assistant: Assistant) -> None:
    answer = assistant.ask("🙂🙂🙂")
    assert answer.text is None
    assert answer.hits == ()
    assert answer.score == 0


@pytest.mark.parametrize("question", ["", "   ", "\n\t", "\x00\x07", "　"])
def test_empty_questions_are_refused(assistant: Assistant, question: str) -> None:
    with pytest.raises(QuestionError, match="空"):
        assistant.ask(question)


def test_too_long_a_question_is_refused(assistant: Assistant) -> None:
    assert assistant.ask("苏" * MAX_QUESTION_CHARS) is not None
    with pytest.raises(QuestionError, match="10000"):
        assistant.ask("苏" * 10_000)


def test_control_characters_do_not_count() -> None:
    assert check_question(" 苏州\x00有\x1b几家\udc80 ") == "苏州 有 几家"


@given(question=st.text(min_size=1, max_size=40))
def test_every_citation_is_verbatim(assistant: Assistant, question: str) -> None:
    try:
        answer = assistant.ask(question)
    except QuestionError:
        return
    for citation in answer.citations:
        text = assistant.index.documents[citation.document_id].text
        assert text[citation.start : citation.end] == citation.quote
        assert text[citation.answer_start : citation.answer_end] == answer.text
