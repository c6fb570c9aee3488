"""The errors szqa raises, each with both values and the remedy in its message.

SzqaError
├── ConfigurationError    a setting, model name or path that cannot be used
├── CorpusError           source files that cannot be read; lists every one of them
├── EvaluationError       a gold set or predictions file that cannot be scored; lists every line
├── QuestionError         a question that cannot be asked: empty or too long
├── IndexMissingError     no index where one was expected
├── IndexFormatError      an index that is half-written, foreign, or made with other settings
├── IndexBusyError        another build is writing into the same folder
├── IndexWriteError       the index cannot be written: the disk is full, the folder read-only
├── MissingExtraError     an optional dependency is not installed
└── StoreUnavailableError a vector store on another machine is down, slow, or refuses

Messages are in Chinese first, with the English beside it, because they are shown to users as they are.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = [
    "ConfigurationError",
    "CorpusError",
    "EvaluationError",
    "IndexBusyError",
    "IndexFormatError",
    "IndexMissingError",
    "IndexWriteError",
    "MissingExtraError",
    "QuestionError",
    "StoreUnavailableError",
    "SzqaError",
]


class SzqaError(Exception):
    """Parent of every error that szqa raises on purpose; its message is fit to show to a user."""


class ConfigurationError(SzqaError):
    """A setting, a model name or a path cannot be used."""


class CorpusError(SzqaError):
    """One or more source files cannot be read.

    Args:
        problems: one line a file, each with its name, what was found and what to do.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        head = f"语料中有 {len(self.problems)} 个问题 ({len(self.problems)} problem(s) in the corpus):"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class EvaluationError(SzqaError):
    """A gold set or a predictions file cannot be scored.

    Args:
        problems: one line a fault, each with its line number and the reason.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        head = f"评测文件有 {len(self.problems)} 处错误 ({len(self.problems)} problem(s) in the evaluation file):"
        super().__init__("\n".join([head, *(f"  - {problem}" for problem in self.problems)]))


class QuestionError(SzqaError):
    """A question is empty or longer than szqa reads."""


class IndexMissingError(SzqaError):
    """There is no index at the place given."""


class IndexFormatError(SzqaError):
    """An index is half-written, damaged, foreign, or made with other settings than those asked for."""


class IndexBusyError(SzqaError):
    """Another build is writing into the same folder and did not end in time."""


class IndexWriteError(SzqaError):
    """An index cannot be written; the one of before is whole."""


class MissingExtraError(SzqaError):
    """An optional dependency is not installed.

    Args:
        extra: name of the extra in pyproject.toml that brings it.
        purpose: what it is needed for, in Chinese and English.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        self.extra = extra
        self.purpose = purpose
        super().__init__(f"{purpose}，需要先安装 (install first): pip install 'szqa[{extra}]'")


class StoreUnavailableError(SzqaError):
    """A vector store that runs elsewhere is down, does not answer in time, or refuses; asking later may help."""
