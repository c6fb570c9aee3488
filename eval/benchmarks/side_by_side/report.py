"""Figures → growth exponents, a table with ratios to szqa, and plots on logarithmic axes.

It knows nothing of how figures are measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PackageLoader, StrictUndefined

__all__ = ["PLOTS", "Figures", "growth", "plot", "table"]

Measure = Literal[
    "build_s", "build_cpu_s", "build_mb", "cold_s", "cold_cpu_s", "warm_ms", "p95_ms", "warm_cpu_ms", "warm_mb"
]


@dataclass(frozen=True, slots=True)
class Figures:
    """What one system needed for one size of corpus; ``None`` where it was not measured.

    Attributes:
        system: its name.
        passages: number of passages.
        build_s: seconds of building by the clock, the median of the repetitions.
        build_cpu_s: seconds of CPU, of all cores.
        build_mb: MB of memory at most while building, all processes together.
        cold_s: seconds from the start of a process to its printed answer, median.
        cold_cpu_s: seconds of CPU of it, median.
        warm_ms: milliseconds of an answer once it is running, median.
        p95_ms: likewise, the 95th percentile.
        warm_cpu_ms: milliseconds of CPU of an answer, all threads, median.
        retrieve_ms: milliseconds of it until the passages are there, median.
        warm_mb: MB of memory at most while answering.
        recall: recall@1 of the questions' own paragraphs.
        recall_by_default: likewise with the system's own weights of words and vectors.
        left_out: why something was not measured, empty where everything was.
    """

    system: str
    passages: int
    build_s: float | None = None
    build_cpu_s: float | None = None
    build_mb: float | None = None
    cold_s: float | None = None
    cold_cpu_s: float | None = None
    warm_ms: float | None = None
    p95_ms: float | None = None
    warm_cpu_ms: float | None = None
    retrieve_ms: float | None = None
    warm_mb: float | None = None
    recall: float | None = None
    recall_by_default: float | None = None
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class _Plot:
    title: str
    axis: str
    measure: Measure


PLOTS = {
    "build_time": _Plot("建立索引的时间 (build time)", "秒 (s)", "build_s"),
    "build_memory": _Plot("建立索引的内存峰值 (build memory)", "MB", "build_mb"),
    "memory": _Plot("回答时的内存峰值 (memory while answering)", "MB", "warm_mb"),
    "latency": _Plot("每题用时，中位数 (latency, median)", "毫秒 (ms)", "warm_ms"),
}
"""File name without its suffix → what is drawn."""

_COLUMNS: dict[Measure, str] = {
    "build_s": "建立，秒",
    "build_cpu_s": "建立，核秒",
    "build_mb": "建立，MB",
    "cold_s": "冷启动，秒",
    "cold_cpu_s": "冷启动，核秒",
    "warm_ms": "每题中位，ms",
    "p95_ms": "p95，ms",
    "warm_cpu_ms": "每题核 ms",
    "warm_mb": "回答，MB",
}
# Part of a decade: a corpus of "about 1,000" passages has 963.
_OUTSIDE = 0.03
# Room of a plot in pixels, and where its axes are.
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 420, 264, 56, 300


def growth(figures: Sequence[Figures], system: str, measure: Measure) -> float:
    """Growth exponent: the slope of log figure over log passages, by least squares; nan for fewer than two sizes."""
    points = _points(figures, system, measure)
    if len({passages for passages, _ in points}) < 2:
        return math.nan
    logs = np.log(points)
    return float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0])


def table(figures: Sequence[Figures]) -> list[str]:
    """Lines of Markdown: a row a system and size, each figure with its ratio to szqa's; then the growth exponents."""
    head = ["段落", "", *_COLUMNS.values(), "recall@1（默认权重）"]
    lines = [f"| {' | '.join(head)} |", f"|{' ---: |' * len(head)}"]
    for row in figures:
        own = next((o for o in figures if o.system == "szqa" and o.passages == row.passages), None)
        cells = [_with_ratio(row, own, measure) for measure in _COLUMNS]
        recall = "—" if row.recall is None else f"{row.recall:.3f}（{row.recall_by_default or 0:.3f}）"
        lines.append(f"| {' | '.join([f'{row.passages:,}', row.system, *cells, recall])} |")
    for system in dict.fromkeys(row.system for row in figures):
        exponents = [growth(figures, system, measure) for measure in _COLUMNS]
        cells = ["—" if math.isnan(exponent) else f"n^{exponent:.2f}" for exponent in exponents]
        lines.append(f"| 增长 | {' | '.join([system, *cells, ''])} |")
    lines += [f"{row.system}, {row.passages:,}: {row.left_out}" for row in figures if row.left_out]
    return lines


def _with_ratio(row: Figures, own: Figures | None, measure: Measure) -> str:
    value: float | None = getattr(row, measure)
    if value is None:
        return "—"
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    base: float | None = getattr(own, measure) if own and own is not row else None
    return f"{shown}（{value / base:.2g}×）" if base else shown


def plot(figures: Sequence[Figures], name: str) -> str:
    """One of ``PLOTS`` as an SVG document."""
    drawn = PLOTS[name]
    systems = list(dict.fromkeys(row.system for row in figures))  # a system has one colour in every plot
    points = {system: line for system in systems if (line := _points(figures, system, drawn.measure))}
    everything = [point for line in points.values() for point in line]
    across = _decades([passages for passages, _ in everything])
    up = _decades([value for _, value in everything])
    curves = []
    for system, line in points.items():
        exponent = growth(figures, system, drawn.measure)
        places = [
            (_LEFT + _WIDTH * _share(passages, across), _BOTTOM - _HEIGHT * _share(value, up))
            for passages, value in line
        ]
        label = system if math.isnan(exponent) else f"{system}  n^{exponent:.2f}"
        curves.append(
            {
                "label": label,
                "number": systems.index(system),
                "places": places,
                "notes": [f"{n:,}: {value:.3g}" for n, value in line],
            }
        )
    here = ChoiceLoader([FileSystemLoader(Path(__file__).parent), PackageLoader("szqa.report", "templates")])
    environment = Environment(loader=here, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    values = {
        "title": drawn.title,
        "axis": drawn.axis,
        "curves": curves,
        "xs": [
            (_LEFT + _WIDTH * _share(10.0**power, across), f"{10**power:,}")
            for power in range(across[0], across[1] + 1)
        ],
        "ys": [(_BOTTOM - _HEIGHT * _share(10.0**power, up), f"{10.0**power:,g}") for power in range(up[0], up[1] + 1)],
    }
    return environment.get_template("growth.svg").render(values) + "\n"


def _points(figures: Sequence[Figures], system: str, measure: Measure) -> list[tuple[int, float]]:
    rows = sorted((row for row in figures if row.system == system), key=lambda row: row.passages)
    return [(row.passages, value) for row in rows if (value := getattr(row, measure)) is not None]


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Powers of ten around some values, at least one decade; values a little outside of them stay a little outside."""
    low, high = math.floor(math.log10(min(values)) + _OUTSIDE), math.ceil(math.log10(max(values)) - _OUTSIDE)
    return low, max(high, low + 1)


def _share(value: float, decades: tuple[int, int]) -> float:
    return (math.log10(value) - decades[0]) / (decades[1] - decades[0])
