"""A run, or two runs, as one HTML file that needs nothing from elsewhere: everything escaped, light and dark."""

from __future__ import annotations

from collections.abc import Mapping

from markupsafe import Markup

from szqa.evaluation import Comparison, Metrics
from szqa.report.runs import Run
from szqa.report.templates import render

__all__ = ["comparison_page", "run_page"]


def run_page(run: Run, *, metrics: Metrics, charts: Mapping[str, Markup]) -> str:
    """A run's figures, plots and questions."""
    return render("run.html", {"run": run, "metrics": metrics, "charts": charts})


def comparison_page(comparison: Comparison, *, old: Run, new: Run) -> str:
    """What changed between two runs."""
    settings = list(dict.fromkeys((*old.settings, *new.settings)))
    values = {"comparison": comparison, "old": old, "new": new, "settings": settings}
    return render("comparison.html", values)
