"""Text to unit vectors: the shipped static embedder, and any sentence-transformers model by name.

It knows nothing of passages, indexes or fusion; its cosines are for others to combine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cached_property
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from szqa.errors import ConfigurationError
from szqa.text import Segmenter, letter_codes, letter_runs

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sentence_transformers import SentenceTransformer

__all__ = [
    "SHIPPED_MODEL",
    "Embedder",
    "SentenceTransformerEmbedder",
    "StaticEmbedder",
    "load_embedder",
    "tokenise_for_embedding",
]

SHIPPED_MODEL = Path(__file__).parent / "models" / "embedder"
"""Folder of the model that comes with the package, in sentence-transformers' own layout."""

_BIGRAM_MARK = "#"

# From so many texts on they are embedded together; making the tables for it costs more than a question.
_MANY = 16
_CODE_POINT_BITS = np.uint64(21)


class Embedder(Protocol):
    """What turns texts into vectors whose inner product is their similarity.

    Attributes:
        model_id: name of the model, as the index manifest records it.
        dimension: length of a vector.
        fingerprint: SHA-256 over the weights; two embedders with the same one give the same vectors.
        query_prefix: what is put before a question, empty for most models.
    """

    @property
    def model_id(self) -> str:
        """Name of the model."""
        ...

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        ...

    @property
    def fingerprint(self) -> str:
        """SHA-256 over the weights."""
        ...

    @property
    def query_prefix(self) -> str:
        """What is put before a question."""
        ...

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages as (n, d) float32 rows of length 1, or 0 where nothing of a text is known."""
        ...

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed a question as a (d,) float32 vector of length 1, or 0 where nothing of it is known."""
        ...


def tokenise_for_embedding(segmenter: Segmenter, text: str) -> list[str]:
    """Cut a text into the tokens of the static embedder, each once, in order of first appearance.

    They are jieba's words (search mode), the single characters, and the character bigrams (marked ``#``, so that
    they differ from words of two characters), all folded: a word never seen in training still has vectors for its
    characters and bigrams. No token holds white space, so joined by spaces they survive a round trip.
    """
    runs = letter_runs(text)
    bigrams = map(_BIGRAM_MARK.__add__, (bigram for run in runs for bigram in map(add, run, run[1:])))
    return list(dict.fromkeys((*segmenter.words(text), *"".join(runs), *bigrams)))


class _Codes:
    """Rows by numbers; finds those of many numbers at once."""

    def __init__(self, rows: dict[int, int]) -> None:
        self._keys = np.array(sorted(rows) or [0], dtype=np.uint64)
        self._rows = np.array([rows.get(int(key), -1) for key in self._keys], dtype=np.int64)

    def find(self, codes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The row of each number, -1 where there is none."""
        at = np.minimum(np.searchsorted(self._keys, codes), len(self._keys) - 1)
        return np.where(self._keys[at] == codes, self._rows[at], -1)


class StaticEmbedder:
    """A static token embedding: the sum of a text's token vectors, made a unit vector.

    The folder holds a sentence-transformers ``StaticEmbedding`` with a WordLevel vocabulary and int8 rows, each with
    its scale (the layout that StaticEmbedding shares with model2vec). It is read by NumPy alone, so that asking a
    question needs no torch; ``SentenceTransformer(folder).encode(" ".join(tokens))`` gives the same vector. A text
    without any known token gets the zero vector, whose cosine with everything is 0.

    Args:
        segmenter: cuts texts into words; training used one without a user dictionary.
        model_dir: the model's folder.

    Raises:
        ConfigurationError: the folder is not such a model.
    """

    query_prefix = ""

    def __init__(self, segmenter: Segmenter, model_dir: Path = SHIPPED_MODEL) -> None:
        self._segmenter = segmenter
        self._model_dir = model_dir
        self._read()

    def __getstate__(self) -> tuple[Segmenter, Path]:
        return self._segmenter, self._model_dir

    def __setstate__(self, state: tuple[Segmenter, Path]) -> None:
        self._segmenter, self._model_dir = state
        self._read()

    def _read(self) -> None:
        model_dir = self._model_dir
        self._vocabulary, self._rows, self._scales = _read_static_model(model_dir)
        self.model_id = "szqa" if model_dir == SHIPPED_MODEL else str(model_dir)
        self.fingerprint = _hash_files([model_dir / "model.safetensors", model_dir / "tokenizer.json"])

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._rows.shape[1])

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages as (n, d) float32 rows of length 1, or 0 where no token of a text is known."""
        sums = np.zeros((len(texts), self.dimension), dtype=np.float32)
        few = len(texts) < _MANY
        known_of = [self._known_rows(text) for text in texts] if few else self._known_rows_of_many(texts)
        for total, known in zip(sums, known_of, strict=True):
            # Text by text, whatever stands beside it: a text has the same vector in every batch.
            rows = self._rows.take(known, axis=0)
            np.matmul(self._scales.take(known), rows.astype(np.float32), out=total)
        return _unit_rows(sums)

    def _known_rows(self, text: str) -> NDArray[np.int64]:
        """Rows of the known tokens of a text, ascending."""
        tokens = tokenise_for_embedding(self._segmenter, text)
        return np.array(sorted(row for row in map(self._vocabulary.get, tokens) if row is not None), dtype=np.int64)

    def _known_rows_of_many(self, texts: Sequence[str]) -> list[NDArray[np.int64]]:
        """``_known_rows`` of many texts: characters and bigrams are looked up all at once."""
        words = [list(map(self._vocabulary.get, self._segmenter.words(text))) for text in texts]
        word_rows = np.array([-1 if row is None else row for part in words for row in part], dtype=np.int64)
        text_of_word = np.repeat(np.arange(len(texts)), [len(part) for part in words])
        text_of, codes, followed = letter_codes(texts)
        pairs = np.flatnonzero(followed)
        letters, bigrams = self._letters
        rows = np.concatenate(
            [word_rows, letters.find(codes), bigrams.find(codes[pairs] << _CODE_POINT_BITS | codes[pairs + 1])]
        )
        places = np.concatenate([text_of_word, text_of, text_of[pairs]]) << 32 | rows
        # Asked for counts, NumPy sorts; otherwise it fills a hash table (2.3 and later), which takes 25 times as long.
        found = np.unique(places[rows >= 0], return_counts=True)[0]
        parts = np.split(found & 0xFFFFFFFF, np.searchsorted(found >> 32, np.arange(1, len(texts))))
        return list(parts)

    @cached_property
    def _letters(self) -> tuple[_Codes, _Codes]:
        """Rows of single characters by code point, and of bigrams by the code points of both."""
        single = {ord(token): row for token, row in self._vocabulary.items() if len(token) == 1}
        double = {
            ord(token[1]) << int(_CODE_POINT_BITS) | ord(token[2]): row
            for token, row in self._vocabulary.items()
            if len(token) == 3 and token[0] == _BIGRAM_MARK
        }
        return _Codes(single), _Codes(double)

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed a question as a (d,) float32 vector of length 1, or 0 where no token of it is known."""
        vector: NDArray[np.float32] = self.embed_passages([text])[0]
        return vector


class SentenceTransformerEmbedder:
    """Any sentence-transformers model, from a folder or by its name on the hub.

    Prompts that the model brings along ("query" for questions, "passage" or "document" for passages) are used.

    Args:
        name: a folder, read offline; or a model's name on the hub, downloaded where it is not cached.
        query_prefix: put before each question instead of the model's own prompt.
        passage_prefix: likewise for passages.
        batch_size: texts in one forward pass.

    Raises:
        ConfigurationError: there is no such model, or it cannot be read.
    """

    def __init__(self, name: str, *, query_prefix: str = "", passage_prefix: str = "", batch_size: int = 32) -> None:
        self.model_id = name
        self._model = _load_sentence_transformer(name)
        prompts = {key: prompt for key, prompt in self._model.prompts.items() if prompt}
        self.query_prefix = query_prefix or prompts.get("query", "")
        self.passage_prefix = passage_prefix or prompts.get("passage") or prompts.get("document", "")
        self._batch_size = batch_size
        self.fingerprint = _hash_state(self._model)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._encode(["。"]).shape[1])

    def embed_passages(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages as (n, d) float32 rows of length 1."""
        return self._encode([self.passage_prefix + text for text in texts])

    def embed_query(self, text: str) -> NDArray[np.float32]:
        """Embed a question as a (d,) float32 vector of length 1."""
        vector: NDArray[np.float32] = self._encode([self.query_prefix + text])[0]
        return vector

    def _encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        # An empty prompt keeps the model from putting its default one before every text.
        rows = self._model.encode(
            list(texts), prompt="", batch_size=self._batch_size, convert_to_numpy=True, show_progress_bar=False
        )
        return _unit_rows(np.asarray(rows, dtype=np.float32).reshape(len(texts), -1))


def load_embedder(name: str | None, segmenter: Segmenter, *, query_prefix: str = "") -> Embedder:
    """Load an embedder by name.

    Args:
        name: ``None`` or "szqa" for the shipped one, else a sentence-transformers folder or hub name.
        segmenter: cuts texts for the shipped one.
        query_prefix: put before each question; for sentence-transformers models only.

    Raises:
        ConfigurationError: there is no such model, or it cannot be read, or it takes no prefix.
    """
    if name is None or name == "szqa":
        if query_prefix:
            raise ConfigurationError(
                f"内置向量模型不使用查询前缀，却给了 {query_prefix!r}；请去掉前缀或另选模型 "
                "(the shipped embedder takes no query prefix; drop it or name another model)"
            )
        return StaticEmbedder(segmenter)
    return SentenceTransformerEmbedder(name, query_prefix=query_prefix)


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(norms > 0, norms, 1)).astype(np.float32)


def _read_static_model(model_dir: Path) -> tuple[dict[str, int], NDArray[np.int8], NDArray[np.float32]]:
    """Token → row, the rows, and what each row is to be multiplied by."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        vocabulary = json.loads((model_dir / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
        tensors = load_file(model_dir / "model.safetensors")
        rows, scales = tensors["embeddings"], tensors["weights"].astype(np.float32)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ConfigurationError(
            f"{model_dir}: 不是完整的静态向量模型，需要 tokenizer.json 和 model.safetensors；请重新安装 szqa "
            f"(not a complete static embedding model; install szqa again: {type(error).__name__}: {error})"
        ) from error
    if not isinstance(vocabulary, dict) or not len(vocabulary) == len(rows) == len(scales):
        raise ConfigurationError(
            f"{model_dir}: 词表有 {len(vocabulary)} 项，权重有 {len(rows)} 行；请重新安装 szqa "
            f"(vocabulary has {len(vocabulary)} entries, weights have {len(rows)} rows; install szqa again)"
        )
    return vocabulary, rows, scales


def _load_sentence_transformer(name: str) -> SentenceTransformer:
    if Path(name).is_dir():
        attempts = {"local folder": True}
    else:  # a hub model that is cached needs no network
        attempts = {"Hugging Face cache": True, "Hugging Face hub": False}
    reasons = []
    for place, local_files_only in attempts.items():
        try:
            return _open_sentence_transformer(name, local_files_only=local_files_only)
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            lines = str(error).strip().splitlines() or [""]
            reasons.append(f"{place}: {type(error).__name__}: {lines[0][:200]}")
    raise ConfigurationError(
        f"无法加载向量模型 {name!r}。请检查名称或文件夹；离线时请先下载模型，再给出其文件夹 "
        f"(cannot load the embedding model; check the name, or download it and give its folder). "
        f"尝试过 (tried): {'; '.join(reasons)}"
    )


def _open_sentence_transformer(name: str, *, local_files_only: bool) -> SentenceTransformer:
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(name, local_files_only=local_files_only).eval().float()


def _hash_files(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def _hash_state(model: SentenceTransformer) -> str:
    """Hash the weights in memory: a hub model has no folder of its own."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
