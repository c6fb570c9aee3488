"""From the measured cost of a passage to what 10⁴ … 10⁹ of them need: the table of docs/scale.md.

Usage: python eval/benchmarks/scale.py TEXT... [--paragraphs N] [--cores N] [--memory GiB]

TEXT is a file with a paragraph a line (.xz is unpacked). Paragraphs become files of twenty, which are read, cut,
embedded and written as ``szqa build`` does, in one process; what that takes and leaves behind is divided by the number
of passages. Everything past it is multiplication, with the formulas printed under the table: no engine is measured.
"""

from __future__ import annotations

import argparse
import lzma
import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from itertools import islice
from pathlib import Path

from szqa.building import Maker, build_index
from szqa.chunker import ChunkerSettings
from szqa.embedder import load_embedder
from szqa.engine import engine_terms
from szqa.index import Index
from szqa.text import Segmenter

_PARAGRAPHS_A_FILE = 20
_SIZES = tuple(10**power for power in range(4, 10))
_GIB = 2**30
# Links of an HNSW graph: 2 · M of four bytes each (FAISS wiki, "Guidelines to choose an index"), with M = 30.
_LINK_BYTES = 2 * 30 * 4
# A posting of a sparse inverted index: row and value, four bytes each.
_POSTING_BYTES = 8
# Part of a machine's memory that is planned for data.
_FILLED = 0.7


@dataclass(frozen=True, slots=True)
class Cost:
    """What one passage costs, on average.

    Attributes:
        passages: number of passages measured.
        characters: of a passage.
        local_s: core seconds of a build in files: read, chunk, cut, embed, write.
        engine_s: core seconds of what szqa does for an engine: read, chunk, embed.
        text_bytes: of its document and itself in files.
        index_bytes: of its vector and its postings in files.
        vector_bytes: of its vector in memory.
        postings: distinct terms.
        terms_bytes: of the text that an engine is given to analyse.
    """

    passages: int
    characters: float
    local_s: float
    engine_s: float
    text_bytes: float
    index_bytes: float
    vector_bytes: int
    postings: float
    terms_bytes: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, nargs="+")
    parser.add_argument("--paragraphs", type=int, default=5000, help="of each text")
    parser.add_argument("--cores", type=int, default=16, help="cores of a machine")
    parser.add_argument("--memory", type=int, default=64, help="memory of a machine in GiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        cost = _measure(Path(name), options.text, options.paragraphs)
    print(
        f"measured on {cost.passages} passages of {cost.characters:.0f} characters: "
        f"{cost.local_s * 1000:.2f} ms of a core for an index in files, {cost.engine_s * 1000:.2f} ms for an engine; "
        f"{cost.text_bytes:.0f} B text, {cost.index_bytes:.0f} B vector and postings, "
        f"{cost.postings:.0f} distinct terms, {cost.terms_bytes:.0f} B to analyse\n"
    )
    for line in _table(cost, options.cores, options.memory):
        print(line)


def _measure(folder: Path, texts: Sequence[Path], paragraphs: int) -> Cost:
    corpus = folder / "corpus"
    corpus.mkdir()
    chosen = [line for text in texts for line in islice(_paragraphs(text), paragraphs)]
    for start in range(0, len(chosen), _PARAGRAPHS_A_FILE):
        content = "\n\n".join((f"第{start}篇", *chosen[start : start + _PARAGRAPHS_A_FILE]))
        (corpus / f"{start:08}.txt").write_text(content, "utf-8")
    segmenter = Segmenter()
    segmenter.read_whole_dictionary()
    maker = Maker(corpus, load_embedder(None, segmenter), segmenter, ChunkerSettings())
    started = time.process_time()
    build_index(maker, folder / "index", progress=lambda items, label: items)
    local_s = time.process_time() - started
    started = time.process_time()
    engine_maker = Maker(corpus, maker.embedder, segmenter, maker.settings, with_terms=False)
    engine_maker.make(sorted(corpus.iterdir()))
    engine_s = time.process_time() - started
    index = Index.load(folder / "index", make_embedder=lambda _, __: maker.embedder)
    count = len(index.passages)
    analysed = [engine_terms("\n".join((p.title, *p.headings, p.text))) for p in index.passages]
    return Cost(
        count,
        sum(len(passage.text) for passage in index.passages) / count,
        local_s / count,
        engine_s / count,
        _bytes(index.home, ("documents", "passages", "document_ids", "first_passages")) / count,
        _bytes(index.home, ("store", "lexical")) / count,
        maker.embedder.dimension * 4,
        sum(len(set(terms.split())) for terms in analysed) / count,
        sum(len(terms.encode()) for terms in analysed) / count,
    )


def _paragraphs(path: Path) -> Iterator[str]:
    with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as content:
        stream = TextIOWrapper(content, "utf-8")
        yield from (line.strip() for line in stream if line.strip())


def _bytes(home: Path, names: Sequence[str]) -> int:
    """Size of the files and folders of a folder that begin with one of these names."""
    files = (path for path in home.rglob("*") if path.is_file())
    return sum(path.stat().st_size for path in files if path.relative_to(home).parts[0].startswith(tuple(names)))


def _table(cost: Cost, cores: int, memory_gib: int) -> Iterator[str]:
    engine_memory = cost.vector_bytes + _LINK_BYTES + cost.postings * _POSTING_BYTES
    engine_disk = engine_memory + cost.terms_bytes
    yield f"| 段落 | 文本（文件） | FAISS 索引 | 建立，{cores} 核 | Milvus 内存 | Milvus 磁盘 | 机器 | 建立，Ray |"
    yield "| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
    for size in _SIZES:
        machines = max(1, math.ceil(size * engine_memory / (memory_gib * _GIB * _FILLED)))
        cells = (
            f"10{_superscript(round(math.log10(size)))}",
            _size(size * cost.text_bytes),
            _size(size * cost.index_bytes),
            _duration(size * cost.local_s / cores),
            _size(size * engine_memory),
            _size(size * engine_disk),
            str(machines),
            _duration(size * cost.engine_s / (cores * machines)),
        )
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield (
        f"Milvus 内存 = 段落 × ({cost.vector_bytes} B 向量 + {_LINK_BYTES} B HNSW 边 + {cost.postings:.0f} × "
        f"{_POSTING_BYTES} B 倒排)；磁盘再加 {cost.terms_bytes:.0f} B 待分析的文本；"
        f"机器 = 内存 ÷ ({memory_gib} GiB × {_FILLED})；建立 = 段落 × 每段核秒 ÷ 核数（Ray：{cores} 核 × 机器数）。"
    )


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.3g} {unit}"
        count /= 1024
    return f"{count:.3g} TiB"


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.2g} min" if seconds < 3600 else f"{seconds / 3600:.2g} h"


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))


if __name__ == "__main__":
    main()
