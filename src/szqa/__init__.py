"""szqa: questions in Chinese, answered verbatim from documents, with exact citations, or not at all.

>>> from szqa import Assistant
>>> Assistant.load().ask("2024年苏州有多少家企业获评省级智能车间？").text
'224家'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from szqa.datatypes import Answer, Block, Citation, Document, Hit, Passage, Span
from szqa.errors import (
    ConfigurationError,
    CorpusError,
    EvaluationError,
    IndexBusyError,
    IndexFormatError,
    IndexMissingError,
    IndexWriteError,
    MissingExtraError,
    QuestionError,
    SzqaError,
)

if TYPE_CHECKING:
    from szqa.assistant import Assistant
    from szqa.index import Index

__all__ = [
    "Answer",
    "Assistant",
    "Block",
    "Citation",
    "ConfigurationError",
    "CorpusError",
    "Document",
    "EvaluationError",
    "Hit",
    "Index",
    "IndexBusyError",
    "IndexFormatError",
    "IndexMissingError",
    "IndexWriteError",
    "MissingExtraError",
    "Passage",
    "QuestionError",
    "Span",
    "SzqaError",
]


def __getattr__(name: str) -> object:
    # The two names below bring NumPy and more; `import szqa` and `szqa --help` stay instant without them.
    if name == "Assistant":
        from szqa.assistant import Assistant

        return Assistant
    if name == "Index":
        from szqa.index import Index

        return Index
    raise AttributeError(f"module 'szqa' has no attribute {name!r}")
