"""Files that are broken, or made to break what reads them: each is named and refused in bounded time and memory."""

import io
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from conftest import ROOT, HashEmbedder, unprivileged
from szqa.corpus import Limits, find_sources, load_corpus, load_document
from szqa.errors import CorpusError
from szqa.formats import Content, UnreadableError, load_text
from szqa.index import Index, hash_sources, stale_reasons
from szqa.isolation import Isolation
from szqa.text import Segmenter, printable
from test_corpus import make_pdf

GOOD = "苏州有33家工厂。"
# Small enough to be reached in a moment.
LIMITS = Limits(file_bytes=8 << 20, expanded_bytes=16 << 20, pages=20, characters=100_000, seconds=60.0)


def zipped(files: dict[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def make_docx(text: str = GOOD) -> bytes:
    docx = pytest.importorskip("docx")
    document = docx.Document()
    document.add_paragraph(text)
    stream = io.BytesIO()
    document.save(stream)
    return stream.getvalue()


def with_document_xml(xml: bytes) -> bytes:
    """A .docx file whose text is some other XML."""
    with zipfile.ZipFile(io.BytesIO(make_docx())) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    return zipped(files | {"word/document.xml": xml})


def bomb() -> bytes:
    return zipped({"[Content_Types].xml": b"<Types/>", "word/document.xml": b" " * (64 << 20)})


def lying_bomb() -> bytes:
    """A bomb that says it unpacks to a few bytes."""
    content = bytearray(bomb())
    for signature, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        place = content.rfind(signature)
        content[place + offset : place + offset + 4] = (100).to_bytes(4, "little")
    return bytes(content)


def many_laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{n + 1} "{f"&l{n};" * 10}">' for n in range(12))
    return with_document_xml(
        f'<!DOCTYPE d [<!ENTITY l0 "哈哈">{entities}]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        "<w:body><w:p><w:r><w:t>&l12;</w:t></w:r></w:p></w:body></w:document>".encode()
    )


def foreign_entity(path: Path) -> bytes:
    """A .docx file that asks for the text of another file."""
    return with_document_xml(
        f'<!DOCTYPE d [<!ENTITY secret SYSTEM "{path.as_uri()}">]>'
        '<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main">'
        f"<w:body><w:p><w:r><w:t>{GOOD}&secret;</w:t></w:r></w:p></w:body></w:document>".encode()
    )


def encrypted_pdf() -> bytes:
    pypdf = pytest.importorskip("pypdf")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf([["苏州"]])))
    writer.encrypt("secret", algorithm="RC4-128")
    stream = io.BytesIO()
    writer.write(stream)
    return stream.getvalue()


def looping_pdf() -> bytes:
    """Its pages are their own parents, and its cross references point at themselves."""
    pdf = make_pdf([["苏州"]])
    kids = pdf.replace(b"/Kids [6 0 R]", b"/Kids [2 0 R]")
    return kids.replace(b"/Root 1 0 R >>", b"/Root 1 0 R /Prev %d >>" % pdf.rfind(b"xref\n0"))


def endless_pdf() -> bytes:
    """A page that draws a form that draws itself, some thousand times."""
    draws = b"/X Do " * 5_000
    form = (
        b"8 0 obj\n<< /Type /XObject /Subtype /Form /BBox [0 0 1 1] /Resources << /XObject << /X 8 0 R >> >> "
        b"/Length %d >>\nstream\n%s\nendstream\nendobj\n" % (len(draws), draws)
    )
    pdf = make_pdf([["苏州"]])
    return pdf.replace(b"xref\n0", form + b"xref\n0", 1).replace(
        b"/F1 3 0 R >>", b"/F1 3 0 R >> /XObject << /X 8 0 R >>"
    )


# Name, content, and what its message says.
HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "bomb.docx": (bomb, "解压后有 64 MiB，上限 16 MiB"),
    "lying.docx": (lying_bomb, "DOCX"),
    "laughs.docx": (many_laughs, "DOCX"),
    "empty.docx": (lambda: zipped({}), "damaged DOCX"),
    "cut.docx": (lambda: make_docx()[:2000], "damaged DOCX"),
    "cut.pdf": (lambda: make_pdf([["苏州"]])[:300], "PDF"),
    "encrypted.pdf": (encrypted_pdf, "encrypted PDF"),
    "looping.pdf": (looping_pdf, "PDF"),
    "pages.pdf": (lambda: make_pdf([["苏州"]] * 21), "PDF 有 21 页，上限 20 页"),
    "binary.txt": (lambda: bytes(range(256)) * 500, "二进制"),
    "nul.txt": (lambda: b"\x00" * 100_000, "text"),
    "mixed.txt": (lambda: GOOD.encode() * 500 + GOOD.encode("gb18030") * 500, "编码"),
    "long.txt": (lambda: "苏州".encode() * 100_000, "200000 个字符，上限 100000"),
    "large.txt": (lambda: b"x" * (9 << 20), "文件有 9.0 MiB，上限 8 MiB"),
    "marked.html": (lambda: b"<p>x</p><![<p>y</p>", "HTML 标记有误"),
    "marked.md": (lambda: b"x\n\n<div><![<p>y</p>\n", "HTML 标记有误"),
    "line\nend.txt": (GOOD.encode, r"line\nend.txt: 文件名含控制字符"),
    "\x1b[31mred.txt": (GOOD.encode, r"\x1b[31mred.txt: 文件名含控制字符"),
    "gpj.\u202etxt.txt": (GOOD.encode, r"gpj.\u202etxt.txt: 文件名含控制字符"),
}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of hostile files of every kind, and three good ones."""
    pytest.importorskip("pypdf")
    folder = tmp_path_factory.mktemp("hostile")
    for name, (content, _) in HOSTILE.items():
        (folder / name).write_bytes(content())
    (folder / "a..b.txt").write_text(GOOD, "utf-8")
    (folder / "..c.txt").write_text("隐藏的文件。", "utf-8")
    (folder / "script.html").write_text(f"<script>alert(1)</script><p onclick=x>{GOOD}", "utf-8")
    (folder / "endless.pdf").write_bytes(endless_pdf())
    os.mkfifo(folder / "pipe.txt")
    outside = tmp_path_factory.mktemp("outside") / "secret.txt"
    outside.write_text("秘密在此。", "utf-8")
    (folder / "out.txt").symlink_to(outside)
    (folder / "device.txt").symlink_to("/dev/zero")
    (folder / "one.txt").symlink_to("two.txt")
    (folder / "two.txt").symlink_to("one.txt")
    (folder / "itself").symlink_to(folder)
    return folder


EXPECTED = {printable(name) for name in HOSTILE} | {"pipe.txt", "out.txt", "device.txt", "one.txt", "two.txt"}


MEASURE = """
import json, re, resource, sys, time
from pathlib import Path
from szqa.corpus import Limits, load_corpus
limits = Limits(**json.loads(sys.argv[2]))
skipped, start = [], time.perf_counter()
documents = load_corpus(Path(sys.argv[1]), limits=limits, skip=skipped.append)
print(json.dumps({
    "read": [document.source for document in documents],
    "skipped": skipped,
    "seconds": time.perf_counter() - start,
    # Not ru_maxrss, which begins with that of the process that started this one.
    "own_mib": int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10,
    "loading_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10,
}))
"""


@dataclass(frozen=True, slots=True)
class Measured:
    read: list[str]
    skipped: list[str]
    seconds: float
    own_mib: int
    loading_mib: int


@pytest.fixture(scope="module")
def measured(hostile: Path) -> Measured:
    """What became of the hostile corpus, read in a process that does nothing else."""
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(hostile), json.dumps(asdict(LIMITS))],
        capture_output=True,
        encoding="utf-8",
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "PYTHONIOENCODING": "utf-8"},
    )
    return Measured(**json.loads(done.stdout))


def test_every_hostile_file_is_named_and_the_others_are_read(measured: Measured) -> None:
    problems = {line.split(": ")[0]: line for line in measured.skipped}
    assert problems.keys() - {"endless.pdf"} == EXPECTED
    for name, (_, message) in HOSTILE.items():
        assert message in problems[printable(name)]
    assert "管道、设备" in problems["pipe.txt"]
    assert all("符号链接" in problems[name] for name in ("out.txt", "device.txt"))
    assert all("无法读取" in problems[name] for name in ("one.txt", "two.txt"))
    assert all(line == printable(line) for line in measured.skipped)  # a line a file, whatever it is called
    assert {"a..b.txt", "script.html"} <= set(measured.read) <= {"a..b.txt", "script.html", "endless.pdf"}


def test_hostile_files_are_refused_in_bounded_time_and_memory(measured: Measured, state: Callable[[str], None]) -> None:
    assert measured.seconds < LIMITS.seconds
    assert measured.own_mib < 300
    assert measured.loading_mib <= (LIMITS.memory_bytes >> 20)
    state(
        f"{len(measured.skipped)} hostile files refused in {measured.seconds:.0f} s, "
        f"{measured.own_mib} MiB here, at most {measured.loading_mib} MiB where they are read"
    )


def test_what_would_take_minutes_is_given_up(tmp_path: Path) -> None:
    (tmp_path / "deep.html").write_bytes(b"<b>" * 1_000_000 + b"x")
    (tmp_path / "quotes.html").write_bytes(b'<a b="' * 300_000)
    start = time.perf_counter()
    with pytest.raises(CorpusError) as caught:
        load_corpus(tmp_path, limits=Limits(seconds=2))
    assert [line[:18] for line in caught.value.problems] == ["deep.html: 2 秒内没有读", "quotes.html: 2 秒内没"]
    assert time.perf_counter() - start < 30


def test_a_line_of_200_megabytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "line.txt").open("wb") as stream:
        for _ in range(200):
            stream.write(b"x" * 1_000_000)
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(CorpusError, match=r"文件有 190[.]7 MiB，上限 64 MiB"):
        load_corpus(tmp_path)
    assert time.perf_counter() - start < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10
    # Where so much is allowed, the process that reads it runs into its own limit.
    with pytest.raises(CorpusError, match=r"256 MiB 内存|crashed"):
        load_corpus(tmp_path, limits=Limits(file_bytes=1 << 30, memory_bytes=256 << 20))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 << 10


def test_scripts_and_entities_leave_no_trace_in_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        f"<title>题&#10;目&#x202e;</title><script>alert(1)</script><p onclick=alert(2)>{GOOD}&#27;&#x202e;&#8203;"
        "<style>x</style><iframe src=x>y</iframe>",
        "utf-8",
    )
    document = load_document(tmp_path / "a.html", root=tmp_path)
    assert (document.title, document.text) == ("题目", GOOD)


def test_an_entity_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("秘密在此。", "utf-8")
    (tmp_path / "a.docx").write_bytes(foreign_entity(tmp_path / "secret.txt"))
    try:
        assert "秘密" not in load_document(tmp_path / "a.docx", root=tmp_path).text
    except CorpusError as error:
        assert "DOCX" in str(error)


@pytest.mark.parametrize(
    ("does", "message"), [("__import__('os').abort()", "读取时程序崩溃"), ("bytearray(1 << 40)", "200 MiB 内存")]
)
def test_a_crash_takes_one_file_only(does: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text(GOOD, "utf-8")
    shutil.copytree(
        ROOT / "src" / "szqa", tmp_path / "szqa", ignore=shutil.ignore_patterns("models", "training", "__pycache__")
    )
    (tmp_path / "szqa" / "stand_in.py").write_text(f"def load(path, limits):\n    {does}\n", "utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    def load(path: Path, limits: Limits) -> Content:
        raise AssertionError("not in this process")

    load.__module__, load.__qualname__ = "szqa.stand_in", "load"
    with Isolation(Limits(memory_bytes=200 << 20)) as isolation:
        with pytest.raises(UnreadableError, match=message):
            isolation.load(load, tmp_path / "a.txt")
        assert isolation.load(load_text, tmp_path / "a.txt").parts[0].text == GOOD


def test_the_old_index_stays_and_what_was_skipped_is_not_stale(
    hostile: Path, tmp_path: Path, embedder: HashEmbedder, segmenter: Segmenter
) -> None:
    folder, corpus = tmp_path / "index", tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "a.txt").write_text(GOOD, "utf-8")
    manifest = Index.build(load_corpus(corpus), embedder=embedder, segmenter=segmenter).save(
        folder, sources=hash_sources(corpus)
    )
    (corpus / "b.pdf").write_bytes((hostile / "encrypted.pdf").read_bytes())
    with (corpus / "sparse.txt").open("wb") as stream:
        stream.truncate(1 << 40)  # a tebibyte that takes no room, and would take an hour to hash
    with pytest.raises(CorpusError):
        load_corpus(corpus)
    manifest.verify_files(folder)
    skipped: list[str] = []
    documents = load_corpus(corpus, skip=skipped.append)
    assert [document.source for document in documents] == ["a.txt"]
    assert [line.split(":")[0] for line in skipped] == ["b.pdf", "sparse.txt"]
    Index.build(documents, embedder=embedder, segmenter=segmenter).save(folder, sources=hash_sources(corpus))
    assert stale_reasons(folder, corpus, embedder=embedder, segmenter=segmenter) == []
    (corpus / "b.pdf").unlink()
    assert stale_reasons(folder, corpus, embedder=embedder, segmenter=segmenter) == ["移除 removed: b.pdf"]


def test_a_file_that_may_not_be_read_is_named() -> None:
    folder = Path(tempfile.mkdtemp())  # others may not enter what pytest makes
    try:
        folder.chmod(0o755)
        path = folder / "closed.txt"
        path.write_text(GOOD, "utf-8")
        path.chmod(0)
        with unprivileged():
            with pytest.raises(CorpusError, match=r"closed\.txt: 无法读取，请检查文件与权限"):
                load_document(path, root=folder)
            assert hash_sources(folder) == {"closed.txt": "Permission denied"}
    finally:
        shutil.rmtree(folder)


def test_folders_that_cannot_be_opened_are_listed_with_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "good.txt").write_text(GOOD, "utf-8")
    (tmp_path / "empty.txt").touch()
    scan = os.scandir

    def refuse(path: str) -> object:
        if os.fspath(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(CorpusError) as caught:
        load_corpus(tmp_path)
    assert [line.split(":")[0] for line in caught.value.problems] == ["closed", "empty.txt"]
    assert [path.name for path in find_sources(tmp_path)] == ["empty.txt", "good.txt"]
