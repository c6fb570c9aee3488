"""Small numbers in either spelling: what a question calls 三个, a text may call 3个.

Only numbers that count or order something, and not years or decimals, which are written in digits anyway. Works
on folded text; knows nothing of questions or passages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

__all__ = ["respelled"]

_DIGITS: Final = "零一二三四五六七八九"
_VALUES: Final = {"两": 2, "〇": 0} | {digit: value for value, digit in enumerate(_DIGITS)}
_UNITS: Final = {"十": 10, "百": 100, "千": 1000}
# A measure word must follow: 一 in 一起 and 十 in 十分 count nothing.
_MEASURES: Final = r"(?=[个家项条座名位种类届期批次件台辆部首套张场岁年月日天周步大级层号卷章篇人所处户])"
_HAN: Final = re.compile(rf"[一二两三四五六七八九十百千零〇]+{_MEASURES}")
_ARABIC: Final = re.compile(rf"(?<![\d.])[1-9]\d{{0,2}}{_MEASURES}")


def respelled(folded: str) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """The numbers of a folded text in their other spellings, each with the character behind it.

    Yields:
        (start, end, spellings): the number and its measure word stand at ``[start, end)``; 3个 may be 三个, 2家 may be
        两家 or 二家.
    """
    for match in _HAN.finditer(folded):
        value = _value(match.group())
        if value:
            yield match.start(), match.end() + 1, (str(value) + folded[match.end()],)
    for match in _ARABIC.finditer(folded):
        numeral = _numeral(int(match.group()))
        spellings = (numeral, "两") if numeral == "二" else (numeral,)
        yield match.start(), match.end() + 1, tuple(spelling + folded[match.end()] for spelling in spellings)


def _value(numeral: str) -> int:
    """Value of a Chinese numeral below ten thousand, 0 where it is none (三五 in 三五个)."""
    total, digit, last = 0, 0, 10_000
    for character in numeral:
        if character in _UNITS:
            unit = _UNITS[character]
            if unit >= last:
                return 0
            total, digit, last = total + (digit or 1) * unit, 0, unit
        elif digit:
            return 0
        else:
            digit = _VALUES[character]
    return total + digit


def _numeral(value: int) -> str:
    """Chinese numeral of a number below a thousand: 10 is 十, 21 is 二十一, 105 is 一百零五."""
    parts: list[str] = []
    gap = False
    for unit, name in ((100, "百"), (10, "十"), (1, "")):
        digit, value = divmod(value, unit)
        if digit:
            parts.append(("零" if gap else "") + _DIGITS[digit] + name)
        gap = bool(parts) and not digit
    numeral = "".join(parts)
    return numeral[1:] if numeral.startswith("一十") else numeral
