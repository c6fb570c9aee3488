"""Folding keeps offsets; sentences and words come back as they stand in the text."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szqa.errors import ConfigurationError
from szqa.text import Segmenter, character_bigrams, fold, split_sentences


@pytest.mark.parametrize(
    ("text", "folded"),
    [("ＡＢＣ１２３", "abc123"), ("臺灣發展", "台湾发展"), ("《财富》５００强", "《财富》500强"), ("㎡", "㎡")],
)
def test_fold(text: str, folded: str) -> None:
    assert fold(text) == folded


@given(st.text())
def test_fold_keeps_length_and_is_idempotent_in_length(text: str) -> None:
    assert len(fold(text)) == len(text)


def test_split_sentences() -> None:
    text = "你好。“真的吗？”他说！\n标题\n\n增长3.14%；共5项…… 没有句号"
    assert [text[start:end] for start, end in split_sentences(text)] == [
        "你好。", "“真的吗？”", "他说！", "标题", "增长3.14%；共5项……", "没有句号",
    ]  # fmt: skip


@given(st.text(alphabet="甲乙a1。！？；，、”…\n \t"))
def test_sentences_are_ordered_and_lose_only_white_space(text: str) -> None:
    intervals = split_sentences(text)
    assert all(low < high for low, high in intervals)
    assert all(first[1] <= second[0] for first, second in pairwise(intervals))
    kept = "".join(text[start:end] for start, end in intervals)
    assert "".join(kept.split()) == "".join(text.split())


@given(st.text(alphabet="苏州市省级智能车间3.5%abＡ臺，。\n 🙂"))
def test_tokens_cover_the_text(segmenter: Segmenter, text: str) -> None:
    for tokens in (segmenter.cut(text), segmenter.tag(text)):
        assert "".join(token.text for token in tokens) == fold(text)
        assert all(fold(text)[token.start : token.end] == token.text for token in tokens)


def test_words_drop_punctuation(segmenter: Segmenter) -> None:
    assert segmenter.words("江苏省，33家！") == ["江苏", "江苏省", "33", "家"]


def test_bigrams_do_not_cross_punctuation() -> None:
    assert character_bigrams("苏州，33家") == ["苏州", "33", "3家"]


def test_user_dictionary_changes_words_and_fingerprint(tmp_path: Path, segmenter: Segmenter) -> None:
    assert "智改数转网联" not in segmenter.words("智改数转网联提速")
    dictionary = tmp_path / "userdict.txt"
    dictionary.write_text("智改数转网联 100 n\n", "utf-8")
    custom = Segmenter(dictionary)
    assert "智改数转网联" in custom.words("智改数转网联提速")
    assert custom.fingerprint != segmenter.fingerprint


def test_bad_user_dictionary_says_what_to_do(tmp_path: Path) -> None:
    dictionary = tmp_path / "userdict.txt"
    dictionary.write_bytes("专精特新 100 n".encode("gb18030"))
    with pytest.raises(ConfigurationError, match=r"userdict\.txt.*UTF-8"):
        Segmenter(dictionary)


def test_user_dictionary_is_folded_as_texts_are(tmp_path: Path) -> None:
    dictionary = tmp_path / "userdict.txt"
    dictionary.write_text("5G工廠 100 n\n", "utf-8-sig")
    assert Segmenter(dictionary).words("５G工厂名录") == ["工厂", "5g工厂", "名录"]
