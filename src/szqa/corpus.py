"""A folder of source files → Documents.

Finds the files, has each one read by the loader of its suffix and gathers everything that is wrong with any of them
into one error. It knows nothing of passages, indexes or what a loader does inside.
"""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from szqa.datatypes import Block, Document
from szqa.errors import CorpusError, MissingExtraError
from szqa.formats import Content, UnreadableError, load_docx, load_html, load_markdown, load_pdf, load_text
from szqa.layout import Part, clean

__all__ = [
    "LOADERS",
    "USER_DICTIONARY_NAME",
    "check_files",
    "document_id",
    "find_files",
    "find_sources",
    "load_corpus",
    "load_document",
    "source_name",
    "user_dictionary",
]

USER_DICTIONARY_NAME = "userdict.txt"
# Of the corpus folder itself; in a folder below it they are sources like any other.
_NO_SOURCES = ("README.md", USER_DICTIONARY_NAME)
# Loader of each kind of file, by its suffix in lower case.
LOADERS: dict[str, Callable[[Path], Content]] = {
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
    Office's ``~$name``), the folder's own README.md and userdict.txt, and symbolic links that lead out of it.

    Raises:
        CorpusError: there is no such folder.
    """
    return [path for path in find_files(folder) if path.is_file() and _stays_inside(path, folder)]


def find_files(folder: Path) -> list[Path]:
    """Find every file that has to be a source or be complained of, in the order of their paths.

    These are the sources, and symbolic links that are not known to lead to a folder inside.

    Raises:
        CorpusError: there is no such folder.
    """
    if not folder.is_dir():
        found = "不是文件夹 (not a folder)" if folder.exists() else "不存在 (does not exist)"
        raise CorpusError([f"{folder}: 语料文件夹{found}，请用 --corpus 指明 (name the corpus folder with --corpus)"])
    paths = [path for path in _visible(folder) if path.parent != folder or path.name not in _NO_SOURCES]
    return sorted(paths, key=lambda path: source_name(path, folder))


def load_corpus(folder: Path) -> list[Document]:
    """Load every source of a corpus folder, in the order of their paths.

    Raises:
        CorpusError: there is no such folder, it holds no source, or some of them cannot be read; lists them all.
    """
    paths = find_files(folder)
    problems = check_files(paths, folder)
    documents = []
    for path in paths:
        try:
            documents.append(load_document(path, root=folder))
        except CorpusError as error:
            problems += error.problems
    if problems:
        raise CorpusError(problems)
    return documents


def check_files(paths: Sequence[Path], folder: Path) -> list[str]:
    """What is wrong with the files of a corpus taken together: none at all, or two of one name."""
    if not paths:
        return [f"{folder}: 文件夹中没有文档，请放入 {_kinds()} 文件 (no documents in this folder: add some files)"]
    counts = Counter(source_name(path, folder) for path in paths)
    return [
        f"{source}: 与另一文件同名，请改名 (another file has the same name, rename one)"
        for source, count in counts.items()
        if count > 1
    ]


def load_document(path: Path, *, root: Path) -> Document:
    """Load one source file.

    Args:
        path: the file.
        root: the corpus folder, which the document's source is relative to.

    Raises:
        CorpusError: it cannot be read, is empty or of an unknown kind.
    """
    source = source_name(path, root)
    try:
        content = _load(path, root)
    except (UnreadableError, MissingExtraError) as error:
        raise CorpusError([f"{source}: {error}"]) from error
    except OSError as error:
        raise CorpusError(
            [f"{source}: 无法读取，请检查文件与权限 (cannot be read, check the file and its mode): {error.strerror}"]
        ) from error
    text, blocks = _lay_out(content.parts)
    if not text:
        raise CorpusError([f"{source}: 文件中没有文字，请补充内容或移走 (no text in this file: fill or remove it)"])
    return Document(
        id=document_id(source),
        title=content.title or clean(path.stem),
        text=text,
        source=source,
        blocks=blocks,
    )


def document_id(source: str) -> str:
    """The id of the document whose ``source`` this is."""
    return hashlib.sha256(source.encode()).hexdigest()[:12]


def source_name(path: Path, root: Path) -> str:
    """A file's path relative to the corpus folder, POSIX style and Unicode NFC; ``Document.source``."""
    # A name that is no UTF-8 comes with surrogates, which can be neither hashed nor printed.
    name = path.relative_to(root).as_posix().encode(errors="surrogateescape").decode(errors="replace")
    return unicodedata.normalize("NFC", name)


def _load(path: Path, root: Path) -> Content:
    if not _stays_inside(path, root):
        raise UnreadableError(
            "是指向语料文件夹之外的符号链接，请放入文件本身 (a symbolic link out of the folder: put the file itself)"
        )
    loader = LOADERS.get(path.suffix.lower())
    if loader is None:
        raise UnreadableError(
            f"不支持的文件类型 {path.suffix or '（无扩展名）'}，请转为 {_kinds()} 或移走 (convert or remove it)"
        )
    if path.stat().st_size == 0:
        raise UnreadableError("文件是空的，请补充内容或移走 (empty file: fill or remove it)")
    return loader(path)


def _kinds() -> str:
    return " ".join(LOADERS)


def _visible(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder, onerror=_raise):
        links = [name for name in folders if Path(place, name).is_symlink()]  # not walked into
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in (*files, *links):
            path = Path(place, name)
            if not name.startswith((".", "~$")) and not (path.is_dir() and _stays_inside(path, folder)):
                yield path


def _raise(error: OSError) -> None:
    raise CorpusError(
        [f"{error.filename}: 无法打开，请检查权限 (cannot be opened, check its mode): {error.strerror}"]
    ) from error


def _stays_inside(path: Path, folder: Path) -> bool:
    return path.resolve().is_relative_to(folder.resolve())


def _lay_out(parts: Sequence[Part]) -> tuple[str, tuple[Block, ...]]:
    """Put paragraphs together as one text, with a block for each."""
    pieces: list[str] = []
    blocks = []
    position = 0
    for part in parts:
        text = part.text.strip()
        if not text:
            continue
        if pieces:
            pieces.append("\n" if part.tight else "\n\n")
            position += len(pieces[-1])
        pieces.append(text)
        blocks.append(Block(part.kind, position, position + len(text), part.level))
        position += len(text)
    return "".join(pieces), tuple(blocks)
