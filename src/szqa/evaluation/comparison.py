"""The rows of two runs → what changed between them, and whether it could be chance.

It knows nothing of files, tables or plots.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from szqa.evaluation.resampling import confidence_interval, paired_p_value
from szqa.evaluation.rows import QuestionRow
from szqa.evaluation.summary import measure_values

__all__ = ["Comparison", "MeasureChange", "compare"]


@dataclass(frozen=True, slots=True)
class MeasureChange:
    """One measure in two runs, over the questions that both asked.

    Attributes:
        name: the measure.
        old: its mean in the old run.
        new: its mean in the new one.
        interval: 95 % bootstrap interval of the difference, ``None`` for fewer than two questions.
        p_value: of a two-sided paired randomisation test.
        won: questions on which the new run is better.
        lost: questions on which it is worse.
        tied: questions on which they are equal.
    """

    name: str
    old: float
    new: float
    interval: tuple[float, float] | None
    p_value: float
    won: int
    lost: int
    tied: int

    @property
    def difference(self) -> float:
        """New minus old."""
        return self.new - self.old


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs over the same questions.

    Attributes:
        measures: every measure that both runs have.
        pairs: the questions of both, old row and new row, in the new run's order.
        only_old: ids that only the old run asked.
        only_new: ids that only the new run asked.
    """

    measures: tuple[MeasureChange, ...]
    pairs: tuple[tuple[QuestionRow, QuestionRow], ...]
    only_old: tuple[str, ...]
    only_new: tuple[str, ...]

    @property
    def changed(self) -> list[tuple[QuestionRow, QuestionRow]]:
        """The pairs whose answer differs, greatest loss of F1 first, greatest gain last."""
        different = [(old, new) for old, new in self.pairs if _said(old) != _said(new)]
        return sorted(different, key=lambda pair: pair[1].f1 - pair[0].f1)

    def to_json(self) -> dict[str, object]:
        """Every figure of the comparison, and the questions whose answer changed."""
        return {
            "measures": {
                item.name: {
                    "old": item.old,
                    "new": item.new,
                    "difference": item.difference,
                    "interval": list(item.interval) if item.interval else None,
                    "p_value": item.p_value,
                    "won": item.won,
                    "lost": item.lost,
                    "tied": item.tied,
                }
                for item in self.measures
            },
            "changed": [
                {"id": new.id, "question": new.question, "old": _said(old), "new": _said(new), "f1": [old.f1, new.f1]}
                for old, new in self.changed
            ],
            "only_old": list(self.only_old),
            "only_new": list(self.only_new),
        }


def compare(old: Sequence[QuestionRow], new: Sequence[QuestionRow]) -> Comparison:
    """Compare two runs on the questions they share by id, text and gold answers."""
    old_rows = {_key(row): row for row in old}
    new_rows = {_key(row): row for row in new}
    shared = [key for key in new_rows if key in old_rows]
    pairs = tuple((old_rows[key], new_rows[key]) for key in shared)
    before, after = measure_values([first for first, _ in pairs]), measure_values([second for _, second in pairs])
    changes = (_change(name, before[name], after[name]) for name in before if name in after)
    return Comparison(
        tuple(change for change in changes if change is not None),
        pairs,
        tuple(row.id for key, row in old_rows.items() if key not in new_rows),
        tuple(row.id for key, row in new_rows.items() if key not in old_rows),
    )


def _key(row: QuestionRow) -> tuple[str, str, tuple[str, ...]]:
    return row.id, row.question, row.answers


def _said(row: QuestionRow) -> str | None:
    return row.candidate if row.answered else None


def _change(name: str, old: Mapping[str, float], new: Mapping[str, float]) -> MeasureChange | None:
    shared = [identifier for identifier in new if identifier in old]
    if not shared:
        return None
    before, after = [old[identifier] for identifier in shared], [new[identifier] for identifier in shared]
    gains = [second - first for first, second in zip(before, after, strict=True)]
    return MeasureChange(
        name,
        fmean(before),
        fmean(after),
        confidence_interval(gains),
        paired_p_value(before, after),
        won=sum(gain > 0 for gain in gains),
        lost=sum(gain < 0 for gain in gains),
        tied=sum(gain == 0 for gain in gains),
    )
