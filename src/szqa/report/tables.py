"""A run, or two runs, as tables for a terminal."""

from __future__ import annotations

from rich.console import Group
from rich.table import Table
from rich.text import Text

from szqa.evaluation import Comparison, Metrics
from szqa.report.labels import label, number, percent, percent_with_interval, type_label
from szqa.report.runs import Run

__all__ = ["comparison_tables", "metrics_tables"]

_MOST_CHANGES = 20


def metrics_tables(run: Run, metrics: Metrics) -> Group:
    """The figures of a run, its F1 by type of question, and the time it took."""
    parts: list[Table | Text] = [_estimates(run, metrics), _scores(metrics), _types(metrics)]
    if metrics.latency:
        parts.append(_latency(metrics))
    if run.partial:
        parts.append(Text(f"中断：只评测了 {metrics.questions} 题 (stopped: partial run)", style="bold yellow"))
    return Group(*parts)


def comparison_tables(comparison: Comparison, *, old: str, new: str) -> Group:
    """What changed from the old run to the new one, with significance and the questions it changed on."""
    table = Table(
        "指标 measure", title=Text(f"{old} → {new} · {len(comparison.pairs)} 题 (questions)"), title_justify="left"
    )
    for column in ("旧 old", "新 new", "差 difference [95 %]", "p", "胜 won", "负 lost", "平 tied"):
        table.add_column(column, justify="right")
    for item in comparison.measures:
        interval = f" [{item.interval[0] * 100:+.1f}, {item.interval[1] * 100:+.1f}]" if item.interval else ""
        style = "" if item.p_value >= 0.05 else "bold green" if item.difference > 0 else "bold red"
        table.add_row(
            label(item.name),
            percent(item.old),
            percent(item.new),
            f"{item.difference * 100:+.1f}{interval}",
            f"{item.p_value:.4f}",
            *(str(count) for count in (item.won, item.lost, item.tied)),
            style=style,
        )
    parts: list[Table | Text] = [table]
    if comparison.changed:
        parts.append(_changes(comparison))
    unshared = len(comparison.only_old) + len(comparison.only_new)
    if unshared:
        parts.append(
            Text(f"{unshared} 题只在其中一次评测里，未计入 (in one of the runs only, left out)", style="yellow")
        )
    return Group(*parts)


def _estimates(run: Run, metrics: Metrics) -> Table:
    title = f"{run.name} · {run.evaluation_set} · {metrics.questions} 题 (questions)"
    table = Table("指标 measure", title=Text(title), title_justify="left")
    table.add_column("数值 [95 % 区间 interval]", justify="right")
    table.add_column("题数 n", justify="right")
    for name, estimate in metrics.estimates.items():
        table.add_row(label(name), percent_with_interval(estimate), str(estimate.n))
    return table


def _scores(metrics: Metrics) -> Table:
    table = Table("得分的可信度 how far the score can be trusted")
    table.add_column("数值 value", justify="right")
    table.add_row("AUROC，可答与不可答 (answerable or not)", number(metrics.auroc))
    table.add_row("风险–覆盖曲线下面积 AURC (lower is better)", number(metrics.area))
    table.add_row("期望校准误差 ECE (lower is better)", number(metrics.calibration_error))
    table.add_row("阈值 threshold", number(metrics.threshold))
    if metrics.best:
        table.add_row("本集最佳阈值 best threshold here", f"{metrics.best.value:.3f} (F1 {metrics.best.mean:.1%})")
    return table


def _types(metrics: Metrics) -> Table:
    table = Table("题型 type")
    table.add_column("F1 [95 %]", justify="right")
    table.add_column("题数 n", justify="right")
    for name, estimate in metrics.by_type.items():
        table.add_row(Text(type_label(name)), percent_with_interval(estimate), str(estimate.n))
    return table


def _latency(metrics: Metrics) -> Table:
    table = Table("阶段 stage")
    table.add_column("中位数 median (ms)", justify="right")
    table.add_column("p95 (ms)", justify="right")
    for stage, took in metrics.latency.items():
        table.add_row(Text(stage), f"{took.median:.1f}", f"{took.p95:.1f}")
    return table


def _changes(comparison: Comparison) -> Table:
    changed = comparison.changed
    title = f"答案有变的 {len(changed)} 题 (answers that changed)"
    half = _MOST_CHANGES // 2
    if len(changed) > _MOST_CHANGES:
        title += f"，F1 变化最大的 {_MOST_CHANGES} 题 (largest changes)"
        changed = changed[:half] + changed[-half:]
    table = Table("ΔF1", "问题 question", "旧 old", "新 new", "标准答案 gold", title=title, title_justify="left")
    for old, new in changed:
        said = [row.candidate if row.answered and row.candidate else "—" for row in (old, new)]
        gold = new.answers[0] if new.answers else "—"
        table.add_row(f"{new.f1 - old.f1:+.2f}", *(Text(cell) for cell in (new.question, *said, gold)))
    return table
