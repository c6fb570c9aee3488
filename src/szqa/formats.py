"""One file of a known format → its own title and its paragraphs.

Marked-up formats say themselves what is a heading; plain text and PDF do not, and go through ``layout``. This module
knows nothing of folders, documents or the errors that users see: what is wrong with a file it says as
``UnreadableError``.
"""

from __future__ import annotations

import logging
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from szqa.datatypes import BlockKind
from szqa.decoding import UndecodableError, decode
from szqa.errors import MissingExtraError
from szqa.layout import Part, clean, join_lines, repair

if TYPE_CHECKING:
    from bs4 import Tag
    from bs4.element import PageElement
    from docx.document import Document as WordDocument
    from markdown_it.token import Token
    from pypdf import PdfReader

__all__ = [
    "Content",
    "Limits",
    "Loader",
    "UnreadableError",
    "load_docx",
    "load_html",
    "load_markdown",
    "load_pdf",
    "load_text",
]

_CELL_SEPARATOR = " | "
_DROPPED_TAGS = frozenset(
    ("button", "iframe", "nav", "noscript", "script", "select", "style", "svg", "template", "title")
)
_HEADING_TAGS = frozenset(("h1", "h2", "h3", "h4", "h5", "h6"))
_BLOCK_TAGS = _HEADING_TAGS.union(
    ("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl"),
    ("dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "li", "main", "ol"),
    ("p", "pre", "section", "summary", "table", "tbody", "tfoot", "thead", "tr", "ul"),
)
# What stands inside one of these belongs to it, whatever it is.
_WHOLE_TAGS = _HEADING_TAGS.union(("caption", "figcaption", "pre", "tr"))
_TIGHT_TAGS = frozenset(("li", "dd", "dt"))
_CELL_TAGS = frozenset(("td", "th"))
# A table that holds these lays out a page; its rows are no rows.
_LAYOUT_TAGS = ["table", "div", "ul", "ol", "section", "article", *sorted(_HEADING_TAGS)]
_CHARSET = re.compile(
    rb"""(?:<meta[^>]{0,200}?charset|<\?xml[^>]{0,100}?encoding)\s*=\s*["']?\s*([\w-]+)""", re.IGNORECASE
)
_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title[ \t]*:[ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)
# CommonMark takes a footnote for the target of a link, and drops it.
_FOOTNOTE = re.compile(r"^( {0,3})\[\^", re.MULTILINE)
# What programs write where nobody gave a title.
_EMPTY_TITLE = re.compile(
    r"(?:untitled|无标题|未命名|word document|document\d*|文档\d*|microsoft word.*|.*\.\w{2,5})?", re.IGNORECASE
)
_OLD_OFFICE = b"\xd0\xcf\x11\xe0"
_FILES_EXTRA = "files"
# pypdf and python-docx walk what a file claims to be its structure and trip over it in all these ways.
_STUMBLES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    RuntimeError,
    SyntaxError,  # lxml's XMLSyntaxError
    TypeError,
    ValueError,
    lzma.LZMAError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
_DETAIL_CHARS = 200


class UnreadableError(Exception):
    """What is wrong with a file and what to do, in Chinese and English."""


@dataclass(frozen=True, slots=True)
class Content:
    """What a file holds.

    Attributes:
        title: the title the document gives itself, empty where it gives none.
        parts: its paragraphs in order.
    """

    title: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may take; beyond it, it is refused by name.

    Attributes:
        file_bytes: its size.
        expanded_bytes: size of what a .docx file unpacks to.
        pages: of a .pdf file.
        characters: of its text.
        seconds: to read it.
        memory_bytes: address space of the process that reads it.
    """

    file_bytes: int = 64 << 20
    expanded_bytes: int = 256 << 20
    pages: int = 5_000
    characters: int = 5_000_000
    seconds: float = 120.0
    memory_bytes: int = 2 << 30


class Loader(Protocol):
    """Reads a file of one format."""

    __module__: str
    __qualname__: str

    def __call__(self, path: Path, limits: Limits, /) -> Content:
        """What the file holds; raises ``UnreadableError``, ``MissingExtraError`` or ``OSError``."""


def load_text(path: Path, limits: Limits) -> Content:
    """Plain text in any of the usual encodings."""
    return Content("", tuple(repair(clean(_decode(path.read_bytes())), title=path.stem)))


def load_markdown(path: Path, limits: Limits) -> Content:
    """Markdown (CommonMark with tables), with or without a YAML front matter."""
    from markdown_it import MarkdownIt

    text = clean(_decode(path.read_bytes()))
    front = _FRONT_MATTER.match(text)
    named = _FRONT_TITLE.search(front.group(1)) if front else None
    body = _FOOTNOTE.sub(r"\1\[^", text[front.end() :] if front else text)
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    parts = _filled(_markdown_parts(tokens))
    own = next((part.text for part in parts if part.kind == "heading" and part.level == 1), "")
    return Content(own or (named.group(1) if named else ""), parts)


def load_html(path: Path, limits: Limits) -> Content:
    """HTML; scripts, styles and navigation are dropped."""
    content = path.read_bytes()
    declared = _CHARSET.search(content[:4096])
    return _parse_html(clean(_decode(content, declared=declared.group(1).decode("ascii") if declared else None)))


def load_pdf(path: Path, limits: Limits) -> Content:
    """The text layer of a PDF file (extra ``files``)."""
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, FileNotDecryptedError, PyPdfError
    except ImportError as error:
        raise MissingExtraError(_FILES_EXTRA, "读取 .pdf (to read .pdf)") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what matters comes as an exception
    try:
        reader = PdfReader(path)
        if reader.is_encrypted and not reader.decrypt(""):
            raise UnreadableError("PDF 已加密，请去掉密码后再放入 (encrypted PDF: remove its password)")
        if len(reader.pages) > limits.pages:
            raise UnreadableError(
                f"PDF 有 {len(reader.pages)} 页，上限 {limits.pages} 页，请拆分 (too many pages: split it)"
            )
        text = "\f".join(_page_texts(reader, limits))
        title = _pdf_title(reader)
    except (DependencyError, FileNotDecryptedError) as error:
        raise UnreadableError("PDF 已加密，请去掉密码后再放入 (encrypted PDF: remove its password)") from error
    except (PyPdfError, *_STUMBLES) as error:
        raise UnreadableError(f"PDF 已损坏，请重新导出 (damaged PDF, export it again): {_detail(error)}") from error
    if not text.strip():
        raise UnreadableError("PDF 没有文字层，可能是扫描件，请先做文字识别 (no text in it: a scan? run OCR)")
    return Content(title, tuple(repair(clean(text), title=title or path.stem)))


def load_docx(path: Path, limits: Limits) -> Content:
    """A Word document (extra ``files``)."""
    try:
        import docx
        from docx.opc.exceptions import OpcError
    except ImportError as error:
        raise MissingExtraError(_FILES_EXTRA, "读取 .docx (to read .docx)") from error
    with path.open("rb") as stream:
        if stream.read(4) == _OLD_OFFICE:
            raise UnreadableError(
                "是加密的或旧版 .doc 的 Word 文件，请去掉密码、另存为 .docx (encrypted or old .doc: save as .docx)"
            )
    try:
        _check_expanded(path, limits)
        document = docx.Document(str(path))
        parts = _filled(_docx_parts(document))
        metadata = document.core_properties.title
    except (OpcError, *_STUMBLES) as error:
        raise UnreadableError(f"DOCX 已损坏，请重新另存 (damaged DOCX, save it again): {_detail(error)}") from error
    title = next((part.text for part in parts if part.kind == "heading" and part.level == 1), "")
    title = title or _sensible_title(metadata)
    if any(part.kind == "heading" for part in parts):
        return Content(title, parts)
    lines = "\n\n".join(part.text for part in parts)  # headings made by hand, in bold
    return Content(title, tuple(repair(clean(lines), title=title or path.stem)))


def _check_expanded(path: Path, limits: Limits) -> None:
    """Look what a ZIP archive says of itself; ``zipfile`` unpacks no more of a file than was said."""
    with zipfile.ZipFile(path) as archive:
        expanded = sum(member.file_size for member in archive.infolist())
    if expanded > limits.expanded_bytes:
        raise UnreadableError(
            f"解压后有 {expanded >> 20} MiB，上限 {limits.expanded_bytes >> 20} MiB，可能是压缩炸弹，请移走或拆分 "
            f"(unpacks to {expanded >> 20} MiB: a bomb? remove or split it)"
        )


def _page_texts(reader: PdfReader, limits: Limits) -> Iterator[str]:
    left = limits.characters
    for page in reader.pages:
        text = page.extract_text()
        left -= len(text)
        yield text
        if left < 0:  # the text is refused for its length; no need to read on
            return


def _detail(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) <= _DETAIL_CHARS else text[:_DETAIL_CHARS] + "…"


def _decode(content: bytes, *, declared: str | None = None) -> str:
    try:
        return decode(content, declared=declared)
    except UndecodableError as error:
        raise UnreadableError(f"{error}；请另存为 UTF-8 文本 (save it as UTF-8 text)") from error


def _filled(parts: Iterator[Part]) -> tuple[Part, ...]:
    return tuple(part for part in parts if part.text)


def _sensible_title(metadata: str | None) -> str:
    title = clean(metadata or "").strip()
    return "" if _EMPTY_TITLE.fullmatch(title) else title


def _pdf_title(reader: PdfReader) -> str:
    return _sensible_title(reader.metadata.title if reader.metadata else None)


def _markdown_parts(tokens: Sequence[Token]) -> Iterator[Part]:
    level, lists = 0, 0
    cells: list[str] = []
    begins_list = False
    for token in tokens:
        if token.type == "heading_open":
            level = int(token.tag[1:])
        elif token.type == "heading_close":
            level = 0
        elif token.type.endswith("_list_open"):
            lists, begins_list = lists + 1, lists == 0
        elif token.type.endswith("_list_close"):
            lists -= 1
        elif token.type == "tr_close":
            yield Part("prose", _CELL_SEPARATOR.join(filter(None, cells)), tight=True)
            cells = []
        elif token.type in ("th_open", "td_open"):
            cells.append("")
        elif token.type == "inline" and cells:
            cells[-1] = _inline_text(token)
        elif token.type == "inline":
            picture = all(child.type == "image" for child in token.children or ())
            kind: BlockKind = "heading" if level else "caption" if picture else "prose"
            yield Part(kind, _inline_text(token), level, tight=lists > 0 and not begins_list)
            begins_list = False
        elif token.type in ("fence", "code_block"):
            yield Part("prose", token.content.strip("\n"))
        elif token.type == "html_block":
            yield from _parse_html(token.content).parts


def _inline_text(token: Token) -> str:
    pieces = []
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            pieces.append("\n")
        elif child.type != "html_inline":  # an image's content is its alternative text
            pieces.append(child.content)
    return join_lines("".join(pieces).split("\n"))


def _parse_html(text: str) -> Content:
    from bs4 import BeautifulSoup
    from bs4.exceptions import ParserRejectedMarkup

    try:
        soup = BeautifulSoup(text, "html.parser")
    except ParserRejectedMarkup as error:
        reason = str(error).rpartition("\n")[2][:_DETAIL_CHARS]  # above it, advice for programmers
        raise UnreadableError(
            f"HTML 标记有误，无法解析，请用浏览器重新另存 (HTML that cannot be parsed, save it again): {reason}"
        ) from error
    title = _collapse(soup.title.get_text()) if soup.title else ""
    parts = _filled(_html_parts(soup))
    heading = next((part.text for part in parts if part.kind == "heading" and part.level == 1), "")
    # A page's <title> often carries the name of its site behind the document's own.
    return Content(heading if heading and (not title or heading in title) else title, parts)


def _html_parts(root: Tag) -> Iterator[Part]:
    """Walk the tree without recursion: pages nest as deep as they like."""
    from bs4 import NavigableString, Tag
    from bs4.element import PreformattedString

    pieces: list[str] = []
    roles = ["div"]  # of the open block elements
    stack: list[PageElement | str] = [root]  # a string is the role of an element to close
    while stack:
        node = stack.pop()
        if isinstance(node, Tag):
            if node.name in _DROPPED_TAGS:
                continue
            if role := _role(node, roles[-1]):
                yield _html_part("".join(pieces), roles[-1])
                pieces = []
                roles.append(role)
                stack.append(role)
            elif node.name in _CELL_TAGS:
                stack.append("td")
            elif node.name in _BLOCK_TAGS or node.name == "br":
                pieces.append("\n")
            stack.extend(reversed(node.contents))
        elif isinstance(node, NavigableString):
            if not isinstance(node, PreformattedString):  # a comment, a doctype
                pieces.append(str(node) if roles[-1] == "pre" else node.replace("\t", " "))
        elif node == "td":
            pieces.append("\t")
        elif isinstance(node, str):
            yield _html_part("".join(pieces), roles.pop())
            pieces = []
    yield _html_part("".join(pieces), roles[-1])


def _role(node: Tag, above: str) -> str:
    """Tag name by which a block element's text is treated, empty for what belongs to the element above it."""
    if above in _WHOLE_TAGS or node.name not in _BLOCK_TAGS | _CELL_TAGS:
        return ""
    if node.name in _CELL_TAGS or (node.name == "tr" and node.find(_LAYOUT_TAGS)):
        return "div"
    return above if node.name == "p" and above in _TIGHT_TAGS else node.name


def _html_part(text: str, role: str) -> Part:
    if role == "pre":
        return Part("prose", text.strip("\n"))
    if role == "tr":
        return Part("prose", _CELL_SEPARATOR.join(filter(None, map(_collapse, text.split("\t")))), tight=True)
    if role in _HEADING_TAGS:
        return Part("heading", _collapse(text), int(role[1]))
    return Part("caption" if role in ("caption", "figcaption") else "prose", _collapse(text), tight=role in _TIGHT_TAGS)


def _collapse(text: str) -> str:
    """White space as a browser shows it, save that a line end between Chinese characters is none."""
    return join_lines(re.sub(r"[ \t\xa0]+", " ", line) for line in text.split("\n"))


def _docx_parts(document: WordDocument) -> Iterator[Part]:
    from docx.table import Table

    for item in document.iter_inner_content():
        if isinstance(item, Table):
            for row in item.rows:
                cells = dict.fromkeys(join_lines(cell.text.split("\n")) for cell in row.cells)  # merged ones repeat
                yield Part("prose", clean(_CELL_SEPARATOR.join(filter(None, cells))), tight=True)
            continue
        style = (item.style.name or "" if item.style else "").lower()
        text = clean(join_lines(item.text.split("\n")))
        numbered = re.match(r"(?:heading|标题) ?([1-9])", style)
        if style in ("title", "标题"):
            yield Part("heading", text, 1)
        elif numbered:
            yield Part("heading", text, int(numbered.group(1)))
        elif style in ("caption", "题注"):
            yield Part("caption", text)
        else:
            yield Part("prose", text, tight=style.startswith("list"))
