"""The embedders: token cutting, NumPy against sentence-transformers, errors that say what to do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from szqa.embedder import (
    SHIPPED_MODEL,
    SentenceTransformerEmbedder,
    StaticEmbedder,
    load_embedder,
    tokenise_for_embedding,
)
from szqa.errors import ConfigurationError
from szqa.text import Segmenter

SEGMENTER = Segmenter()
SHIPPED = StaticEmbedder(SEGMENTER)
TEXTS = ["苏州有多少家规上工业企业？", "規模以上工業總產值突破4.7萬億元。", "The GDP of Suzhou, 2025", "🙂🙂", ""]


@pytest.fixture
def sentence_transformer_folder(tmp_path: Path) -> Path:
    """A sentence-transformers model of 4 words with prompts, made on the spot."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import WhitespaceSplit

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "问：": 1, "苏州": 2, "企业": 3}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    weights = np.array([[0, 0, 0], [3, 0, 0], [0, 4, 0], [0, 0, 5]], dtype=np.float32)
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)],
        prompts={"query": "问： "},
        default_prompt_name="query",
        device="cpu",
    )
    model.save(str(tmp_path / "model"), create_model_card=False)
    return tmp_path / "model"


def test_tokens_are_words_characters_and_marked_bigrams() -> None:
    assert tokenise_for_embedding(SEGMENTER, "苏州的企业，苏州！") == [
        *("苏州", "的", "企业"),
        *("苏", "州", "企", "业"),
        *("#苏州", "#州的", "#的企", "#企业"),
    ]


def test_tokens_are_folded() -> None:
    assert tokenise_for_embedding(SEGMENTER, "蘇州ＧＤＰ") == tokenise_for_embedding(SEGMENTER, "苏州gdp")


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=60))
def test_tokens_hold_no_white_space_and_occur_once(text: str) -> None:
    tokens = tokenise_for_embedding(SEGMENTER, text)
    assert " ".join(tokens).split() == tokens
    assert len(set(tokens)) == len(tokens)


def test_shipped_model_by_numpy_equals_sentence_transformers() -> None:
    from sentence_transformers import SentenceTransformer

    embedder = StaticEmbedder(SEGMENTER)
    model = SentenceTransformer(str(SHIPPED_MODEL), local_files_only=True, device="cpu")
    joined = [" ".join(tokenise_for_embedding(SEGMENTER, text)) for text in TEXTS]
    assert np.abs(embedder.embed_passages(TEXTS) - model.encode(joined, show_progress_bar=False)).max() < 1e-5


def test_shipped_model_gives_unit_rows_and_zero_where_nothing_is_known() -> None:
    embedder = StaticEmbedder(SEGMENTER)
    rows = embedder.embed_passages(TEXTS)
    assert rows.shape == (len(TEXTS), embedder.dimension)
    assert rows.dtype == np.float32
    assert np.linalg.norm(rows, axis=1) == pytest.approx([1, 1, 1, 0, 0], abs=1e-5)
    assert embedder.embed_passages([]).shape == (0, embedder.dimension)
    assert np.array_equal(embedder.embed_query(TEXTS[0]), rows[0])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.text(max_size=40), min_size=1, max_size=4))
def test_many_texts_are_embedded_as_each_by_itself(texts: list[str]) -> None:
    many = [*TEXTS, *texts, "苏州\n工业园区#1\nＡＩ", "a_b c#d 苏_州"] * 4
    assert len(many) >= 16
    rows = SHIPPED.embed_passages(many)
    assert all(np.array_equal(row, SHIPPED.embed_query(text)) for row, text in zip(rows, many, strict=True))


def test_shipped_model_prefers_what_is_meant() -> None:
    embedder = StaticEmbedder(SEGMENTER)
    passages = embedder.embed_passages(
        ["全市规模以上工业总产值突破4.7万亿元。", "他于1935年出生于江苏，父亲是一名教师。"]
    )
    assert np.argmax(passages @ embedder.embed_query("规上工业产值是多少？")) == 0
    assert np.argmax(passages @ embedder.embed_query("他的父亲从事什么职业？")) == 1


def test_shipped_model_is_small() -> None:
    assert sum(path.stat().st_size for path in SHIPPED_MODEL.rglob("*") if path.is_file()) <= 16 * 2**20


def test_training_record_names_the_shipped_weights() -> None:
    import hashlib

    record = json.loads((SHIPPED_MODEL / "training.json").read_text(encoding="utf-8"))
    assert record["weights_sha256"] == hashlib.sha256((SHIPPED_MODEL / "model.safetensors").read_bytes()).hexdigest()


def _copy_of_shipped(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED_MODEL, tmp_path / "copy"))


def test_fingerprint_follows_the_weights(tmp_path: Path) -> None:
    folder = _copy_of_shipped(tmp_path)
    shipped = StaticEmbedder(SEGMENTER)
    assert StaticEmbedder(SEGMENTER, folder).fingerprint == shipped.fingerprint
    tensors = load_file(folder / "model.safetensors")
    tensors["weights"][5] *= 2
    save_file(tensors, folder / "model.safetensors")
    assert StaticEmbedder(SEGMENTER, folder).fingerprint != shipped.fingerprint


def test_broken_static_model_is_a_clear_error(tmp_path: Path) -> None:
    folder = _copy_of_shipped(tmp_path)
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor[:-1] for name, tensor in tensors.items()}, folder / "model.safetensors")
    with pytest.raises(ConfigurationError, match=r"vocabulary has \d+ entries"):
        StaticEmbedder(SEGMENTER, folder)
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(ConfigurationError, match="not a complete static embedding model"):
        StaticEmbedder(SEGMENTER, folder)
    with pytest.raises(ConfigurationError, match="not a complete static embedding model"):
        StaticEmbedder(SEGMENTER, tmp_path / "missing")


def test_any_sentence_transformer_folder(sentence_transformer_folder: Path) -> None:
    embedder = SentenceTransformerEmbedder(str(sentence_transformer_folder))
    assert embedder.model_id == str(sentence_transformer_folder)
    assert embedder.dimension == 3
    assert embedder.query_prefix == "问： "
    assert embedder.passage_prefix == ""
    assert embedder.embed_passages(["苏州", "苏州 企业"]) == pytest.approx(
        np.array([[0, 1, 0], [0, 4 / 41**0.5, 5 / 41**0.5]]), abs=1e-6
    )
    assert embedder.embed_query("苏州") == pytest.approx(np.array([0.6, 0.8, 0]), abs=1e-6)


def test_query_prefix_overrides_the_models_own(sentence_transformer_folder: Path) -> None:
    embedder = load_embedder(str(sentence_transformer_folder), SEGMENTER, query_prefix="企业 ")
    assert embedder.query_prefix == "企业 "
    assert embedder.embed_query("苏州") == pytest.approx(np.array([0, 4 / 41**0.5, 5 / 41**0.5]), abs=1e-6)


def test_unknown_models_are_clear_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ConfigurationError, match="no/such-model") as caught:
        SentenceTransformerEmbedder("no/such-model")
    assert "Hugging Face cache" in str(caught.value)
    with pytest.raises(ConfigurationError, match="local folder"):
        SentenceTransformerEmbedder(str(tmp_path))


def test_load_embedder_by_name() -> None:
    assert load_embedder(None, SEGMENTER).model_id == "szqa"
    assert load_embedder("szqa", SEGMENTER).fingerprint == load_embedder(None, SEGMENTER).fingerprint
    with pytest.raises(ConfigurationError, match="takes no query prefix"):
        load_embedder("szqa", SEGMENTER, query_prefix="查询：")
