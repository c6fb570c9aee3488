from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from szqa.chunker import ChunkerSettings, chunk
from szqa.corpus import load_corpus, load_document
from szqa.datatypes import Block, Document, Passage
from szqa.text import split_sentences

CORPUS = Path(__file__).parents[1] / "corpus"


def make_document(*paragraphs: str | tuple[int, str], title: str = "题目") -> Document:
    """Strings are prose, pairs are headings with their level."""
    text, blocks = "", []
    for paragraph in paragraphs:
        level, words = paragraph if isinstance(paragraph, tuple) else (0, paragraph)
        text += "\n\n" if text else ""
        blocks.append(Block("heading" if level else "prose", len(text), len(text) + len(words), level))
        text += words
    return Document("id", title, text, "a.txt", tuple(blocks))


def cut(document: Document, max_chars: int = 600) -> list[tuple[tuple[str, ...], str]]:
    return [(passage.headings, passage.text) for passage in chunk(document, ChunkerSettings(max_chars))]


def check(document: Document, passages: list[Passage], max_chars: int) -> None:
    position = 0
    for passage in passages:
        assert position <= passage.start < passage.end
        assert document.text[passage.start : passage.end] == passage.text == passage.text.strip()
        assert passage.id == f"{document.id}:{passage.start}-{passage.end}"
        assert len(passage.text) <= max_chars
        position = passage.end
    for block in document.blocks:
        if block.kind == "heading":
            continue
        for low, high in split_sentences(document.text[block.start : block.end]):
            start, end = block.start + low, block.start + high
            holders = [p for p in passages if p.start < end and start < p.end]
            if end - start <= max_chars:
                assert len(holders) == 1
                assert holders[0].start <= start
                assert end <= holders[0].end
            kept = "".join(document.text[max(start, p.start) : min(end, p.end)] for p in holders)
            assert "".join(kept.split()) == "".join(document.text[start:end].split())


def test_passages_of_the_source_text() -> None:
    document = next(d for d in load_corpus(CORPUS) if d.title.startswith("苏州："))
    passages = chunk(document)
    check(document, passages, 600)
    assert len(passages) == 25  # 21 paragraphs, 3 captions, 1 note
    by_start = {passage.text[:8]: passage.headings for passage in passages}
    assert by_start["回顾2024年，"] == ()
    assert by_start["2024年初，苏"] == ("打造一流现代工业体系 激发新动能",)
    assert by_start["绿色制造体系不断"] == ("激活新质生产力引擎 构筑新高地",)
    assert by_start["在龙头企业培育方"] == ("厚植营商环境沃土 引入新活力",)
    assert "数据来源：中共苏" in by_start
    assert not any("中国式现代化\n" in passage.text for passage in passages)


@pytest.mark.parametrize("max_chars", [30, 60, 150, 300])
def test_smaller_passages_of_the_source_text(max_chars: int) -> None:
    for document in load_corpus(CORPUS):
        passages = chunk(document, ChunkerSettings(max_chars))
        check(document, passages, max_chars)


def test_headings_are_a_path_without_the_title() -> None:
    document = make_document(
        (1, "题目"), "一。" * 40, (2, "甲"), "二。" * 40, (3, "乙"), "三。" * 40, (2, "丙"), "四。" * 40
    )
    assert [headings for headings, _ in cut(document)] == [(), ("甲",), ("甲", "乙"), ("丙",)]


def test_heading_with_nothing_under_it_is_a_passage() -> None:
    document = make_document((1, "题目"), (2, "甲"), (3, "乙"), (2, "丙"), "正文。", (2, "丁"))
    assert cut(document) == [((), "甲"), (("甲",), "乙"), (("丙",), "正文。"), ((), "丁")]


def test_masthead_is_no_passage() -> None:
    assert cut(make_document((1, "刊物"), (1, "题目"), "正文。")) == [((), "正文。")]
    assert cut(make_document((1, "刊物"), (1, "别的"), "正文。")) == [((), "刊物"), (("别的",), "正文。")]


def test_document_of_a_title_only_is_a_passage() -> None:
    assert cut(make_document((1, "题目"))) == [((), "题目")]


def test_short_neighbours_are_put_together() -> None:
    long = "很长的一段话，" * 10 + "完。"
    document = make_document("甲。", "乙。", long, "包括以下几项：" + long[:-2] + "：", "丙", "丁", (2, "节"), "戊")
    assert [text for _, text in cut(document)] == [
        "甲。\n\n乙。",
        long,
        "包括以下几项：" + long[:-2] + "：\n\n丙\n\n丁",
        "戊",
    ]


def test_short_neighbours_make_no_long_passage() -> None:
    passages = cut(make_document(*["这是列表中的一项内容" for _ in range(50)]))
    assert 1 < len(passages) < 5
    assert all(150 < len(text) <= 200 for _, text in passages[:-1])


def test_long_paragraph_is_cut_into_balanced_pieces() -> None:
    passages = cut(make_document("一二三四五六七八九。" * 7), 60)
    assert [len(text) for _, text in passages] == [40, 30]


def test_long_sentence_is_cut_at_semicolon_then_comma_then_anywhere() -> None:
    assert [t for _, t in cut(make_document("甲甲甲，甲甲；乙乙，乙乙乙。"), 8)] == ["甲甲甲，甲甲；", "乙乙，乙乙乙。"]
    assert [t for _, t in cut(make_document("甲甲甲甲，乙乙乙、丙丙丙。"), 6)] == ["甲甲甲甲，", "乙乙乙、", "丙丙丙。"]
    assert [t for _, t in cut(make_document("甲" * 25), 10)] == ["甲" * 9, "甲" * 9, "甲" * 7]
    assert [t for _, t in cut(make_document("甲甲甲甲2024乙乙乙乙"), 8)] == ["甲甲甲甲", "2024乙乙乙乙"]
    assert [t for _, t in cut(make_document("one two three four"), 8)] == ["one two", "three", "four"]


def test_document_without_blocks_is_cut_by_lines() -> None:
    text = "  第一行。" + "长" * 70 + "\n\n第二行。" + "长" * 70 + " \n"
    document = Document("id", "题目", text, "a.txt")
    assert [t for _, t in cut(document)] == [line.strip() for line in text.split("\n") if line.strip()]
    assert chunk(Document("id", "题目", "", "a.txt")) == []


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="max_chars is 0"):
        ChunkerSettings(0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["heading", "prose", "prose", "prose", "caption", "note"]),
            st.text(alphabet="苏州工业。！；，、：”）aB1 \n", min_size=1, max_size=120).map(str.strip).filter(bool),
            st.integers(1, 4),
        ),
        max_size=12,
    ),
    st.integers(1, 80),
)
def test_invariants_hold_for_any_document(paragraphs: list[tuple[str, str, int]], max_chars: int) -> None:
    text, blocks = "", []
    for kind, words, level in paragraphs:
        text += "\n\n" if text else ""
        start, text = len(text), text + words
        match kind:
            case "heading":
                blocks.append(Block("heading", start, len(text), level))
            case "caption":
                blocks.append(Block("caption", start, len(text)))
            case "note":
                blocks.append(Block("note", start, len(text)))
            case _:
                blocks.append(Block("prose", start, len(text)))
    document = Document("id", "题目", text, "a.txt", tuple(blocks))
    passages = chunk(document, ChunkerSettings(max_chars))
    check(document, passages, max_chars)


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet="苏州工业。，；：“”（）一二、1. aB\n\f　-图注", min_size=1, max_size=400), st.integers(1, 60))
def test_invariants_hold_for_any_loaded_text(
    tmp_path_factory: pytest.TempPathFactory, text: str, max_chars: int
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text(f"开头。{text}", "utf-8")
    document = load_document(folder / "a.txt", root=folder)
    check(document, chunk(document, ChunkerSettings(max_chars)), max_chars)
