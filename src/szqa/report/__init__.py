"""Evaluation runs: from ``szqa eval``'s options to tables, JSON, plots and HTML, for one run or for two compared."""

from __future__ import annotations

from szqa.report.charts import charts
from szqa.report.command import (
    EvaluationOptions,
    broken_bounds,
    compare_runs,
    parse_bounds,
    run_evaluation,
    write_comparison_files,
    write_run_files,
)
from szqa.report.pages import comparison_page, run_page
from szqa.report.runs import Run, read_predictions, read_run, write_predictions, write_run
from szqa.report.tables import comparison_tables, metrics_tables

__all__ = [
    "EvaluationOptions",
    "Run",
    "broken_bounds",
    "charts",
    "compare_runs",
    "comparison_page",
    "comparison_tables",
    "metrics_tables",
    "parse_bounds",
    "read_predictions",
    "read_run",
    "run_evaluation",
    "run_page",
    "write_comparison_files",
    "write_predictions",
    "write_run",
    "write_run_files",
]
