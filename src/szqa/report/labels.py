"""What a reader calls each measure, in Chinese first; how figures are written."""

from __future__ import annotations

from szqa.evaluation import Estimate

__all__ = ["OUTCOMES", "label", "number", "percent", "percent_with_interval", "type_label"]

_LABELS = {
    "em": "精确匹配 EM",
    "f1": "F1",
    "has_answer_em": "有答案：EM (HasAns)",
    "has_answer_f1": "有答案：F1 (HasAns)",
    "no_answer_em": "无答案：EM (NoAns)",
    "no_answer_f1": "无答案：F1 (NoAns)",
    "abstention_precision": "拒答准确率 (abstention precision)",
    "abstention_recall": "拒答召回率 (abstention recall)",
    "verbatim": "逐字引用 (verbatim)",
    "citation_first": "首条引用正确 (first citation)",
    "citation_any": "任一引用正确 (any citation)",
    "recall@1": "检索 recall@1",
    "recall@3": "检索 recall@3",
    "recall@5": "检索 recall@5",
    "recall@10": "检索 recall@10",
    "RR@10": "检索 RR@10",
    "nDCG@10": "检索 nDCG@10",
}

_TYPES = {
    "number": "数量 number",
    "date": "时间 date",
    "person_org": "人物机构 person_org",
    "place": "地点 place",
    "document": "文件 document",
    "list": "列举 list",
    "what": "事物 what",
    "how": "方式 how",
    "why": "原因 why",
    "answerable": "有答案 answerable",
    "unanswerable": "无答案 unanswerable",
}

OUTCOMES = {"right": "答对 right", "wrong": "答错 wrong", "abstained": "未答 abstained"}
"""What can become of a question."""

_MISSING = "—"


def label(name: str) -> str:
    """What a reader calls a measure."""
    return _LABELS.get(name, name)


def type_label(kind: str) -> str:
    """What a reader calls a type of question."""
    return _TYPES.get(kind, kind)


def percent(value: float | None) -> str:
    """A fraction as per cent with one decimal."""
    return _MISSING if value is None else f"{value:.1%}"


def number(value: float | None) -> str:
    """A figure that is no share, with three decimals."""
    return _MISSING if value is None else f"{value:.3f}"


def percent_with_interval(estimate: Estimate) -> str:
    """A mean and its 95 % interval."""
    if estimate.interval is None:
        return percent(estimate.value)
    low, high = estimate.interval
    return f"{percent(estimate.value)} [{low * 100:.1f}, {high * 100:.1f}]"
