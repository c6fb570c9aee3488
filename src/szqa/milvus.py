"""The vectors and the words of passages in one Milvus collection, which Milvus itself searches.

A collection belongs to one build, which its name says, and is never changed after it. Words are cut
by Milvus's jieba analyzer and scored by its BM25 function; its hybrid search merges them with the vectors by reciprocal
rank fusion. It knows nothing of models, files or questions beyond their terms.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self, TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from szqa.datatypes import Mode, Passage
from szqa.engine import EngineHit, engine_terms
from szqa.errors import IndexFormatError
from szqa.milvus_connection import MilvusConnection
from szqa.store import AS_RECORDED, StoreOptions

if TYPE_CHECKING:
    from pymilvus import AnnSearchRequest, MilvusClient
    from pymilvus.milvus_client import IndexParams

__all__ = ["MilvusStore"]

Vectors = NDArray[np.float32]

_SCHEMA: Final = 1
_FILE: Final = "milvus.json"
# BM25 as szqa's own: eval/README.md, "Retrieval settings".
_BM25: Final = {"bm25_k1": 0.6, "bm25_b": 0.4}
# Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): Σ 1 / (k + rank) over the requests. Words are asked for
# three times, since the static embedding is much the weaker of the two; eval/README.md, "Milvus".
_RRF_K: Final = 1
_WORD_REQUESTS: Final = 3
# Best passages of each request that are merged.
_POOL: Final = 50
# Milvus returns no more than this for one search (its quotaAndLimits.limits.topK).
_MOST: Final = 16384
_FIELDS: Final = ("row", "passage", "terms", "dense", "sparse")
_LONGEST: Final = 65535


class _Row(TypedDict):
    """A row as it comes back from Milvus; ``passage`` is the passage's id."""

    row: int
    passage: str
    dense: list[float]


@dataclass(frozen=True, slots=True)
class _Collection:
    """What is written down about a collection.

    Attributes:
        schema: version of its fields.
        uri: where it was made.
        name: its name, with the build in it.
        dimension: length of a vector.
        rows: number of passages.
    """

    schema: int
    uri: str
    name: str
    dimension: int
    rows: int = 0


class MilvusStore:
    """A Milvus collection; ``SearchEngine`` says what each method does.

    Args:
        dimension: length of a vector.
        options: where Milvus is.
        name: what tells the collection from those of other builds; letters, digits and "_".
        words: words that jieba shall not cut.

    Raises:
        ConfigurationError: there is no URI.
        MissingExtraError: pymilvus is not installed.
    """

    kind = "milvus"
    metric = "inner product"

    def __init__(
        self, dimension: int, options: StoreOptions = AS_RECORDED, *, name: str = "", words: Sequence[str] = ()
    ) -> None:
        self._connection = MilvusConnection(options)
        name = f"szqa_{name or secrets.token_hex(8)}"
        self._collection = _Collection(_SCHEMA, self._connection.uri, name, dimension)
        self._words = tuple(words)
        # Whether the collection is known to be there and to be ours.
        self._checked = False
        self._sealed = True

    def __len__(self) -> int:
        return self._collection.rows

    def add(self, vectors: Vectors) -> None:
        """Append ``(n, dimension)`` float32 unit rows without passages; raises ``ValueError`` for another shape."""
        self.add_passages([Passage("", "", "", (), "", 0, 0)] * len(vectors), vectors)

    def add_passages(self, passages: Sequence[Passage], vectors: Vectors) -> None:
        """Append passages with their unit vectors; raises ``ValueError`` for another shape."""
        expected = (len(passages), self._collection.dimension)
        if vectors.shape != expected:
            raise ValueError(f"expected (n, {expected[1]}) vectors for {expected[0]} passages, got {vectors.shape}")
        if not self._checked:
            self._connection.write(self._create)
            self._checked = True
        rows = [
            {"row": row, "passage": passage.id, "terms": _terms(passage), "dense": vector.tolist()}
            for row, (passage, vector) in enumerate(zip(passages, vectors, strict=True), start=len(self))
        ]
        self._connection.write(lambda client, left: client.insert(self._collection.name, rows, timeout=left))
        self._collection = replace(self._collection, rows=len(self) + len(rows))
        self._sealed = False

    def find(self, question: str, query: Vectors, *, top_k: int, mode: Mode) -> list[EngineHit]:
        """The passages that a question is about, best first."""
        self._ready()
        terms = engine_terms(question)
        requests = [*self._word_requests(terms, mode), *self._vector_requests(query, mode)]
        if not requests or not len(self):
            return []
        found = self._connection.ask(partial(self._merge, requests, min(top_k, len(self))))
        scores = self._word_scores(terms, [row["row"] for row, _ in found])
        found.sort(key=lambda pair: (-pair[1], pair[0]["row"]))
        hits = []
        for row, fused in found:
            dense = float(np.array(row["dense"], dtype=np.float32) @ query)
            lexical = scores.get(row["row"], 0.0)
            score = {"hybrid": fused, "lexical": lexical, "dense": dense}[mode]
            hits.append(EngineHit(row["row"], row["passage"], score, dense, lexical))
        return hits

    def search(self, query: Vectors, top_k: int) -> tuple[Vectors, NDArray[np.int64]]:
        """Find the rows nearest to a ``(dimension,)`` vector, as ``VectorStore`` says."""
        self._ready()
        top_k = min(top_k, len(self), _MOST)
        if not top_k:
            return np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.int64)
        found = self._connection.ask(
            lambda client, left: client.search(
                self._collection.name, data=[query.tolist()], anns_field="dense", limit=top_k, timeout=left
            )
        )[0]
        rows = np.array([hit["row"] for hit in found], dtype=np.int64)
        return np.array([hit["distance"] for hit in found], dtype=np.float32), rows

    def vectors(self, rows: NDArray[np.int64]) -> Vectors:
        """The stored vectors of some rows, ``(len(rows), dimension)``."""
        self._ready()
        found = self._connection.ask(
            lambda client, left: client.query(
                self._collection.name, filter=f"row in {rows.tolist()}", output_fields=["row", "dense"], timeout=left
            )
        )
        by_row = {int(row["row"]): row["dense"] for row in found}
        vectors = [by_row[row] for row in rows.tolist()]
        return np.array(vectors, dtype=np.float32).reshape(-1, self._collection.dimension)

    def _finish(self) -> None:
        """Seal what was added, and wait until it can be found."""
        if self._checked and not self._sealed:
            self._connection.write(lambda client, left: client.flush(self._collection.name, timeout=left))
            self._sealed = True
            self._require_rows()

    def check(self) -> None:
        """Compare the collection's fields, dimension and number of rows with what was written down under its name."""
        self._checked = False
        self._ready()

    def drop(self) -> None:
        """Delete the collection; nothing happens where there is none."""
        self._connection.write(lambda client, left: client.drop_collection(self._collection.name, timeout=left))
        self._checked = False

    def save(self, folder: Path) -> None:
        """Write ``milvus.json``: where the collection is and what it holds."""
        self._finish()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _FILE).write_text(json.dumps(asdict(self._collection), ensure_ascii=False, indent=2), "utf-8")

    @classmethod
    def load(cls, folder: Path, options: StoreOptions = AS_RECORDED) -> Self:
        """Read ``milvus.json``; Milvus is asked when something is looked for.

        Raises:
            IndexFormatError: the file cannot be read or is of another version.
        """
        path = folder / _FILE
        try:
            collection = _Collection(**json.loads(path.read_text("utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise IndexFormatError(f"{path}: 无法读取，请运行 szqa build (cannot be read; run: szqa build)") from error
        if collection.schema != _SCHEMA:
            raise IndexFormatError(
                f"{path}: 集合的格式为 {collection.schema}，本版本需要 {_SCHEMA}，请运行 szqa build "
                f"(schema {collection.schema}, expected {_SCHEMA}; run: szqa build)"
            )
        store = cls(collection.dimension, replace(options, uri=options.uri or collection.uri))
        store._collection = collection
        return store

    def _create(self, client: MilvusClient, left: float) -> None:
        from pymilvus import DataType, Function, FunctionType
        from pymilvus import MilvusClient as Client

        schema = Client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("row", DataType.INT64, is_primary=True)
        schema.add_field("passage", DataType.VARCHAR, max_length=_LONGEST)
        schema.add_field(
            "terms",
            DataType.VARCHAR,
            max_length=_LONGEST,
            enable_analyzer=True,
            analyzer_params=_analyzer(self._words),
        )
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=self._collection.dimension)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        bm25 = Function(
            name="bm25", function_type=FunctionType.BM25, input_field_names=["terms"], output_field_names=["sparse"]
        )
        schema.add_function(bm25)
        client.create_collection(self._collection.name, schema=schema, index_params=_indexes(client), timeout=left)

    def _ready(self) -> None:
        """Make sure, once, that the collection is the one that was written down."""
        if self._checked or not len(self):
            self._finish()
            return
        found = self._connection.open(
            lambda client, left: client.describe_collection(self._collection.name, timeout=left)
        )
        fields = {field["name"]: field for field in found["fields"]}
        dimension = int(fields.get("dense", {}).get("params", {}).get("dim", 0))
        wanted = (sorted(_FIELDS), self._collection.dimension)
        if (sorted(fields), dimension) != wanted:
            raise IndexFormatError(
                f"{self._connection.uri}: 集合 {self._collection.name} 的结构不是本索引的，请运行 szqa build "
                f"(collection has another schema; run: szqa build): "
                f"{dimension}, {sorted(fields)} ≠ {wanted[1]}, {wanted[0]}"
            )
        # A server that started anew holds nothing in memory until it is told to.
        self._connection.open(lambda client, left: client.load_collection(self._collection.name, timeout=left))
        self._require_rows()
        self._checked = True

    def _require_rows(self) -> None:
        found = self._connection.open(
            lambda client, left: client.query(
                self._collection.name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=left
            )
        )[0]["count(*)"]
        if found != len(self):
            raise IndexFormatError(
                f"{self._connection.uri}: 集合 {self._collection.name} 有 {found} 条段落，应为 {len(self)} 条，"
                f"请运行 szqa build (collection holds {found} passages, expected {len(self)}; run: szqa build)"
            )

    def _word_requests(self, terms: str, mode: Mode) -> list[AnnSearchRequest]:
        from pymilvus import AnnSearchRequest

        if not terms or mode == "dense":
            return []
        request = AnnSearchRequest(data=[terms], anns_field="sparse", param={"metric_type": "BM25"}, limit=_POOL)
        return [request] * (_WORD_REQUESTS if mode == "hybrid" else 1)

    def _vector_requests(self, query: Vectors, mode: Mode) -> list[AnnSearchRequest]:
        from pymilvus import AnnSearchRequest

        if not query.any() or mode == "lexical":
            return []
        return [AnnSearchRequest(data=[query.tolist()], anns_field="dense", param={"metric_type": "IP"}, limit=_POOL)]

    def _merge(
        self, requests: list[AnnSearchRequest], top_k: int, client: MilvusClient, left: float
    ) -> list[tuple[_Row, float]]:
        """Ask for the passages that stand highest in all requests, with their fused scores."""
        from pymilvus import RRFRanker

        found = client.hybrid_search(
            self._collection.name,
            requests,
            RRFRanker(_RRF_K),
            limit=top_k,
            output_fields=["passage", "dense"],
            timeout=left,
        )[0]
        return [(cast("_Row", hit["entity"] | {"row": hit["row"]}), abs(float(hit["distance"]))) for hit in found]

    def _word_scores(self, terms: str, rows: list[int]) -> dict[int, float]:
        """Row → its BM25 score; milvus-lite returns them below zero."""
        if not terms or not rows:
            return {}
        found = self._connection.ask(
            lambda client, left: client.search(
                self._collection.name,
                data=[terms],
                anns_field="sparse",
                filter=f"row in {rows}",
                limit=len(rows),
                search_params={"metric_type": "BM25"},
                timeout=left,
            )
        )[0]
        return {int(hit["row"]): abs(float(hit["distance"])) for hit in found}


def _analyzer(words: Sequence[str]) -> dict[str, object]:
    """Milvus's jieba analyzer; milvus.io/docs, "jieba tokenizer"."""
    return {"tokenizer": {"type": "jieba", "dict": ["_default_", *words], "mode": "search", "hmm": True}}


def _indexes(client: MilvusClient) -> IndexParams:
    indexes = client.prepare_index_params()
    indexes.add_index("dense", index_type="AUTOINDEX", metric_type="IP")
    indexes.add_index("sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=_BM25)
    return indexes


def _terms(passage: Passage) -> str:
    return engine_terms("\n".join((passage.title, *passage.headings, passage.text)))
