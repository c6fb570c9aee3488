"""Plain text with the scars of its layout → its paragraphs, whole, each known for what it is.

Joins lines that were broken at a fixed width and paragraphs that were cut by a page break, and tells headings,
captions of pictures and notes from prose by their form and by the blank lines around them. It knows nothing of
files, encodings, marked-up formats or what a text is about.

A doubtful case stays as it is written: a paragraph left in two halves at the end of a sentence costs nothing, two
paragraphs glued together cost an answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter

from szqa.datatypes import BlockKind

__all__ = ["Part", "clean", "join_lines", "repair"]

_NUMERAL = "[一二三四五六七八九十百零〇两0-9]"
# Forms of numbered headings, outermost first; the width of a document's levels is what of these it uses.
_NUMBERED = tuple(
    re.compile(pattern)
    for pattern in (
        rf"第{_NUMERAL}+[编篇卷部]",
        rf"第{_NUMERAL}+章",
        rf"第{_NUMERAL}+节",
        r"[一二三四五六七八九十百]+[、．.]",
        r"[（(][一二三四五六七八九十百]+[）)]",
        r"\d{1,2}(?:[、．）)]|\.(?!\d)|[ \u3000])",
        r"\d{1,2}\.\d{1,2}(?:[、．）)]|\.(?!\d)|[ \u3000])",
        r"\d{1,2}\.\d{1,2}\.\d{1,2}(?:[、．）)]|\.(?!\d)|[ \u3000])",
        r"[（(]\d{1,2}[）)]",
    )
)
_CHAPTERS = 3  # the first forms are never those of a list
_BULLET = re.compile(rf"[-*+•·●○■□◆◇▪►‣–—]\s|[•●○■□◆◇▪►‣]|第{_NUMERAL}+条|[①-⑳]")
_NOTE = re.compile(
    r"(?:(?:数据|资料|信息|图片|文章|稿件)?来源|注|注释|备注|脚注|附注|作者|作者单位|撰文|责任编辑|责编|编辑|供稿|Source|Notes?)\s*[：:]"
    r"|[（(](?:作者|责任编辑|责编|编辑|来源|注)[：:单系为]|[※*]\S|\[\d+\]"
)
_PICTURE = re.compile(
    r"(?:图|表|附图|附表|照片|Figure|Fig\.|Table)\s*[0-9一二三四五六七八九十]+(?:[-.]\d+)?[\s：:.．、]|[▲△▼▽◀▶]|图为"
    r"|.*(?:[\s（(]|记者|通讯员)[^\s（(，。]{0,12}(?:摄影|供图|摄)[）)]?$"
)
_SCENE = re.compile(
    r"位于|航拍|俯瞰|正在|.*(?:生产线|流水线|车间|现场|风光|风景|全景|夜景|外景|街景|美景|实景|景观|景色|一角|一隅|一景|照片|效果图"
    r"|示意图|大楼|园区|展厅|展台|剪影|资料图)$"
)
_FINISHED = re.compile(
    r"[。！？!?…][”’」』）)】》\"']*(?:[（(\[【][^（(\[【]*[）)\]】])?$|[A-Za-z0-9)%]\.[”’\"')]*$"  # …。（某部门负责）
)
_SENTENCE_END_INSIDE = re.compile(r"[。！？；]|[a-z]\. [A-Z]")
_PROSE_MARK = re.compile(r"[。！？；，]|[a-z][,.](?: |$)")
_OPEN_END = "，、（(“‘《「—,"
_CLOSED_END = "：；:;"  # of what a list follows, or of an item of one
_LAST_CHARS = 80
_KEY_VALUE = re.compile(r"[^：:]{1,10}[：:].*[\d@]|[^\t|]*[\t|]")
# Marks of writing direction are among them: they make a text look like another one.
_CONTROL = re.compile(
    r"[\x00-\x08\x0b\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\u061c\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]"
)
_LINE_END = re.compile(r"\r\n|[\r\x85\u2028\u2029]")
_BREAK = re.compile(r"\s+")
_FIRST_WORD = re.compile(r"[A-Za-z0-9.,%'-]+|.[，。、；：！？”）》]*")
_NARROW = re.compile(r"[\x00-\u10ff]+")
_PAGE_NUMBER = re.compile(r"[-—–·\s]*(?:第\s*)?\d{1,4}(?:\s*页)?(?:\s*[/共]+\s*\d{1,4}\s*页?)?[-—–·\s]*")
_HEADING_CHARS = 40
_SHARE_OF_FULL_LINES = 0.6
_SHARE_OF_CUTS = 0.3
_SHARE_OF_UNFINISHED_LINES = 0.2
_SHARE_OF_WIDER_LINES = 0.03
_WRAP_WIDTHS = (28, 170)
_SLACK = 2  # an indentation that was stripped, a half-width mark
_CAPTION_SCORE = 3


@dataclass(frozen=True, slots=True)
class Part:
    """A paragraph of a source and the part it plays.

    Attributes:
        kind: as in ``Block``.
        text: the paragraph, without surrounding white space.
        level: depth of a heading from 1, otherwise 0.
        tight: it stands on the line below the part before it, without a blank line (items of a list, rows).
    """

    kind: BlockKind
    text: str
    level: int = 0
    tight: bool = False


@dataclass(slots=True)
class _Paragraph:
    text: str
    gap: int  # blank lines above
    indented: bool
    after_page: bool = False  # a page ended above
    form: int | None = None  # index into _NUMBERED
    kind: BlockKind | None = None
    level: int = 0

    @property
    def bare(self) -> bool:
        """Short, without the marks of a sentence: a heading, a caption, an item."""
        return (
            len(self.text) <= _HEADING_CHARS
            and not _SENTENCE_END_INSIDE.search(self.text)
            and self.text[-1] not in "，、：；,:;.。！？!?…"
            and self.text.count("，") <= 1
            and not _BULLET.match(self.text)
            and not (self.form is None and _KEY_VALUE.match(self.text))
        )


def clean(text: str) -> str:
    """Unicode NFC, line feeds as the only line ends, no other control characters than tabs and form feeds."""
    return unicodedata.normalize("NFC", _CONTROL.sub("", _LINE_END.sub("\n", text)))


def join_lines(lines: Iterable[str]) -> str:
    """Put the lines of one paragraph together: Latin words with a space, Chinese with nothing between."""
    joined: list[str] = []
    for line in filter(None, (line.strip() for line in lines)):
        if joined and _needs_space(joined[-1][-1], line[0]):
            joined.append(" ")
        joined.append(line)
    return "".join(joined)


def repair(text: str, *, title: str = "") -> list[Part]:
    """Find the paragraphs of a plain text.

    Args:
        text: a cleaned text; form feeds are page breaks.
        title: the document's title; the line that repeats it is its level 1 heading.
    """
    paragraphs = _mend_cuts(_unwrap(_split_lines(_join_pages(text))))
    title = _BREAK.sub("", title)
    _find_headings(paragraphs, title)
    _find_captions(paragraphs)
    paragraphs = _mend_around_captions(paragraphs)
    _set_levels(paragraphs, title)
    return [
        Part(p.kind or "prose", p.text, p.level, tight=index > 0 and p.gap == 0) for index, p in enumerate(paragraphs)
    ]


def _needs_space(last: str, first: str) -> bool:
    if last.isdigit() and first.isdigit():
        return False  # 20|24年
    return (
        last.isascii()
        and first.isascii()
        and (last.isalnum() or last in ",.;:!?)")
        and (first.isalnum() or first in "(")
    )


def _join_pages(text: str) -> str:
    """Pages without their numbers and, after the first, without running titles, a blank line between them."""
    if "\f" not in text:
        return text
    pages = [page.strip("\n").split("\n") for page in text.split("\f")]
    edges = Counter(line for page in pages for line in {page[0].strip(), page[-1].strip()})
    running = {line for line, count in edges.items() if count >= 3 and count > len(pages) / 2}
    for number, page in enumerate(pages):
        for edge in (0, -1):
            while page and ((number and page[edge].strip() in running) or _PAGE_NUMBER.fullmatch(page[edge])):
                page.pop(edge)
    return "\n\f\n".join("\n".join(page) for page in pages if page)


def _split_lines(text: str) -> list[_Paragraph]:
    lines, gap, page = [], 0, False
    for raw in text.split("\n"):
        stripped = raw.strip()
        if not stripped:
            gap += 1
            page = page or raw == "\f"
            continue
        form = next((form for form, pattern in enumerate(_NUMBERED) if pattern.match(stripped)), None)
        lines.append(_Paragraph(stripped, gap, raw.startswith(("\u3000", "  ", "\t")), page, form))
        gap, page = 0, False
    if all(line.indented for line in lines):  # a margin
        for line in lines:
            line.indented = False
    return lines


def _unwrap(lines: list[_Paragraph]) -> list[_Paragraph]:
    """Join the lines of a text whose every line was broken at the same width, in columns or in characters."""
    share, width, measure = max(
        ((*_wrap_width(lines, measure), measure) for measure in (_columns, len)), key=itemgetter(0)
    )
    if share < _SHARE_OF_FULL_LINES:
        return lines
    paragraphs: list[list[_Paragraph]] = []
    for line in lines:
        above = paragraphs[-1][-1] if paragraphs else None
        if above and _may_be_wrapped(above, line) and _room(above, line, width, measure) <= _SLACK:
            paragraphs[-1].append(line)
        else:
            paragraphs.append([line])
    return [_merge(group) for group in paragraphs]


def _wrap_width(lines: Sequence[_Paragraph], measure: Callable[[str], int]) -> tuple[float, int]:
    """Width at which the text seems wrapped, behind the share of its broken lines that fill it, 0 if it is not."""
    pairs = [(above, below) for above, below in pairwise(lines) if _may_be_wrapped(above, below)]
    if len(pairs) < max(2, _SHARE_OF_UNFINISHED_LINES * len(lines)):
        return 0.0, 0
    widths = sorted(measure(above.text) for above, _ in pairs)
    width = widths[int(0.9 * (len(widths) - 1))]
    low, high = _WRAP_WIDTHS
    full = sum(_room(above, below, width, measure) <= _SLACK for above, below in pairs)
    wider = sum(measure(line.text) > width + _SLACK for line in lines)
    possible = low <= width <= high and full >= 2 and wider <= _SHARE_OF_WIDER_LINES * len(lines)
    return (full / len(pairs) if possible else 0.0), width


def _columns(text: str) -> int:
    """Width on a terminal: Chinese characters take two columns."""
    return len(text) + len(_NARROW.sub("", text))


def _may_be_wrapped(above: _Paragraph, below: _Paragraph) -> bool:
    return below.gap == 0 and not _finished(above.text) and _may_continue(below)


def _room(above: _Paragraph, below: _Paragraph, width: int, measure: Callable[[str], int]) -> int:
    """Room left in a line had the next one's first word been put there, negative where it had not fitted."""
    word = _FIRST_WORD.match(below.text)
    return width - measure(above.text) - (measure(word.group()) if word else 0)


def _may_continue(line: _Paragraph) -> bool:
    return not line.indented and line.form is None and not _BULLET.match(line.text) and not _NOTE.match(line.text)


def _mend_cuts(paragraphs: Sequence[_Paragraph]) -> list[_Paragraph]:
    """Join each paragraph that breaks off in the middle of a sentence with the one that goes on."""
    prose = [p.text for p in paragraphs if len(p.text) > _HEADING_CHARS and _PROSE_MARK.search(p.text)]
    unfinished = sum(not _finished(text) and text[-1] not in _CLOSED_END for text in prose)
    # Where many ends are without a full stop the writer leaves it out, and a missing one proves nothing.
    careless = unfinished > max(2, _SHARE_OF_CUTS * len(prose))
    groups: list[list[_Paragraph]] = []
    for paragraph in paragraphs:
        strict = careless and not paragraph.after_page
        if groups and _continues(groups[-1][-1].text, paragraph, strict=strict, mended=len(groups[-1]) > 1):
            groups[-1].append(paragraph)
        else:
            groups.append([paragraph])
    return [_merge(group) for group in groups]


def _merge(group: Sequence[_Paragraph]) -> _Paragraph:
    if len(group) > 1:
        group[0].text = join_lines(paragraph.text for paragraph in group)
    return group[0]


def _continues(above: str, below: _Paragraph, *, strict: bool = False, mended: bool = False) -> bool:
    """Whether ``above`` breaks off in the middle of a sentence that ``below`` goes on with.

    Args:
        above: the text above.
        below: the paragraph below.
        strict: a missing full stop is no sign.
        mended: ``above`` is itself such a continuation.
    """
    if not _may_continue(below) or not _PROSE_MARK.search(below.text):
        return False
    if _finished(above) or above[-1] in _CLOSED_END or _NOTE.match(above) or _is_picture(above):
        return False
    if above[-1] in _OPEN_END or mended:
        return True
    if strict:
        return False
    unbalanced = any(above.count(opening) > above.count(closing) for opening, closing in ("（）", "“”", "《》"))
    return unbalanced or len(above) > 2 * _HEADING_CHARS or bool(_SENTENCE_END_INSIDE.search(above))


def _is_picture(text: str) -> bool:
    return len(text) <= 2 * _HEADING_CHARS and bool(_PICTURE.match(text))


def _finished(text: str) -> bool:
    return bool(_FINISHED.search(text[-_LAST_CHARS:]))


def _find_headings(paragraphs: Sequence[_Paragraph], title: str) -> None:
    for paragraph in paragraphs:
        if _NOTE.match(paragraph.text) and len(paragraph.text) <= 5 * _HEADING_CHARS:
            paragraph.kind = "note"
        elif paragraph.bare:
            paragraph.kind = "heading"
    if all(p.kind == "heading" and p.form is None for p in paragraphs):  # a list, a poem: nothing to be head of
        for paragraph in paragraphs:
            paragraph.kind = "heading" if _BREAK.sub("", paragraph.text) == title else None
        return
    for start, end in _runs(paragraphs):
        run = paragraphs[start:end]
        if run[0].form is None and start > 0 and len(run) >= 3 and all(p.gap == 0 for p in run[1:]):
            items = list(run)
        else:
            items = [
                p
                for above, below in pairwise(run)
                for p in (above, below)
                if above.form is not None and above.form == below.form and above.form >= _CHAPTERS
            ]
        for paragraph in items:
            paragraph.kind = None


def _runs(paragraphs: Sequence[_Paragraph]) -> list[tuple[int, int]]:
    """Intervals of neighbouring headings."""
    runs: list[tuple[int, int]] = []
    for index, paragraph in enumerate(paragraphs):
        if paragraph.kind != "heading":
            continue
        if runs and runs[-1][1] == index:
            runs[-1] = (runs[-1][0], index + 1)
        else:
            runs.append((index, index + 1))
    return runs


def _find_captions(paragraphs: Sequence[_Paragraph]) -> None:
    """Take the captions out of what looks like headings, and what stands alone behind the last prose."""
    gaps = Counter(p.gap for p in paragraphs[1:] if p.gap)
    usual = gaps.most_common(1)[0][0] if gaps else 1
    prose = [index for index, paragraph in enumerate(paragraphs) if paragraph.kind is None]
    first, last = (prose[0], prose[-1]) if prose else (len(paragraphs), len(paragraphs))
    spaced = any(_BREAK.search(p.text) for p in paragraphs if p.kind == "heading")
    for index, paragraph in enumerate(paragraphs):
        if paragraph.kind == "note":
            continue
        if _is_picture(paragraph.text):
            paragraph.kind = "caption"
        elif paragraph.kind == "heading" and paragraph.form is None and index > first:
            above, below = paragraphs[index - 1], paragraphs[index + 1] if index + 1 < len(paragraphs) else None
            score = (
                2 * bool(_SCENE.match(paragraph.text))
                + 2 * (below is not None and above.kind is None and _continues(above.text, below))
                + (paragraph.gap >= usual + 2)
                + (below is None or below.kind is not None)
                - 2 * (spaced and bool(_BREAK.search(paragraph.text)))  # a heading in two halves, like others here
            )
            paragraph.kind = "caption" if score >= _CAPTION_SCORE else "note" if index > last else "heading"


def _mend_around_captions(paragraphs: Sequence[_Paragraph]) -> list[_Paragraph]:
    """Join the halves of a paragraph around a picture, whose caption then follows it."""
    kept: list[_Paragraph] = []
    above: _Paragraph | None = None
    for paragraph in paragraphs:
        parted = above is not None and kept[-1] is not above and above.kind is None and paragraph.kind is None
        if above is not None and parted and _continues(above.text, paragraph):
            _merge([above, paragraph])
            continue
        kept.append(paragraph)
        if paragraph.kind != "caption":
            above = paragraph
    return kept


def _set_levels(paragraphs: Sequence[_Paragraph], title: str) -> None:
    """Level 1 for the title and what stands above it; below it the forms of heading in the order of their rank."""
    headings = [p for p in paragraphs if p.kind == "heading"]
    leading = next((i for i, p in enumerate(paragraphs) if p.kind != "heading" or p.form is not None), len(paragraphs))
    titles = [i for i in range(leading) if _BREAK.sub("", paragraphs[i].text) == title]
    top = titles[0] + 1 if titles else leading
    ranks = [-2] * top + _ranks([p.form for p in headings[top:]])
    order = sorted(set(ranks))
    for paragraph, rank in zip(headings, ranks, strict=True):
        paragraph.level = 1 + order.index(rank)


def _ranks(forms: Sequence[int | None]) -> list[int]:
    """Rank of each heading by its form; one without a number ranks by where it stands among the numbered ones."""
    numbered = [index for index, form in enumerate(forms) if form is not None]
    plain = [index for index, form in enumerate(forms) if form is None]
    if not numbered or not plain or plain[0] > numbered[0]:
        of_plain = len(_NUMBERED)
    elif plain[-1] > numbered[0]:  # numbered afresh below each
        of_plain = -1
    else:  # a preface
        of_plain = min(form for form in forms if form is not None)
    return [of_plain if form is None else form for form in forms]
