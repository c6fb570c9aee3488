"""A follow-up question made whole from the turns before it, by rule, as in 那省级的呢？ after 有多少家国家级工厂？.

A follow-up names what is different (a year, a level, a place, a noun), leaves its subject out, or points back with a
pronoun. What is different takes the place of what it stands for in the question before; a missing subject and a
pronoun are filled from it or from its answer. A question that is complete is left as it is. It knows nothing of
documents, and makes no sentence of its own: every character comes from the conversation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from szqa.phrases import EMPTY_NOUNS, LINKS, Kind, Phrase, Sentence, read_phrases
from szqa.question import UNITS, Question
from szqa.text import Segmenter

__all__ = ["Turn", "standalone"]

# Longer questions carry their own subject, and a completed one must stay short enough to be asked.
_MAX_FOLLOW_UP_CHARS: Final = 60
_MAX_ENTITY_CHARS: Final = 24

_OPENING: Final = re.compile(r"^(?:那么|那末|那|而|还有|至于|换成|改成|如果是|要是|再问|其中|其中的)[,，、\s]*")
_CLOSING: Final = re.compile(r"[\s?？。!！]+$")
_ELLIPSIS: Final = re.compile(r"(?:的|们)?(?:呢|又?怎么样|又?如何|又?怎样|情况)$")
# 有多少家, 是多少, 达到百分之几: a question that counts, and does not say what.
_BARE_COUNT: Final = re.compile(
    rf"(?:又|一共|总共|共|大概|大约|约)*(?:有|是|为|达到?|占)?(?:了)?(?:百分之)?(?:多少|几)(?:[百千万亿]*(?:{UNITS}))?(?:呢)?$"
)
_POINTING: Final = re.compile(
    r"(?<!其)(?:它们?|他们?|她们?)(?:的(?=[一-鿿]))?|(?<![尤极与])其(?![他它中余实次])"
    r"|(?:这|那|该|此|上述)(?:[个家项条座款种份部次届]|些|几个)?(?=[一-鿿])(?!么|里|儿|边|时|样|年|后|前|外|次|是)|"
    r"(?:这|那)(?:里|儿|边)|当地|(?:这|那)(?=是)"
)
_THERE: Final = re.compile(r"^(?:(?:这|那)(?:里|儿|边)|当地)$")
_SPEAKERS: Final = re.compile(r"[你您我咱]")
_PERSON: Final = re.compile(r"^[他她]")

# A growth or share is of something measured; so is what ends in one of these characters.
_GROWTH: Final = re.compile(r"同比|环比|增长|下降|提高|减少|增加|占(?!地)|增速|增幅|上涨")
_MEASURED: Final = re.compile(r"(?:[率额量值数]|比例|占比|比重|增速|增幅|时间|地点)$")


@dataclass(frozen=True, slots=True)
class Turn:
    """A question that was asked and what was answered.

    Attributes:
        question: as asked, or as understood.
        answer: the answer's text; ``None`` where there was none.
    """

    question: str
    answer: str | None = None


def standalone(question: str, history: Sequence[Turn], *, segmenter: Segmenter) -> str:
    """The question with what it leaves unsaid filled in from the turns before.

    Args:
        question: as asked.
        history: the turns before, oldest first.
        segmenter: finds places and nouns.

    Returns:
        ``question`` itself where it is complete, where there is no history, or where nothing before fits it.
    """
    before: Turn | None = None
    for turn in history:
        before = Turn(_completed(turn.question, before, segmenter), turn.answer)
    return _completed(question, before, segmenter)


def _completed(question: str, before: Turn | None, segmenter: Segmenter) -> str:
    if before is None or not before.question.strip() or len(question) > _MAX_FOLLOW_UP_CHARS:
        return question
    body = _CLOSING.sub("", question.strip())
    previous = read_phrases(_CLOSING.sub("", before.question.strip()), segmenter)
    stripped = _OPENING.sub("", body)
    if not stripped:
        return question
    rest = read_phrases(stripped, segmenter)
    completed = (
        _from_ellipsis(rest, previous, opened=stripped != body, segmenter=segmenter)
        or _from_pointing(body, previous, before.answer, segmenter)
        or _from_missing_subject(rest, previous, before.answer)
    )
    return f"{completed}？" if completed else question


def _from_ellipsis(rest: Sentence, previous: Sentence, *, opened: bool, segmenter: Segmenter) -> str | None:
    """那省级的呢, 2025年呢, 无锡有多少家: the question before with another year, level, place or noun."""
    fragment = _ELLIPSIS.sub("", rest.text)
    said_so = fragment != rest.text or opened
    count = _BARE_COUNT.search(fragment)
    if count and not _asks_alike(rest.asked, previous.asked):
        return None
    if count:
        fragment = fragment[: count.start()]
    modifier = rest.text.removesuffix("呢").endswith("的")
    fragment = fragment.removesuffix("的").removesuffix("是").strip("，,、 ")
    if not fragment:
        return None
    piece = read_phrases(fragment, segmenter)
    if not piece.phrases or piece.asks:
        return None
    if _POINTING.search(fragment) or (not said_so and (piece.has_predicate() or piece.content())):
        return None
    return _substituted(piece, previous, modifier=modifier)


def _asks_alike(asked: Question, previous: Question) -> bool:
    """Whether a bare 多少家 may ask for what the question before asked for."""
    counts = ("count", "percent", "money", "open", "list")
    return previous.kind in counts and (not asked.unit or not previous.unit or asked.unit == previous.unit)


def _substituted(piece: Sentence, previous: Sentence, *, modifier: bool) -> str | None:
    """The question before, each phrase of the fragment in the place of the one it stands for."""
    edits: list[tuple[int, int, str]] = []
    noun = _noun_region(piece, previous)
    for phrase in piece.phrases:
        if not noun or phrase.end <= noun[0] or phrase.start >= noun[1]:
            new = piece.text[phrase.start : phrase.end]
            edits.append((*_place_for(phrase.kind, new, previous), new))
    if noun:
        new = piece.text[noun[0] : noun[1]]
        led_by_place = any(p.kind == "place" and p.start == noun[0] for p in piece.phrases)
        start, end = _place_for_noun(new, previous, led_by_place=led_by_place)
        if start < 0 and _MEASURED.search(new) and not edits:
            return f"{_measured(previous)}{new}是多少"
        if start < 0:
            nearest = _nearest_noun(previous)
            if nearest is None:
                return None
            start, end = previous.starts(nearest)[0], nearest.end
            new += previous.head_of(start, end) if modifier else ""
        edits.append((start, end, new))
    text, taken = previous.text, len(previous.text) + 1
    # From right to left, so that the offsets of the edits to come stay right.
    for start, end, new in sorted(edits, key=lambda edit: (edit[0], edit[1]), reverse=True):
        if start >= 0 and end <= taken:
            text, taken = text[:start] + new + text[end:], start
    return text if text != previous.text else None


def _noun_region(piece: Sentence, previous: Sentence) -> tuple[int, int] | None:
    """Where the fragment names a thing: what is left of it beside dates, levels and the like."""
    whole = [
        phrase
        for phrase in piece.phrases
        if phrase.kind in ("date", "ordinal", "level", "place")
        and (phrase.kind != "place" or _stands_alone(phrase, piece, previous))
    ]
    start = max((phrase.end for phrase in whole), default=0)
    while start < len(piece.text) and piece.text[start] in "的，,、 ":
        start += 1
    return (start, len(piece.text)) if start < len(piece.text) else None


def _stands_alone(place: Phrase, piece: Sentence, previous: Sentence) -> bool:
    """A place in front of a noun belongs to its name, unless the question before has a place to give up."""
    return bool(previous.of_kind("place")) or place.end == len(piece.text) or piece.text[place.end] == "的"


def _place_for(kind: Kind, new: str, previous: Sentence) -> tuple[int, int]:
    """Where a year, ordinal, level or place goes: over its like, or in front of what it qualifies."""
    like = previous.of_kind(kind)
    if kind == "place" and like:
        return _place_for_place(new, like, previous.text)
    if like:
        chosen = max(like, key=lambda phrase: (_alike(previous.text[phrase.start : phrase.end], new), -phrase.start))
        return chosen.start, chosen.end
    if kind == "level":
        nouns = [phrase for phrase in previous.phrases if phrase.kind == "noun" and phrase.end - phrase.start > 1]
        behind = [phrase.start for phrase in nouns if phrase.start >= previous.asked.end]
        before = [phrase.start for phrase in nouns if phrase.end <= previous.asked.start]
        position = behind[0] if behind else before[-1] if before else 0
        return position, position
    dates = previous.of_kind("date")
    position = dates[0].end if kind == "place" and dates and dates[0].start == 0 else 0
    return position, position


def _place_for_place(new: str, like: Sequence[Phrase], text: str) -> tuple[int, int]:
    same_rank = [phrase for phrase in like if text[phrase.end - 1] == new[-1] and new[-1] in "省市区县镇乡"]
    if same_rank:
        return same_rank[-1].start, same_rank[-1].end
    # 苏州市吴江区 is one place: its parts follow each other.
    first = last = like[0]
    for phrase in like[1:]:
        if phrase.start == last.end:
            last = phrase
    return first.start, last.end


def _place_for_noun(new: str, previous: Sentence, *, led_by_place: bool) -> tuple[int, int]:
    """Over the phrase of the question before that is most like the new one; (-1, -1) where none is."""
    best, chosen = 0.0, (-1, -1)
    quoted = new[0] in "“《「"
    for phrase in previous.content():
        if (phrase.kind == "quoted") and quoted:
            return phrase.start, phrase.end
        for start in [phrase.start] if phrase.kind == "quoted" else previous.starts(phrase):
            score = _alike(previous.text[start : phrase.end], new)
            if score > best:
                best, chosen = score, (_widened(start, phrase, previous, led_by_place=led_by_place), phrase.end)
    return chosen


def _widened(start: int, phrase: Phrase, previous: Sentence, *, led_by_place: bool) -> int:
    """A place leads the whole of a name; and a qualifier of one character (拟) goes with the verb behind it."""
    if led_by_place:
        return min(start, phrase.start)
    before = next((token for token in previous.tokens if token.end == start), None)
    qualifies = before is not None and before.end - before.start == 1 and before.tag[:1] in ("v", "d", "b")
    return before.start if before and qualifies and before.text not in LINKS else start


def _nearest_noun(previous: Sentence) -> Phrase | None:
    """The noun phrase beside the question word: behind it (多少家工厂), else the last one before it."""
    asked, content = previous.asked, previous.content()
    behind = [phrase for phrase in content if phrase.start >= asked.end]
    before = [phrase for phrase in content if phrase.end <= asked.start]
    return behind[-1] if behind else before[-1] if before else None


def _alike(old: str, new: str) -> float:
    """How well one phrase can stand for another, 0 where they share no word: [0, 1]."""
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    longest = matcher.find_longest_match()
    if longest.size < 2 and old[-1] != new[-1]:
        return 0.0
    return max(0.0, matcher.ratio() - 0.5 * abs(len(old) - len(new)) / len(new))


def _measured(previous: Sentence) -> str:
    """What the question before counts or measures: 苏州有多少家绿色工厂 → 苏州绿色工厂."""
    asked = previous.asked
    left = re.sub(r"(?:是|有|为|达到?|了|共|一共|约|大约)+$", "", previous.text[: asked.start])
    return left + previous.text[asked.end :]


def _from_pointing(body: str, previous: Sentence, answer: str | None, segmenter: Segmenter) -> str | None:
    """它有多少家, 该平台…, 那里…: what is pointed at, in the pronoun's place."""
    match = _POINTING.search(body)
    if match is None:
        return None
    ahead = read_phrases(body[: match.start()], segmenter)
    if ahead.content() or ahead.has_predicate():
        return None
    pronoun = match.group()
    behind = body[match.end() :]
    if _THERE.match(pronoun):
        topic = _place_pointed_at(previous, answer)
    elif pronoun[0] in "这那该此上" and not behind.startswith("是"):
        return _from_named_pointing(body, match, previous, answer, segmenter)
    else:
        topic = _topic(previous, answer, person=bool(_PERSON.match(pronoun)))
    if not topic:
        return None
    rest = read_phrases(behind, segmenter)
    if _BARE_COUNT.fullmatch(behind) and not rest.content() and not body[: match.start()]:
        return _recounted(behind, previous) or topic + behind
    joint = "的" if pronoun.endswith("的") or (pronoun == "其" and behind and not _verb_first(rest)) else ""
    return body[: match.start()] + topic + joint + behind


def _verb_first(rest: Sentence) -> bool:
    return bool(rest.tokens) and rest.tokens[0].tag[:1] in ("v", "d", "p")


def _from_named_pointing(
    body: str, match: re.Match[str], previous: Sentence, answer: str | None, segmenter: Segmenter
) -> str | None:
    """该平台, 这些企业: the phrase before that is called so, or the topic with that name behind it."""
    behind = read_phrases(body[match.end() :], segmenter)
    name = next((p for p in behind.phrases if p.start == 0 and p.kind == "noun"), None)
    if name is None:
        return None
    noun = behind.text[: name.end]
    known = [previous.text[p.start : p.end] for p in previous.phrases if p.kind in ("noun", "quoted")]
    asked_for = _is_entity(answer) and (previous.asked.head == noun or (answer or "").endswith(noun))
    named = [phrase for phrase in known if phrase.endswith(noun) and phrase != noun]
    topic = answer if asked_for else next(iter(named), None)
    if topic is None and "些" not in match.group():
        found = _topic(previous, answer, person=False)
        topic = found + noun if found and not found.endswith(noun) else found
    return body[: match.start()] + topic + behind.text[name.end :] if topic else None


def _recounted(count: str, previous: Sentence) -> str | None:
    """苏州有哪些绿色工厂 + 有多少家 → 苏州有多少家绿色工厂."""
    asked = previous.asked
    if asked.kind not in ("list", "thing") or not previous.text[asked.end :]:
        return None
    left = previous.text[: asked.start].removesuffix("有")
    word = previous.text[asked.start : asked.end]
    noun = re.search(r"(?:哪些|什么|哪[几个家])", word)
    return f"{left}{count.removesuffix('呢')}{previous.text[asked.end :]}" if noun else None


def _from_missing_subject(rest: Sentence, previous: Sentence, answer: str | None) -> str | None:
    """是什么时候发布的, 增长了多少: a question without a noun is about what the one before was about."""
    asked = rest.asked
    if not rest.asks:
        return None
    named = [p for p in rest.phrases if p.end <= asked.start or p.start >= asked.end]
    outside = [p for p in named if rest.text[p.start : p.end] not in EMPTY_NOUNS]
    if outside or len(rest.text) < 3 or _SPEAKERS.search(rest.text) or _POINTING.search(rest.text):
        return None
    if asked.kind == "reason" and len(rest.text.removesuffix("呢")) == asked.end - asked.start:
        return None
    if _BARE_COUNT.fullmatch(rest.text) and (recounted := _recounted(rest.text, previous)):
        return recounted
    if _GROWTH.search(rest.text) and previous.asked.kind in ("count", "percent", "money"):
        return _measured(previous) + rest.text.removesuffix("呢")
    topic = _topic(previous, answer, person=False)
    return topic + rest.text.removesuffix("呢") if topic else None


def _is_entity(answer: str | None) -> bool:
    return bool(answer) and len(answer or "") <= _MAX_ENTITY_CHARS and not re.search(r"[，。；,;]", answer or "")


def _topic(previous: Sentence, answer: str | None, *, person: bool) -> str | None:
    """What the question before was about: its subject, or its answer where it asked for one (X 是谁, 哪个区…)."""
    asked = previous.asked
    left = [phrase for phrase in previous.runs() if phrase.end <= asked.start]
    right = [phrase for phrase in previous.runs() if phrase.start >= asked.end]
    names = asked.kind in ("person", "place", "organisation", "title", "thing")
    identified = asked.kind in ("place", "organisation", "title") and not asked.right and asked.left.endswith("是")
    if _is_entity(answer) and ((names and (not left or identified)) or (person and asked.kind == "person")):
        return answer
    if person:
        return None
    chosen = left[0] if left else right[-1] if right else None
    topic = previous.text[chosen.start : chosen.end] if chosen else None
    # 它 after 《红楼梦》的作者是谁 is the book, not its author.
    return topic.rpartition("的")[0] or topic if topic and asked.kind == "person" else topic


def _place_pointed_at(previous: Sentence, answer: str | None) -> str | None:
    if previous.asked.kind == "place" and _is_entity(answer):
        return answer
    places = previous.of_kind("place")
    return previous.text[places[-1].start : places[-1].end] if places else None
