"""Questions as people ask them about the facts of reports, and near misses: questions the reports do not answer.

Where ``szqa.training.questions`` takes any sentence apart, these are whole and natural, since only facts of a plain
shape are asked for. Pure functions of facts and a random generator.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from szqa.question import LEVELS
from szqa.synonyms import SYNONYMS
from szqa.text import Segmenter, fold
from szqa.training.facts import Fact

__all__ = ["ask_about", "near_misses", "reworded", "told_by"]

_SMALL: Final = frozenset("家个项条座人名位所处户种届场部首架艘辆台套件次所村县章卷级校根期批款支队门站只")
_YEAR: Final = re.compile(r"(?:19|20)\d\d年")


def ask_about(fact: Fact, *, rng: Random, place: str = "", year: str = "") -> str | None:
    """Ask for a fact's answer.

    Args:
        fact: what is asked for.
        rng: chooses the words.
        place: of the report, sometimes put in front.
        year: of the report (2024年), likewise.

    Returns:
        The question, or ``None`` where too little would be left to know what is meant.
    """
    body = rng.choice(_FORMS[fact.shape](fact, rng))
    body = re.sub(r"[“”]", lambda mark: mark.group() if rng.random() < 0.5 else "", body)
    if place and place not in body and fact.subject[:2] != place and rng.random() < 0.45:
        body = place + body
    if year and not _YEAR.search(body) and rng.random() < 0.2:
        body = year + body
    if sum(map(str.isalnum, body)) < 8 or len(body) > 60:
        return None
    return body + rng.choices(("？", "", "?", "呢？"), (14, 5, 1, 1))[0]


def _how_many(fact: Fact, rng: Random) -> str:
    if fact.unit == "%":
        return rng.choice(("多少", "百分之多少", "百分之几"))
    if fact.unit and fact.unit in _SMALL:
        return rng.choice((f"多少{fact.unit}", f"几{fact.unit}", f"多少{fact.unit}", f"几{fact.unit}"))
    if fact.unit.endswith("元"):
        return rng.choice(("多少", f"多少{fact.unit}", "多少钱", "多少"))
    return rng.choice(("多少", f"多少{fact.unit}"))


def _trailing(fact: Fact, rng: Random) -> list[str]:
    many, noun = _how_many(fact, rng), fact.noun
    if not fact.verb:
        whole = f"{noun}是{many}" if many == "多少" else f"{noun}一共{many}"
        return [f"{noun}有{many}", whole, f"{noun}达到{many}", f"有{many}{noun}"]
    subject = fact.subject if rng.random() < 0.7 else ""
    return [
        f"{subject}{fact.verb}{noun}{many}",
        f"{subject}{fact.verb}了{many}{noun}",
        f"{subject}{noun}{fact.verb}了{many}",
        f"{subject}{fact.verb}的{noun}有{many}",
        f"{subject}有{many}{noun}",
        f"{noun}一共{many}" if many != "多少" else f"{subject}{fact.verb}{noun}{many}",
    ]


def _leading(fact: Fact, rng: Random) -> list[str]:
    many, noun = _how_many(fact, rng), fact.noun
    rest = fact.rest.strip("，。；、 ")
    subject = fact.subject if rng.random() < 0.7 else ""
    return [
        f"{subject}{many}{noun}{rest}",
        f"{subject}有{many}{noun}{rest}",
        f"{subject}{rest}的{noun or '总数'}有{many}",
        f"{subject}{rest}的{noun}一共有{many}" if noun else f"有{many}{rest}",
        f"{rest}了{many}{noun}",
    ]


def _growth(fact: Fact, rng: Random) -> list[str]:
    noun = fact.noun
    if fact.verb in ("下降", "减少"):
        return [
            f"{noun}{fact.verb}了多少",
            f"{noun}降了多少",
            f"{noun}的降幅是多少",
            f"{noun}同比{fact.verb}百分之多少",
        ]
    return [
        f"{noun}{fact.verb}了多少",
        f"{noun}涨了多少",
        f"{noun}的增速是多少",
        f"{noun}同比增长百分之多少",
        f"{noun}{fact.verb}多少",
        f"{noun}增幅多大",
    ]


def _title(fact: Fact, rng: Random) -> list[str]:
    after = fact.rest.strip("，。；、 ")[:12]
    kind = fact.unit if rng.random() < 0.6 else rng.choice(("文件", "名称", ""))
    return [
        f"{fact.subject}{fact.verb}{fact.noun}什么{after or kind}",
        f"{fact.subject}{fact.verb}了什么{kind}{after}",
        f"{fact.subject}{fact.verb}的{after}{kind}叫什么",
        f"{fact.subject}{fact.verb}的{kind}{after}是哪个",
    ]


def _thing(fact: Fact, rng: Random) -> list[str]:
    return [
        f"{fact.subject}{fact.verb}什么",
        f"{fact.subject}{fact.verb}了什么{fact.unit}",
        f"{fact.subject}{fact.verb}的是什么{fact.unit}",
        f"{fact.subject}{fact.verb}哪个{fact.unit}",
    ]


def _list(fact: Fact, rng: Random) -> list[str]:
    return [
        f"{fact.subject}{fact.verb}{fact.noun}哪些{fact.unit}",
        f"{fact.subject}{fact.verb}的{fact.unit}有哪些",
        f"{fact.subject}{fact.verb}{fact.noun}哪几个{fact.unit}",
        f"{fact.subject}{fact.verb}的{fact.unit}分别是什么",
    ]


def _date(fact: Fact, rng: Random) -> list[str]:
    when = rng.choice(("什么时候", "哪一年", "哪年", "何时"))
    return [
        f"{fact.noun}是{when}",
        f"{when}{fact.noun}",
        f"{fact.noun}是{when}的事",
        f"{fact.subject}{when}{fact.noun}",
    ]


_FORMS: Final = {
    "trailing": _trailing,
    "leading": _leading,
    "growth": _growth,
    "title": _title,
    "thing": _thing,
    "list": _list,
    "date": _date,
}


def reworded(question: str, segmenter: Segmenter, *, rng: Random, chance: float) -> str:
    """The question with some of its words exchanged for others that say the same."""
    parts = []
    for token in segmenter.cut(fold(question)):
        original = question[token.start : token.end]
        others = [other for other in SYNONYMS.get(token.text, ()) if len(other) >= len(token.text)]
        parts.append(rng.choice(others) if others and rng.random() < chance else original)
    return "".join(parts)


_DETAILS: Final = (
    "的总投资是多少 一共花了多少钱 占地多少亩 的负责人是谁 是哪一年成立的 是哪年开始的 "
    "在哪个区 有多少人参加 的联系电话是多少 由哪个部门负责 的会长叫什么名字 一年能产多少 "
    "的营业收入是多少 有多少员工 什么时候结束 收费多少钱 分别是哪几个 具体叫什么名字 "
    "是哪家公司建的 的面积有多大 的资金从哪里来 用了什么技术 比上年多了多少 的目标是多少 "
    "排在全国第几 的利润是多少 有哪些要求 为什么要建 分布在哪些地方 最大的是哪一家 "
)


def told_by(fact: Fact) -> str:
    """What a fact is about, in the text's words: the thing counted or measured, or the answer itself."""
    return fact.noun if fact.shape in ("trailing", "leading", "growth") else fact.answer


def near_misses(
    fact: Fact, *, rng: Random, place: str, other_places: Sequence[str], collection: str
) -> Iterator[tuple[str, str]]:
    """Questions close to a fact that the collection of texts does not answer, with the way each was made.

    Args:
        fact: what the text does say.
        rng: chooses.
        place: of the report.
        other_places: places that the report may be asked about in vain.
        collection: all the text that is searched, folded.
    """
    question = ask_about(replace(fact, subject="") if rng.random() < 0.5 else fact, rng=rng, place=place)
    if question:
        absent = [other for other in other_places if other not in collection]
        if absent:
            other = rng.choice(absent)
            yield (question.replace(place, other) if place and place in question else other + question), "place"
        shift = [f"{year}年" for year in range(2008, 2033) if str(year) not in collection]
        if shift and fact.shape != "date":
            other = rng.choice(shift)
            yield _YEAR.sub(other, question) if _YEAR.search(question) else other + question, "year"
        for level in LEVELS[:4]:
            others = [other for other in LEVELS[:4] if other != level and other not in fact.text]
            if level in question and others:
                other = rng.choice(others)
                if fold(question).replace(level, other) not in collection:
                    yield question.replace(level, other), "level"
    noun = "" if fact.shape == "date" else told_by(fact)
    if 4 <= len(noun) <= 24:
        yield f"{rng.choice(('', place))}{noun}{rng.choice(_DETAILS.split())}？", "detail"
