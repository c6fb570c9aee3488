"""txtai: hybrid search (BM25 and vectors) and its extractive question-answering pipeline.

Runs in the peers' environment. How it is spoken to: ``talk.py``.

Set up as its documentation says: ``Embeddings`` with content and a BM25 scoring with term arrays, and ``RAG`` (formerly
``Extractor``) over it with an extractive model. Its tokenizer segments by Unicode Standard Annex 29 by default, "works
well for most languages" (txtai/pipeline/data/tokenizer.py; neuml/txtai, issue 506, on Chinese), which makes a word of
each Han character; it also offers n-grams, and bigrams are taken here, as for Haystack.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from txtai import RAG, Embeddings
from txtai.pipeline import Questions

from side_by_side.talk import Reply, talk

if TYPE_CHECKING:
    from transformers import BatchEncoding

# szqa reads as many passages.
_TOP_K = 5
# The vectors are weak here and count little beside the words, as in szqa; by default both count alike.
_DENSE_WEIGHT = 0.1
_MODELS = Path(os.environ["PEER_MODELS"])


def _build(passages: Path, home: Path) -> None:
    embeddings = Embeddings(
        path=str(_MODELS / "embedder"),
        method="sentence-transformers",
        content=True,
        gpu=False,
        scoring={"method": "bm25", "terms": True, "normalize": True, "tokenizer": {"ngrams": 2}},
    )
    rows = map(json.loads, passages.read_text("utf-8").splitlines())
    embeddings.index((f"{row['document']}#{number}", row["text"], None) for number, row in enumerate(rows))
    embeddings.save(str(home))
    embeddings.close()


class _Questions(Questions):  # type: ignore[misc,unused-ignore]
    """txtai's pipeline, which ends with a TypeError where a model points at a special token: "no answer" here."""

    def answer(self, context: str, tokens: BatchEncoding, start: int, end: int) -> str:
        if tokens.token_to_word(start) is None or tokens.token_to_word(end) is None:
            return ""
        return str(super().answer(context, tokens, start, end))


class Txtai:
    """The pipeline over an index.

    Args:
        home: the folder of the index.
    """

    def __init__(self, home: Path) -> None:
        self._embeddings = Embeddings()
        self._embeddings.load(str(home))
        self._found: list[dict[str, str]] = []
        self._answer = ""

        def search(queries: list[str], limit: int) -> list[list[dict[str, str]]]:
            lists: list[list[dict[str, str]]] = self._embeddings.batchsearch(queries, limit, weights=_DENSE_WEIGHT)
            self._found = lists[0]
            return lists

        self._rag = RAG(search, _Questions(str(_MODELS / "reader"), gpu=False), context=_TOP_K, output="flatten")

    def ask(self, question: str) -> str:
        """The best answer, empty where the model is not sure."""
        self._answer = self._rag([question])[0] or ""
        return self._answer

    def explain(self, question: str) -> Reply:
        """What was found for the last question."""
        return Reply(self._answer, _first(self._found), _first(self._embeddings.search(question, _TOP_K)))


def _first(found: list[dict[str, str]]) -> str:
    return found[0]["id"].partition("#")[0] if found else ""


if __name__ == "__main__":
    talk(_build, Txtai)
