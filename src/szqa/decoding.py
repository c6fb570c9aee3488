"""Bytes of unknown encoding → text.

Decoding is strict throughout: a text comes out whole or not at all. It knows nothing of files and formats.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

__all__ = ["UndecodableError", "decode"]

# Longest first: UTF-32's little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = (
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "ZIP (.docx/.xlsx/.zip)"),
    (b"\xd0\xcf\x11\xe0", "旧版 Office (.doc/.xls)"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"\x1f\x8b", "gzip"),
    (b"7z\xbc\xaf", "7z"),
    (b"Rar!", "RAR"),
    (b"SQLite format 3", "SQLite"),
    (b"{\\rtf", "RTF"),
)
# What declarations and detectors call a subset of these is widened to them: a "GB2312" page with one rare
# character is GB18030.
_WIDENED = {
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "cp936": "gb18030",
    "hz": "gb18030",
    "big5": "cp950",
    "ascii": "utf-8",
}
_CHINESE = ("gb18030", "cp950", "big5hkscs", "utf-16-le", "utf-16-be")
# About 300 of the commonest characters of modern Chinese in both scripts, and its punctuation: they are more than
# half of any Chinese text, and some 4 % of what one gets by reading it in a wrong encoding.
_FREQUENT = re.compile(
    "["
    "，。、：；？！“”‘’（）《》「」　的一是在不了有和人这中大为上个国我以要他时来用们生到作地于出就分"
    "对成会可主发年动同工也能下过子说产种面而方后多定行学法所民得经十三之进着等部度家电力里如水化高自二理"
    "起小物现实加量都两体制机当使点从业本去把性好应开它合还因由其些然前外天政四日那社义事平形相全表间样与"
    "关各重新线内数正心明看原又么利比或但质气第向道此变条只没结解问意建月公无系军很情者最立代想已通并提直"
    "题党程展五果料员位入常文总次品式活设及管特件长求老头基资边流路级少图山统接知较将组见计别手期根论运农"
    "指几九区强放西被做必先回则任取据处南给光门即保治北造百规领七海口东导器世金增争济思术交受联认六共权收"
    "证改清美再更单打教速带安场身车例真务具万每目至达這爲為個國時來們於對會發動過說產種後學經進電裏裡現實"
    "兩體機當點從業應開還義間樣與關線內數麼質氣變條沒結問無軍並題黨員總設長頭資邊級圖統較將組見計別論運農"
    "幾區強則據處給門規領東導爭濟術聯認權證單帶場車務萬達"
    "]"
)
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f\ue000-\uf8ff\ufffd]")
_SAMPLE_CHARS = 100_000
_LEAST_SHARE = 0.15
_MOST_DAMAGE = 0.01


class UndecodableError(ValueError):
    """Bytes that are no text in a known encoding; the message says what was found, in Chinese and English."""


def decode(content: bytes, *, declared: str | None = None) -> str:
    """Decode a text, trying the surest sign of its encoding first.

    In this order: a byte order mark; UTF-8; of the encoding declared, GB18030, Big5 and UTF-16 without a mark the
    one that gives the largest share of frequent Chinese characters; what charset-normalizer thinks best.

    Args:
        content: the bytes.
        declared: what the text says of itself (an HTML page's charset).

    Raises:
        UndecodableError: it is binary, damaged, or in an encoding that was not recognised.
    """
    for signature, name in _SIGNATURES:
        if content.startswith(signature):
            raise UndecodableError(f"内容其实是 {name} (the content is {name})")
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decode_marked(content, encoding)
    if b"\x00" not in content and (text := _try(content, "utf-8")) is not None:
        return text
    scored = [(_share(text), -order, text) for order, text in enumerate(_candidates(content, declared))]
    if scored and (best := max(scored))[0] >= _LEAST_SHARE:
        return best[2]
    return _guess(content, declared)


def _decode_marked(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UndecodableError(
            f"开头标明是 {encoding}，但第 {error.start} 字节损坏 (marked as {encoding}, damaged at byte {error.start})"
        ) from error


def _try(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except (UnicodeError, LookupError):  # LookupError: a page may declare anything
        return None


def _try_printable(content: bytes, encoding: str) -> str | None:
    text = _try(content, encoding)
    return None if text is None or _CONTROL.search(text[:_SAMPLE_CHARS]) else text


def _widened(encoding: str) -> str:
    return _WIDENED.get(encoding.lower().replace("_", "-"), encoding)


def _candidates(content: bytes, declared: str | None) -> Iterator[str]:
    names = [_widened(declared)] if declared else []
    for name in dict.fromkeys([*names, *_CHINESE]):
        if name.startswith("utf-16") and len(content) % 2:
            continue
        text = _try_printable(content, name)
        if text is not None:
            yield text


def _share(text: str) -> float:
    """Share of frequent Chinese characters among those beyond ASCII, [0, 1]; 1 where there are only ASCII ones."""
    beyond = re.sub(r"[\x00-\x7f]+", "", text[:_SAMPLE_CHARS])
    return len(_FREQUENT.findall(beyond)) / len(beyond) if beyond else 1.0


def _guess(content: bytes, declared: str | None) -> str:
    """Decode what does not look Chinese in any of the usual encodings."""
    from charset_normalizer import from_bytes

    loose = content.decode("utf-8", errors="replace")
    damage = loose.count("\ufffd")
    if 0 < damage <= max(1, _MOST_DAMAGE * len(loose)) and len(_FREQUENT.findall(loose)) > damage:
        place = len(loose[: loose.index("\ufffd")].encode())
        raise UndecodableError(f"像是 UTF-8，但第 {place} 字节损坏 (looks like UTF-8, damaged at byte {place})")
    match = from_bytes(content).best()
    for encoding in (declared, match.encoding if match else None):
        if encoding and (text := _try_printable(content, _widened(encoding))) is not None:
            return text
    kind = "二进制内容 (binary content)" if b"\x00" in content else "无法识别的编码 (an unknown encoding)"
    raise UndecodableError(kind)
