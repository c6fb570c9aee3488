"""A folder of source files → Documents.

Finds the files, has each one read by the loader of its suffix and gathers everything that is wrong with any of them
into one error. It knows nothing of passages, indexes or what a loader does inside.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

from szqa.datatypes import Block, Document
from szqa.errors import CorpusError, MissingExtraError
from szqa.formats import (
    Content,
    Limits,
    Loader,
    UnreadableError,
    load_docx,
    load_html,
    load_markdown,
    load_pdf,
    load_text,
)
from szqa.isolation import Isolation
from szqa.layout import Part, clean
from szqa.text import printable

__all__ = [
    "LOADERS",
    "USER_DICTIONARY_NAME",
    "Limits",
    "check_files",
    "document_id",
    "find_files",
    "find_sources",
    "load_corpus",
    "load_document",
    "nothing_in",
    "report_problems",
    "source_name",
    "user_dictionary",
]

USER_DICTIONARY_NAME = "userdict.txt"
# Of the corpus folder itself; in a folder below it they are sources like any other.
_NO_SOURCES = ("README.md", USER_DICTIONARY_NAME)
_LINE_ENDS = re.compile(r"[\n\t\f]+")
# Loader of each kind of file, by its suffix in lower case.
LOADERS: dict[str, Loader] = {
    ".txt": load_text,
    ".md": load_markdown,
    ".markdown": load_markdown,
    ".html": load_html,
    ".htm": load_html,
    ".pdf": load_pdf,
    ".docx": load_docx,
}


def user_dictionary(folder: Path) -> Path | None:
    """The corpus's dictionary of domain terms, ``None`` where it has none."""
    path = folder / USER_DICTIONARY_NAME
    return path if path.is_file() else None


def find_sources(folder: Path) -> list[Path]:
    """Find the source files of a corpus folder, in the order of their paths.

    A source is every file in the folder and below it, of a known kind or not, except hidden ones (``.name``,
    Office's ``~$name``), the folder's own README.md and userdict.txt, symbolic links that lead out of it, and what lies
    in folders that cannot be opened.

    Raises:
        CorpusError: there is no such folder.
    """
    paths, _ = find_files(folder)
    return [path for path in paths if path.is_file() and _stays_inside(path, folder)]


def load_corpus(
    folder: Path, *, limits: Limits | None = None, skip: Callable[[str], None] | None = None
) -> list[Document]:
    """Load every source of a corpus folder, in the order of their paths.

    Args:
        folder: the corpus.
        limits: what a file may take.
        skip: called with each problem, whose file is then left out; by default one problem is one too many.

    Raises:
        CorpusError: there is no such folder, it holds no source, or some of them cannot be read; lists them all.
    """
    documents = []
    paths, problems = find_files(folder)
    paths, twins = check_files(paths, folder)
    problems += twins
    with Isolation(limits or Limits()) as isolation:
        for path in paths:
            try:
                documents.append(load_document(path, root=folder, limits=limits, isolation=isolation))
            except CorpusError as error:
                problems += error.problems
    report_problems(problems, skip)
    if not documents:
        raise CorpusError([nothing_in(folder)])
    return documents


def report_problems(problems: Sequence[str], skip: Callable[[str], None] | None) -> None:
    """Hand problems to ``skip``; without it one is one too many, and all are raised as a ``CorpusError``."""
    if skip is not None:
        for problem in problems:
            skip(problem)
    elif problems:
        raise CorpusError(problems)


def nothing_in(folder: Path) -> str:
    """What is wrong with a corpus that holds no document."""
    return f"{folder}: 文件夹中没有文档，请放入 {_kinds()} 文件 (no documents in this folder: add some files)"


def check_files(paths: Sequence[Path], folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a corpus without those that have another one's name, and what is wrong with these."""
    kept: dict[str, Path] = {}
    problems = []
    for path in paths:
        source = source_name(path, folder)
        if source in kept:
            problems.append(f"{source}: 与另一文件同名，请改名 (another file has the same name, rename one)")
        kept.setdefault(source, path)
    return list(kept.values()), problems


def load_document(
    path: Path, *, root: Path, limits: Limits | None = None, isolation: Isolation | None = None
) -> Document:
    """Load one source file.

    Args:
        path: the file.
        root: the corpus folder, which the document's source is relative to.
        limits: what the file may take.
        isolation: loads it in a process of its own, which alone can hold it to its limits of time and memory; without
            one it is loaded here.

    Raises:
        CorpusError: it cannot be read, is empty, too large or of an unknown kind.
    """
    source, limits = source_name(path, root), limits or Limits()
    try:
        content = _load(path, root, limits, isolation)
        text, blocks = _lay_out(content.parts)
        if not text:
            raise UnreadableError("文件中没有文字，请补充内容或移走 (no text in this file: fill or remove it)")
        if len(text) > limits.characters:
            raise UnreadableError(
                f"有 {len(text)} 个字符，上限 {limits.characters}，请拆分 "
                f"({len(text)} characters, at most {limits.characters}: split it)"
            )
    except (UnreadableError, MissingExtraError) as error:
        raise CorpusError([f"{source}: {printable(str(error))}"]) from error
    except OSError as error:
        raise CorpusError(
            [f"{source}: 无法读取，请检查文件与权限 (cannot be read, check the file and its mode): {error.strerror}"]
        ) from error
    title = _LINE_ENDS.sub(" ", clean(content.title)).strip()
    return Document(
        id=document_id(source),
        title=title or clean(path.stem),
        text=text,
        source=source,
        blocks=blocks,
    )


def document_id(source: str) -> str:
    """The id of the document whose ``source`` this is."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def source_name(path: Path, root: Path) -> str:
    """A file's path relative to the corpus folder, POSIX style, Unicode NFC and printable; ``Document.source``."""
    return printable(_plain_name(path, root))


def _plain_name(path: Path, root: Path) -> str:
    # A name that is no UTF-8 comes with surrogates, which can be neither hashed nor printed.
    name = path.relative_to(root).as_posix().encode(errors="surrogateescape").decode(errors="replace")
    return unicodedata.normalize("NFC", name)


def _load(path: Path, root: Path, limits: Limits, isolation: Isolation | None) -> Content:
    if not _stays_inside(path, root):
        raise UnreadableError(
            "是指向语料文件夹之外的符号链接，请放入文件本身 (a symbolic link out of the folder: put the file itself)"
        )
    if source_name(path, root) != _plain_name(path, root):
        raise UnreadableError(
            "文件名含控制字符或书写方向标记，请改名 (control characters in its name, shown escaped: rename it)"
        )
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise UnreadableError("不是普通文件（管道、设备等），请移走 (no regular file: a pipe, a device; remove it)")
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise UnreadableError(
            f"不支持的文件类型 {path.suffix or '（无扩展名）'}，请转为 {_kinds()} 或移走 (convert or remove it)"
        )
    if found.st_size == 0:
        raise UnreadableError("文件是空的，请补充内容或移走 (empty file: fill or remove it)")
    if found.st_size > limits.file_bytes:
        raise UnreadableError(
            f"文件有 {found.st_size / 2**20:.1f} MiB，上限 {limits.file_bytes / 2**20:g} MiB，请拆分，"
            f"或用 --max-file-mb 放宽 (too large: split it, or allow more with --max-file-mb)"
        )
    return isolation.load(loader, path) if isolation else loader(path, limits)


def _kinds() -> str:
    return " ".join(LOADERS)


def find_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Find every file that has to be a source or be complained of, in the order of their paths; and what went wrong.

    These are the sources, and symbolic links that are not known to lead to a folder inside.

    Raises:
        CorpusError: there is no such folder.
    """
    if not folder.is_dir():
        found = "不是文件夹 (not a folder)" if folder.exists() else "不存在 (does not exist)"
        raise CorpusError([f"{folder}: 语料文件夹{found}，请用 --corpus 指明 (name the corpus folder with --corpus)"])
    paths: list[Path] = []
    problems: list[str] = []

    def report(error: OSError) -> None:
        place = source_name(Path(os.fsdecode(error.filename)), folder)
        problems.append(f"{place}: 无法打开，请检查权限 (cannot be opened, check its mode): {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=report):
        links = [name for name in folders if Path(place, name).is_symlink()]  # not walked into
        folders[:] = [name for name in folders if not name.startswith(".")]
        for path in (Path(place, name) for name in (*files, *links) if not name.startswith((".", "~$"))):
            own = path.parent == folder and path.name in _NO_SOURCES
            if not own and not (path.is_dir() and _stays_inside(path, folder)):
                paths.append(path)
    return sorted(paths, key=lambda path: source_name(path, folder)), problems


def _stays_inside(path: Path, folder: Path) -> bool:
    # Path.resolve raises RuntimeError on links that go round in circles (until Python 3.13).
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _lay_out(parts: Sequence[Part]) -> tuple[str, tuple[Block, ...]]:
    """Put paragraphs together as one text, with a block for each."""
    pieces: list[str] = []
    blocks = []
    position = 0
    for part in parts:
        text = clean(part.text).strip()  # an HTML entity may name any character
        if not text:
            continue
        if pieces:
            pieces.append("\n" if part.tight else "\n\n")
            position += len(pieces[-1])
        pieces.append(text)
        blocks.append(Block(part.kind, position, position + len(text), part.level))
        position += len(text)
    return "".join(pieces), tuple(blocks)
