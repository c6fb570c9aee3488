"""What users thought of answers: a SQLite file, and draft lines for a gold set made from it.

It stores what it is given and knows nothing of assistants, servers or pages.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from szqa.errors import ConfigurationError
from szqa.question import analyse
from szqa.text import fold

__all__ = ["MAX_COMMENT_CHARS", "Feedback", "FeedbackStore", "Source", "draft_gold_lines"]

MAX_COMMENT_CHARS: Final = 1000

# Writers of other processes are not served in turn; one of several on a slow disk has been seen to wait for 5 s.
_BUSY_TIMEOUT_S: Final = 30.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS feedback (
    answer_id TEXT PRIMARY KEY,
    created TEXT NOT NULL,
    asked TEXT NOT NULL,
    question TEXT NOT NULL,
    answer TEXT,
    helpful INTEGER NOT NULL,
    comment TEXT NOT NULL,
    evidence TEXT NOT NULL,
    settings TEXT NOT NULL
)
"""
# A second opinion on the same answer is a change of mind.
_UPSERT: Final = """
INSERT INTO feedback (answer_id, created, asked, question, answer, helpful, comment, evidence, settings)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (answer_id) DO UPDATE SET
    created = excluded.created, helpful = excluded.helpful,
    comment = CASE excluded.comment WHEN '' THEN feedback.comment ELSE excluded.comment END
"""
_SELECT: Final = """
SELECT answer_id, created, asked, question, answer, helpful, comment, evidence, settings
FROM feedback ORDER BY created, answer_id
"""
# What was deleted is overwritten, in the file and in its log, rather than left as free space.
_PURGE: Final = "DELETE FROM feedback WHERE created < ?"
_GOLD_TYPES: Final = {
    "count": "number",
    "percent": "number",
    "money": "number",
    "date": "date",
    "person": "person_org",
    "organisation": "person_org",
    "place": "place",
    "title": "document",
    "list": "list",
    "reason": "why",
    "manner": "how",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Words of a document that an answer rests on.

    Attributes:
        source: the document's path relative to the corpus folder.
        quote: the words, verbatim.
    """

    source: str
    quote: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """One user's opinion of one answer.

    Attributes:
        answer_id: which answer; a later opinion on it replaces the earlier one.
        asked: the question as typed.
        question: the question as understood.
        answer: what was answered; ``None`` where the documents were found not to say.
        helpful: thumbs up or down.
        comment: free text, empty where none was given.
        evidence: what the answer rests on.
        settings: reader, threshold and index that answered.
        created: time, ISO 8601, UTC.
    """

    answer_id: str
    asked: str
    question: str
    answer: str | None
    helpful: bool
    comment: str = ""
    evidence: tuple[Source, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


class FeedbackStore:
    """Feedback in a SQLite file; may be used from several threads.

    Args:
        path: the file; it and its folder are made if missing.

    Raises:
        ConfigurationError: the file cannot be opened, or is no SQLite file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # Threads of this process wait for each other here, in turn, rather than by trying again and again.
        self._writing = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # What people asked is nobody else's business; SQLite gives its other files the same mode.
            path.touch(mode=0o600)
            with self._open() as connection:
                # Readers (an export, a browser of the file) do not wait for the server, nor the server for them.
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(
                f"{path}: 无法打开反馈数据库，请换一个可写的路径 (cannot open the feedback file): {error}"
            ) from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction; opinions are rare, and none is left open between two threads."""
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S)
        try:
            with connection:
                yield connection
        finally:
            connection.close()

    def __len__(self) -> int:
        with self._open() as connection:
            (count,) = connection.execute("SELECT COUNT(*) FROM feedback").fetchone()
        return int(count)

    def __iter__(self) -> Iterator[Feedback]:
        """Everything stored, oldest first."""
        with self._open() as connection:
            rows = connection.execute(_SELECT).fetchall()
        for answer_id, created, asked, question, answer, helpful, comment, evidence, settings in rows:
            sources = tuple(Source(**item) for item in json.loads(evidence))
            yield Feedback(
                answer_id, asked, question, answer, bool(helpful), comment, sources, json.loads(settings), created
            )

    def add(self, feedback: Feedback) -> None:
        """Store an opinion, in the place of an earlier one on the same answer; no comment keeps the earlier comment."""
        evidence = [{"source": source.source, "quote": source.quote} for source in feedback.evidence]
        row = (
            feedback.answer_id,
            feedback.created,
            feedback.asked,
            feedback.question,
            feedback.answer,
            int(feedback.helpful),
            feedback.comment[:MAX_COMMENT_CHARS],
            json.dumps(evidence, ensure_ascii=False),
            json.dumps(dict(feedback.settings), ensure_ascii=False),
        )
        with self._writing, self._open() as connection:
            connection.execute(_UPSERT, row)

    def purge(self, *, before: datetime | None = None) -> int:
        """Delete opinions for good and give their number.

        Args:
            before: those last changed before this moment; all of them by default.
        """
        # Moments are stored as text in UTC to the second, so that their order is that of the text; "~" follows digits.
        bound = before.astimezone(UTC).isoformat(timespec="seconds") if before else "~"
        connection = sqlite3.connect(self.path, timeout=_BUSY_TIMEOUT_S)
        try:
            connection.execute("PRAGMA secure_delete=ON")
            with connection:
                deleted = connection.execute(_PURGE, (bound,)).rowcount
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()
        return int(deleted)


def draft_gold_lines(feedback: Sequence[Feedback]) -> Iterator[str]:
    """Feedback as JSON lines in the format of eval/gold.jsonl, for a person to check.

    An answer found helpful becomes a gold answer. One found unhelpful becomes an unanswerable question whose
    ``draft`` says what was answered, because the right answer is not known.
    """
    for one in feedback:
        right = one.helpful and one.answer is not None
        kind = _GOLD_TYPES.get(analyse(fold(one.question)).kind, "what")
        line = {
            "id": f"fb-{one.answer_id[:12]}",
            "question": one.question,
            "type": kind if right else "unanswerable",
            "answers": [one.answer] if right else [],
            "evidence": [{"source": s.source, "quote": s.quote} for s in one.evidence] if right else [],
            "split": "dev",
            "draft": {
                "asked": one.asked,
                "answered": one.answer,
                "helpful": one.helpful,
                "comment": one.comment,
                "created": one.created,
                "settings": dict(one.settings),
            },
        }
        yield json.dumps(line, ensure_ascii=False)
