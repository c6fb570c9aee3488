"""szqa, asked question after question; and the two things the others need of it: its passages, and jieba alone.

``serve INDEX`` (``talk.py``), ``passages INDEX OUT``, ``jieba CORPUS``. ``szqa`` itself builds and answers cold.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from multiprocessing import get_context
from pathlib import Path

from side_by_side.talk import Reply, talk
from szqa import Answer, Assistant

_FILES_A_TASK = 40


class Szqa:
    """szqa with an index.

    Args:
        index: its folder.
    """

    def __init__(self, index: Path) -> None:
        self._assistant = Assistant.load(index)
        self._last: Answer | None = None

    def ask(self, question: str) -> str:
        """The answer, empty where the documents do not say."""
        self._last = self._assistant.ask(question)
        return self._last.text or ""

    def explain(self, question: str) -> Reply:
        """What was found for the last question."""
        if self._last is None or not self._last.hits:
            return Reply("", "", "")
        source = self._assistant.index.documents[self._last.hits[0].passage.document_id].source
        return Reply(self._last.text or "", source, source, self._last.timings_ms["retrieve"])


def _write_passages(index: Path, out: Path) -> None:
    """Write the passages of an index as lines of JSON: the name of the file each is from, and its text."""
    made = Assistant.load(index).index
    with out.open("w", encoding="utf-8") as stream:
        for passage in made.passages:
            row = {"document": made.documents[passage.document_id].source, "text": passage.text}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def _cut_with_jieba(corpus: Path) -> None:
    """Cut every line of a corpus in jieba's search mode, in as many processes as szqa uses by default."""
    paths = sorted(corpus.iterdir())
    tasks = [paths[start : start + _FILES_A_TASK] for start in range(0, len(paths), _FILES_A_TASK)]
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        pool.map(_cut_files, tasks, chunksize=1)
        pool.close()
        pool.join()


def _cut_files(paths: list[Path]) -> None:
    import jieba

    jieba.setLogLevel(logging.ERROR)
    for path in paths:
        for line in path.read_text("utf-8").split("\n"):
            jieba.lcut_for_search(line)


def _by_szqa_itself(passages: Path, home: Path) -> None:
    raise SystemExit("use: szqa build")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["jieba", corpus]:
            _cut_with_jieba(Path(corpus))
        case ["passages", index, out]:
            _write_passages(Path(index), Path(out))
        case _:
            talk(_by_szqa_itself, Szqa)
