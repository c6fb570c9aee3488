"""The plots of a report as SVG, drawn by templates: no script, no font or image from elsewhere, light and dark.

Each plot is a whole SVG document, fit to stand in a page or in a file of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from szqa.evaluation import Estimate, Latency, Metrics
from szqa.report.labels import type_label
from szqa.report.templates import render

__all__ = ["CHART_TITLES", "charts"]

CHART_TITLES = {
    "by_type": "各题型 F1 (by type)",
    "risk_coverage": "风险–覆盖曲线 (risk–coverage)",
    "reliability": "可靠性 (reliability)",
    "latency": "用时 (latency)",
}

# A curve of thousands of points looks the same with this many.
_MOST_POINTS = 240


@dataclass(frozen=True, slots=True)
class _Bar:
    """A bar of a horizontal bar chart, lengths as shares of the axis."""

    name: str
    value: float
    low: float
    high: float
    note: str


@dataclass(frozen=True, slots=True)
class _Dot:
    """A point in the unit square, y upwards, with its radius in pixels and what it says when pointed at."""

    x: float
    y: float
    radius: float
    note: str


def charts(metrics: Metrics) -> dict[str, Markup]:
    """The plots there is something to draw in, by name (the keys of ``CHART_TITLES``)."""
    drawn = {"by_type": _type_bars(metrics.by_type)}
    if metrics.curve:
        drawn["risk_coverage"] = _risk_coverage(metrics)
        drawn["reliability"] = _reliability(metrics)
    if metrics.latency:
        drawn["latency"] = _latency_bars(metrics.latency)
    return drawn


def _type_bars(by_type: Mapping[str, Estimate]) -> Markup:
    bars = []
    for name, item in by_type.items():
        low, high = item.interval or (item.value, item.value)
        bars.append(_Bar(f"{type_label(name)} ({item.n})", item.value, low, high, f"{item.value * 100:.1f}"))
    return _bars("by_type", bars, ticks=[(share / 4, f"{share * 25}") for share in range(5)], axis="F1 (%)")


def _latency_bars(latency: Mapping[str, Latency]) -> Markup:
    longest = max(took.p95 for took in latency.values()) or 1.0
    bars = [
        _Bar(
            name,
            took.median / longest,
            took.median / longest,
            took.p95 / longest,
            f"{took.median:.0f} / {took.p95:.0f}",
        )
        for name, took in latency.items()
    ]
    ticks = [(share / 4, f"{longest * share / 4:.0f}") for share in range(5)]
    return _bars("latency", bars, ticks=ticks, axis="毫秒：中位数 / p95 (ms: median / p95)")


def _risk_coverage(metrics: Metrics) -> Markup:
    step = max(1, len(metrics.curve) // _MOST_POINTS)
    kept = [*metrics.curve[:-1:step], metrics.curve[-1]]
    dots = []
    answered = _operating_point(metrics)
    if answered is not None:
        point = metrics.curve[answered - 1]
        note = f"阈值 threshold {metrics.threshold:.3f}: {point.coverage:.0%}, {point.risk:.1%}"
        dots.append(_Dot(point.coverage, point.risk, 5, note))
    line = [(point.coverage, point.risk) for point in kept]
    return _square("risk_coverage", line, dots, x="作答比例 coverage", y="错误比例 risk", diagonal=False)


def _operating_point(metrics: Metrics) -> int | None:
    """How many questions were answered at the run's threshold, ``None`` where none or without a threshold."""
    if metrics.threshold is None or metrics.answered == 0:
        return None
    return min(metrics.answered, len(metrics.curve))


def _reliability(metrics: Metrics) -> Markup:
    most = max(item.count for item in metrics.bins)
    dots = [
        _Dot(
            item.score,
            item.accuracy,
            3 + 9 * (item.count / most) ** 0.5,
            f"{item.score:.2f} → {item.accuracy:.2f} ({item.count})",
        )
        for item in metrics.bins
    ]
    line = [(item.score, item.accuracy) for item in metrics.bins]
    return _square("reliability", line, dots, x="得分 score", y="精确匹配 accuracy", diagonal=True)


def _bars(name: str, bars: Sequence[_Bar], *, ticks: Sequence[tuple[float, str]], axis: str) -> Markup:
    return render("bars.svg", {"title": CHART_TITLES[name], "bars": bars, "ticks": ticks, "axis": axis})


def _square(
    name: str, line: Sequence[tuple[float, float]], dots: Sequence[_Dot], *, x: str, y: str, diagonal: bool
) -> Markup:
    values = {"title": CHART_TITLES[name], "line": line, "dots": dots, "x": x, "y": y, "diagonal": diagonal}
    return render("square.svg", values)
