"""Whatever a document says, it is shown as text and never as markup."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from szqa.datatypes import Answer, Citation, Hit, Passage
from szqa.rendering import (
    NOT_FOUND,
    answer_json,
    answer_markdown,
    evidence_html,
    highlighted_html,
    passage_segments,
    segments,
)

QUOTE = "苏州<b>有</b>33家&工厂。"


def _answer(quote: str, answer: str) -> Answer:
    text = "前文。" + quote + "后文。"
    passage = Passage("d:10-99", "d", "标题<i>", ("一",), text, 10, 10 + len(text))
    start = 13 + quote.index(answer)
    citation = Citation(1, "d", "标题<i>", "a.txt", ("一",), quote, 13, 13 + len(quote), start, start + len(answer))
    hits = (Hit(passage, score=1.23456, rank=1),)
    return Answer("几家", answer, 0.87654, quote, (citation,), hits, {"total": 1.23456})


def test_json_has_the_documented_shape() -> None:
    row = answer_json(_answer(QUOTE, "33家"))
    assert row["answer"] == "33家"
    assert row["score"] == 0.8765
    citation = row["citations"][0]
    assert list(citation) == [
        "n", "document_id", "title", "source", "headings", "quote", "start", "end", "answer_start", "answer_end",
    ]  # fmt: skip
    assert row["passages"] == [
        {"document_id": "d", "start": 10, "end": 33, "text": "前文。" + QUOTE + "后文。", "score": 1.2346}
    ]
    assert json.loads(json.dumps(row)) == row


def test_abstention_is_null_without_citations() -> None:
    row = answer_json(Answer("几家", None, 0.1))
    assert row["answer"] is None
    assert row["citations"] == []
    assert row["passages"] == []


def test_segments_join_to_the_quote() -> None:
    citation = _answer(QUOTE, "33家").citations[0]
    assert segments(citation) == [("苏州<b>有</b>", False), ("33家", True), ("&工厂。", False)]


def test_passage_segments_join_to_the_passage() -> None:
    answer = _answer(QUOTE, "33家")
    passage = answer.hits[0].passage
    pieces = passage_segments(passage, answer.citations)
    assert pieces == [("前文。苏州<b>有</b>", False), ("33家", True), ("&工厂。后文。", False)]
    assert passage_segments(passage, ()) == [(passage.text, False)]
    elsewhere = Passage("e:10-13", "e", "另", (), "另一篇", 10, 13)
    assert passage_segments(elsewhere, answer.citations) == [("另一篇", False)]


def test_html_is_escaped_and_marked() -> None:
    answer = _answer(QUOTE, "33家")
    assert highlighted_html(answer.citations[0]) == "苏州&lt;b&gt;有&lt;/b&gt;<mark>33家</mark>&amp;工厂。"
    html = evidence_html(answer)
    assert "标题&lt;i&gt; › 一" in html
    assert "前文。苏州" in html
    assert "<b>" not in html


def test_abstention_shows_related_passages() -> None:
    hits = _answer("<script>x</script>", "x").hits
    html = evidence_html(Answer("几家", None, 0.1, hits=hits))
    assert "可能相关" in html
    assert "&lt;script&gt;" in html
    assert "<script>" not in html
    assert answer_markdown(Answer("几家", None, 0.1)) == NOT_FOUND


@pytest.mark.parametrize("text", ["**粗体**", "<b>x</b>", "[x](http://a)", "# 一", "`a`", "1. 项", "![x](y)", "《甲》"])
def test_markdown_shows_a_text_as_it_stands(text: str) -> None:
    tokens = MarkdownIt().parse(answer_markdown(_answer(f"甲{text}乙。", text)))
    inline = [token for token in tokens if token.type == "inline"]
    shown = "".join(child.content for child in inline[0].children or [])
    assert shown == f"{text} [1]"
    assert "".join(child.content for child in inline[1].children or []) == f"甲{text}乙。"


@given(st.text(alphabet="甲<>&\"'*_[]()`#!-.1 ", min_size=1, max_size=20))
def test_no_markup_survives(text: str) -> None:
    html = evidence_html(_answer(f"甲{text}乙。", text))
    inside = html.replace("<mark>", "").replace("</mark>", "")
    assert inside.count("<") == inside.count("<div") + inside.count("</div") + inside.count("<blockquote") * 2
