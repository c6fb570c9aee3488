"""The cutter against jieba itself, and tables of words in files."""

from io import BytesIO
from pathlib import Path

import jieba
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import ROOT
from szqa.cutter import Table, cached_table
from szqa.text import Segmenter, fold

SEGMENTER = Segmenter()
JIEBA = jieba.Tokenizer()

# Common characters make words of the dictionary, rare ones runs for the hidden Markov model.
CHINESE = st.text(
    st.sampled_from("中国人民大学生活动物园林业务工程师傅韡龘苏州市长江大桥的了是在有和123abAB.%+#-_ \n\r，。、"),
    max_size=60,
)


@settings(max_examples=300)
@given(st.one_of(CHINESE, st.text(max_size=40)))
def test_cuts_as_jieba_does(text: str) -> None:
    folded = fold(text)
    assert [token.text for token in SEGMENTER.cut(text)] == JIEBA.lcut(folded)
    expected = [word for word in JIEBA.lcut_for_search(folded) if any(map(str.isalnum, word))]
    assert SEGMENTER.words(text) == expected


def test_cuts_the_first_corpus_as_jieba_does_with_its_dictionary() -> None:
    dictionary = ROOT / "corpus" / "userdict.txt"
    tokenizer = jieba.Tokenizer()
    tokenizer.load_userdict(BytesIO(fold(dictionary.read_text("utf-8")).encode()))
    segmenter = Segmenter(dictionary)
    (source,) = (path for path in (ROOT / "corpus").glob("*.txt") if path.name != dictionary.name)
    text = fold(source.read_text("utf-8-sig"))
    assert [token.text for token in segmenter.cut(text)] == tokenizer.lcut(text)


def test_dictionary_tags() -> None:
    assert [SEGMENTER.dictionary_tag(word) for word in ("苏州", "企业", "创新", "龘龘")] == ["ns", "n", "v", ""]


def test_whole_dictionary_cuts_alike(tmp_path: Path) -> None:
    whole = Segmenter(cache_dir=tmp_path)
    whole.read_whole_dictionary()
    text = "省级智能车间的生产线在2024年建成投产。"
    assert whole.words(text) == SEGMENTER.words(text)


def test_table_round_trip(tmp_path: Path) -> None:
    words = {"苏州": 3, "苏": 0, "无锡": 5, "": 8}
    Table.of(words).save(tmp_path / "table")
    table: Table[int] | None = Table.open(tmp_path / "table")
    assert table is not None
    assert {word: table[word] for word in words} == words
    assert table.get("常州") is None
    assert "苏锡" not in table
    table["苏锡"] = 7
    assert table.get("苏锡") == 7
    assert table.starting_with("苏") == {"苏州": 3, "苏": 0, "苏锡": 7}


@pytest.mark.parametrize("content", [b"", b"short", b"szqa-t1\n" + bytes(15), b"szqa-t1\n" + bytes(17)])
def test_a_table_that_is_not_whole_is_made_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "table"
    path.write_bytes(content)
    assert cached_table(path, lambda: {"苏州": 1})["苏州"] == 1
    again: Table[int] | None = Table.open(path)
    assert again is not None
    assert again["苏州"] == 1


def test_a_folder_that_cannot_be_written_costs_nothing_but_time(tmp_path: Path) -> None:
    assert cached_table(tmp_path / "missing" / "table", lambda: {"苏州": "ns"}).get("苏州") == "ns"
