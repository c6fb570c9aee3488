import io
import os
import sys
import unicodedata
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from szqa.corpus import find_sources, load_corpus, load_document, user_dictionary
from szqa.datatypes import BlockKind, Document
from szqa.decoding import UndecodableError, decode
from szqa.errors import CorpusError
from szqa.layout import Part, clean, join_lines, repair
from szqa.text import Segmenter, fold

CORPUS = Path(__file__).parents[1] / "corpus"
TITLE = "苏州：砥砺前行再出发 昂扬向新行"
SHORT = "苏州新增206家国家级专精特新企业，累计服务企业630余次。"
SHORT_TRADITIONAL = "蘇州位於江蘇省南部，是一座歷史悠久的城市，園林聞名於世。"


@pytest.fixture(scope="module")
def suzhou() -> Document:
    documents = load_corpus(CORPUS)
    return next(document for document in documents if document.title == TITLE)


def texts(document: Document, kind: BlockKind) -> list[str]:
    return [document.text[block.start : block.end] for block in document.blocks if block.kind == kind]


def parts(text: str, title: str = "") -> list[tuple[str, int, str]]:
    return [(part.kind, part.level, part.text) for part in repair(clean(text), title=title)]


def load_bytes(folder: Path, name: str, content: bytes) -> Document:
    path = folder / name
    path.write_bytes(content)
    return load_document(path, root=folder)


# The first document


def test_source_text_is_identified_by_its_path(suzhou: Document) -> None:
    assert (suzhou.id, suzhou.source) == ("4763e596067c", f"{TITLE}.txt")


def test_cut_paragraphs_are_joined_with_nothing_between(suzhou: Document) -> None:
    assert "吸纳超150家企业协同参与苏州工业软件应用创新中心建设，成功招引5家企业落户苏州。" in suzhou.text
    assert "在此基础上，苏州市“两重”“两新”加力推进，入选国家制造业新型技术改造城市试点名单。" in suzhou.text


def test_headings_captions_and_notes_are_known_from_prose(suzhou: Document) -> None:
    levels = [block.level for block in suzhou.blocks if block.kind == "heading"]
    assert list(zip(levels, texts(suzhou, "heading"), strict=True)) == [
        (1, "中国式现代化"),
        (1, "江苏新实践"),
        (1, TITLE),
        (2, "打造一流现代工业体系 激发新动能"),
        (2, "激活新质生产力引擎 构筑新高地"),
        (2, "厚植营商环境沃土 引入新活力"),
    ]
    assert texts(suzhou, "caption") == [
        "博众精工科技股份有限公司的生产线",
        "位于苏州市的高瑞捷豹路虎生产线",
        "苏州市城市风光",
    ]
    assert texts(suzhou, "note") == ["数据来源：中共苏州市委宣传部、苏州市工业和信息化局"]


def test_prose_of_the_source_text_is_whole(suzhou: Document) -> None:
    prose = texts(suzhou, "prose")
    assert len(prose) == 21
    assert all(paragraph.endswith(("。", "。”")) for paragraph in prose)


def test_repair_changes_nothing_but_white_space(suzhou: Document) -> None:
    source = next(CORPUS.glob("苏州*.txt")).read_text("utf-8")
    assert "".join(suzhou.text.split()) == "".join(source.split())


def test_blocks_cover_the_text(suzhou: Document) -> None:
    outside = list(suzhou.text)
    for block in suzhou.blocks:
        outside[block.start : block.end] = [" "] * (block.end - block.start)
    assert not "".join(outside).strip()


def test_user_dictionary_keeps_every_term_whole(suzhou: Document, tmp_path: Path) -> None:
    path = user_dictionary(CORPUS)
    assert path is not None
    terms = [line.split()[0] for line in path.read_text("utf-8").splitlines()]
    assert len(terms) == len(set(terms)) >= 80
    assert all(fold(term) == term for term in terms)
    found = {token.text for token in Segmenter(path, cache_dir=tmp_path).cut(suzhou.text)}
    assert set(terms) <= found
    assert user_dictionary(tmp_path) is None


# Layout


def test_hard_wrapped_lines_are_joined() -> None:
    paragraph = "苏州市获评国家首批智能网联汽车应用试点城市，举办大会暨推进会，并在全市推广。" * 4
    wrapped = "\n".join(paragraph[i : i + 35] for i in range(0, len(paragraph), 35))
    found = parts(f"标题\n\n{wrapped}\n\n{wrapped}")
    assert found == [("heading", 1, "标题"), ("prose", 0, paragraph), ("prose", 0, paragraph)]


def test_lines_wrapped_at_a_number_of_characters_are_joined() -> None:
    paragraph = "2024年，苏州获批5G项目291个，新增23个；累计创建8091家，建成17个，完成1085.8亿元，在全市推广应用。"
    wrapped = "\n".join(paragraph[i : i + 30] for i in range(0, len(paragraph), 30))
    assert [text for _, _, text in parts("\n\n".join([wrapped] * 3))] == [paragraph] * 3


def test_one_paragraph_a_line_is_not_taken_for_wrapped() -> None:
    lines = ["苏州的工业增长很快，成绩突出" * n for n in (3, 5, 9, 2, 7)]
    assert [text for _, _, text in parts("。\n".join(lines))] == [f"{line}。" for line in lines[:-1]] + [lines[-1]]


def test_hard_wrapped_english_is_joined_with_spaces() -> None:
    text = (
        "The quick brown fox jumps over the lazy dog and runs away from the bear\n"
        "that was following it through the forest. It then meets another fox, who\n"
        "is called Reynard, and they go on together until the evening comes and\n"
        "they sleep."
    )
    assert parts(text) == [("prose", 0, text.replace("\n", " "))]


def test_indented_paragraphs_are_not_joined() -> None:
    first = "　　苏州市获评国家首批智能网联汽车应用试点城市，举办第六届全球大会"
    assert [text for _, _, text in parts(f"标题\n{first}\n{first}。\n{first}。")][1:] == [
        first.strip(),
        f"{first.strip()}。",
        f"{first.strip()}。",
    ]


def test_finished_sentence_heading_and_list_are_not_joined() -> None:
    text = (
        "苏州的工业增长很快。\n\n坚持创新驱动，推动高质量发展\n\n2024年，苏州持续创新：\n\n1. 技术攻关，\n2. 成果转化。"
    )
    assert [text for _, _, text in parts(text)] == [line for line in text.split("\n") if line]


def test_paragraph_cut_by_a_picture_is_mended() -> None:
    body = "\n\n".join(["苏州的工业增长很快。"] * 4)
    cut = "全面实施强基提质行动。园区吸纳超150家企业协同参\n\n\n\n新建成的智能车间\n\n与中心建设，成果很多。"
    assert parts(f"{body}\n\n{cut}")[4:] == [
        ("prose", 0, "全面实施强基提质行动。园区吸纳超150家企业协同参与中心建设，成果很多。"),
        ("caption", 0, "新建成的智能车间"),
    ]


def test_missing_full_stops_prove_no_cut_where_the_writer_leaves_them_out() -> None:
    line = "为企业提供覆盖全生命周期的服务，包括融资、人才、技术、市场等方面的支持；建立长效机制，形成闭环管理的格局"
    assert len(parts("\n\n".join([line] * 6))) == 6


def test_numbered_headings_nest() -> None:
    lines = (
        "年度工作报告",
        "一、工作",
        "（一）工业",
        "增长快。",
        "1.1 汽车",
        "达1.2万辆。",
        "（二）农业",
        "增长。",
        "二、问题",
        "不少。",
    )
    text = "\n\n".join(lines)
    assert [(level, text) for kind, level, text in parts(text) if kind == "heading"] == [
        (1, "年度工作报告"),
        (2, "一、工作"),
        (3, "（一）工业"),
        (4, "1.1 汽车"),
        (3, "（二）农业"),
        (2, "二、问题"),
    ]


def test_chapters_and_articles() -> None:
    found = parts(
        "苏州市条例\n第一章 总则\n第一节 目的\n第一条 为了发展，制定本条例。\n第二章 附则\n第二条 自公布之日起施行。"
    )
    assert [(kind, level) for kind, level, _ in found] == [
        ("heading", 1),
        ("heading", 2),
        ("heading", 3),
        ("prose", 0),
        ("heading", 2),
        ("prose", 0),
    ]


def test_pages_lose_numbers_and_running_titles() -> None:
    text = "年报\n苏州发展很快。第二句话还没有说\n- 1 -\f年报\n完就翻页了。\n- 2 -\f年报\n第三页。\n- 3 -"
    assert parts(text, "年报") == [
        ("heading", 1, "年报"),
        ("prose", 0, "苏州发展很快。第二句话还没有说完就翻页了。"),
        ("prose", 0, "第三页。"),
    ]


def test_lines_without_any_sentence_are_no_headings() -> None:
    assert parts("静夜思\n床前明月光\n疑是地上霜", "静夜思") == [
        ("heading", 1, "静夜思"),
        ("prose", 0, "床前明月光"),
        ("prose", 0, "疑是地上霜"),
    ]
    assert [kind for kind, _, _ in parts("电话：0512-12345678\n地址：某路1号")] == ["prose", "prose"]


def test_signature_behind_the_last_sentence_is_a_note() -> None:
    assert [kind for kind, _, _ in parts("通知\n\n请遵照执行。\n\n苏州市人民政府\n2024年12月31日")][2:] == [
        "note",
        "note",
    ]


def test_join_lines_puts_spaces_between_latin_words_only() -> None:
    assert join_lines(["使用 deep", "learning 的", "方法，达20", "24年"]) == "使用 deep learning 的方法，达2024年"


def test_clean_removes_control_characters_and_unifies_line_ends() -> None:
    assert clean("a\x00b\x07\u200bc\r\nd\re\u2028f\tg") == "abc\nd\ne\nf\tg"
    assert clean("e\u0301") == "é"


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="苏州工业。，；：“”（）一二、1. aB\n\f　-图注", max_size=300))
def test_repair_keeps_every_character(text: str) -> None:
    kept = "".join("".join(part.text for part in repair(clean(text))).split())
    if "\f" not in text:  # page numbers and running titles go
        assert kept == "".join(text.split())
    assert all(part.text == part.text.strip() != "" for part in repair(clean(text)))


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_repaired(text: str) -> None:
    assert all(isinstance(part, Part) for part in repair(clean(text)))


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gb18030", "utf-32"])
def test_encodings_of_the_source_text(encoding: str, suzhou: Document, tmp_path: Path) -> None:
    source = next(CORPUS.glob("苏州*.txt")).read_text("utf-8")
    assert load_bytes(tmp_path, f"{TITLE}.txt", source.encode(encoding)).text == suzhou.text


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "gbk", "gb18030", "gb2312"]
)
def test_encodings_of_a_short_text(encoding: str, tmp_path: Path) -> None:
    assert load_bytes(tmp_path, "a.txt", SHORT.encode(encoding)).text == SHORT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "gb18030", "big5", "cp950", "big5hkscs"])
def test_encodings_of_a_short_traditional_text(encoding: str, tmp_path: Path) -> None:
    assert load_bytes(tmp_path, "a.txt", SHORT_TRADITIONAL.encode(encoding)).text == SHORT_TRADITIONAL


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "latin-1"])
def test_encodings_of_texts_without_chinese(encoding: str) -> None:
    text = "Plain words, nothing else.\n"
    assert decode(text.encode(encoding)) == text


def test_gb2312_is_widened(tmp_path: Path) -> None:
    page = "<html><head><meta charset=gb2312></head><body><p>朱镕基的镕字不在其中，𠮷也是。</p></body></html>"
    assert load_bytes(tmp_path, "a.html", page.encode("gb18030")).text == "朱镕基的镕字不在其中，𠮷也是。"


def test_declared_charset_counts(tmp_path: Path) -> None:
    text = "これは日本語です。"
    page = f'<meta http-equiv="Content-Type" content="text/html; charset=Shift_JIS"><p>{text}</p>'
    assert load_bytes(tmp_path, "a.html", page.encode("shift_jis")).text == text


def test_wrongly_declared_charset_does_no_harm(tmp_path: Path) -> None:
    for charset in ("utf-8", "big5", "x-unknown", "hex"):
        page = f'<meta charset="{charset}"><p>{SHORT}</p>'
        assert load_bytes(tmp_path, "a.html", page.encode("gb18030")).text == SHORT


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(content: bytes) -> None:
    try:
        assert isinstance(decode(content), str)
    except UndecodableError as error:
        assert "(" in str(error)


# Formats


def test_markdown(tmp_path: Path) -> None:
    text = (
        "---\ntitle: 前言里的标题\n---\n# 苏州工业\n\n## 概况\n\n苏州的工业\n很发达，有 **5G**\nnetwork 项目。\n\n"
        "- 第一项\n- 第二项\n  - 第三项\n\n| 年份 | 产值 |\n| --- | --- |\n| 2024 | 4.68万亿 |\n\n"
        "```\n代码 = 1\n```\n\n<div>网页<script>x()</script></div>\n\n![园区夜景](a.png)\n\n[^1]: 脚注\n"
    )
    document = load_bytes(tmp_path, "a.md", text.encode())
    assert document.title == "苏州工业"
    assert document.text == (
        "苏州工业\n\n概况\n\n苏州的工业很发达，有 5G network 项目。\n\n第一项\n第二项\n第三项\n"
        "年份 | 产值\n2024 | 4.68万亿\n\n代码 = 1\n\n网页\n\n园区夜景\n\n[^1]: 脚注"
    )
    assert [block.level for block in document.blocks if block.kind == "heading"] == [1, 2]
    assert texts(document, "caption") == ["园区夜景"]


def test_markdown_without_a_heading_takes_its_title_from_the_front_matter(tmp_path: Path) -> None:
    assert load_bytes(tmp_path, "a.md", b'---\ntitle: "T"\n---\nwords').title == "T"
    assert load_bytes(tmp_path, "b.markdown", b"words").title == "b"


def test_html(tmp_path: Path) -> None:
    page = """<!DOCTYPE html><html><head><title>苏州工业 - 某网站</title><style>p{}</style></head><body>
      <nav>首页 <a>登录</a></nav><h1>苏州工业</h1><!-- 注释 --><div>引言<p>苏州的<b>工业</b>
      很发达。<br>第二行</p></div><h2>数据 <i>表</i></h2><script>var x</script>
      <table><tr><th>年份</th><th>产值</th></tr><tr><td>2024</td><td><p>4.68\t万亿</p></td></tr></table>
      <table><tr><td><div>版面</div></td><td><p>正文。</p></td></tr></table>
      <ul><li>甲<li>乙</ul><figure><figcaption>生产线</figcaption></figure><pre>a
  b</pre></body></html>"""
    document = load_bytes(tmp_path, "a.htm", page.encode())
    assert document.title == "苏州工业"
    assert texts(document, "heading") == ["苏州工业", "数据 表"]
    assert texts(document, "caption") == ["生产线"]
    assert texts(document, "prose") == [
        "引言",
        "苏州的工业很发达。第二行",
        "年份 | 产值",
        "2024 | 4.68 万亿",
        "版面",
        "正文。",
        "甲",
        "乙",
        "a\n  b",
    ]


def test_html_title_without_a_heading(tmp_path: Path) -> None:
    assert load_bytes(tmp_path, "a.html", "<title>题目</title><p>正文".encode()).title == "题目"


def test_deeply_nested_html_is_read(tmp_path: Path) -> None:
    depth = sys.getrecursionlimit() * 2
    assert load_bytes(tmp_path, "a.html", b"<div>" * depth + "正文。".encode()).text == "正文。"


def test_docx(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    written = docx.Document()
    written.add_heading("苏州工业", 0)
    written.add_heading("概况", 1)
    written.add_paragraph("苏州的工业很发达。")
    table = written.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "2024", "4.68万亿"
    written.add_paragraph("甲", style="List Bullet")
    written.add_paragraph("图为生产线", style="Caption")
    written.save(str(tmp_path / "a.docx"))
    document = load_document(tmp_path / "a.docx", root=tmp_path)
    assert document.title == "苏州工业"
    assert document.text == "苏州工业\n\n概况\n\n苏州的工业很发达。\n2024 | 4.68万亿\n甲\n\n图为生产线"
    assert [block.kind for block in document.blocks] == ["heading", "heading", "prose", "prose", "prose", "caption"]


def test_docx_without_styles_is_read_like_plain_text(tmp_path: Path) -> None:
    docx = pytest.importorskip("docx")
    written = docx.Document()
    for line in ("苏州工业", "苏州的工业很发达。", "一、概况", "增长很快。"):
        written.add_paragraph(line)
    written.save(str(tmp_path / "a.docx"))
    document = load_document(tmp_path / "a.docx", root=tmp_path)
    assert (document.title, texts(document, "heading")) == ("a", ["苏州工业", "一、概况"])


def make_pdf(lines: list[list[str]]) -> bytes:
    """A PDF of one page a list, one text line a string, with a font that is only named."""
    codes = sorted({character for page in lines for line in page for character in line})
    glyphs = "".join(f"<{ord(c):04X}> <{ord(c):04X}>\n" for c in codes)
    cmap = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap\n1 begincodespacerange <0000> <FFFF> "
        f"endcodespacerange\n{len(codes)} beginbfchar\n{glyphs}endbfchar\nendcmap end end"
    )
    count = len(lines)
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Count {count} /Kids [{' '.join(f'{6 + 2 * i} 0 R' for i in range(count))}] >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /F /Encoding /Identity-H /DescendantFonts [4 0 R] "
        "/ToUnicode 5 0 R >>",
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /F /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) "
        "/Supplement 0 >> >>",
        f"<< /Length {len(cmap)} >>\nstream\n{cmap}\nendstream",
    ]
    for number, page in enumerate(lines):
        rows = "".join(f"<{line.encode('utf-16-be').hex()}> Tj 0 -20 Td\n" for line in page)
        content = f"BT /F1 12 Tf 50 750 Td\n{rows}ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents {7 + 2 * number} 0 R "
            "/Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(content)} >>\nstream\n{content}\nendstream")
    out, offsets = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("ascii")
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R >>\nstartxref\n{len(out)}\n%%EOF\n"
    return out + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode("ascii")


def test_pdf_pages_are_mended(tmp_path: Path) -> None:
    pytest.importorskip("pypdf")
    pdf = make_pdf([["苏州工业", "苏州很发达。园区吸纳超150家企业协同参"], ["与中心建设，成功招引5家企业。"]])
    document = load_bytes(tmp_path, "苏州工业.pdf", pdf)
    assert document.title == "苏州工业"
    assert document.text == "苏州工业\n苏州很发达。园区吸纳超150家企业协同参与中心建设，成功招引5家企业。"


# Failures


def problem(folder: Path, name: str, content: bytes) -> str:
    with pytest.raises(CorpusError) as caught:
        load_bytes(folder, name, content)
    (line,) = caught.value.problems
    assert line.startswith(f"{name}: ")
    return line


def test_failures_name_what_was_found(tmp_path: Path) -> None:
    assert "empty file" in problem(tmp_path, "a.txt", b"")
    assert "no text in this file" in problem(tmp_path, "a.txt", " \n\t\ufeff\n".encode())
    assert "no text in this file" in problem(tmp_path, "a.html", b"<script>x</script>")
    assert ".xlsx" in problem(tmp_path, "a.xlsx", b"x")
    assert "无扩展名" in problem(tmp_path, "a", b"x")
    assert "PDF" in problem(tmp_path, "a.txt", b"%PDF-1.4\n")
    assert "ZIP" in problem(tmp_path, "a.md", b"PK\x03\x04")
    assert "二进制" in problem(tmp_path, "a.txt", bytes(range(256)) * 8)
    assert "第 78 字节" in problem(tmp_path, "a.txt", SHORT.encode() + b"\xff" + SHORT.encode())
    assert "utf-8" in problem(tmp_path, "a.txt", b"\xef\xbb\xbf\xff\xff")


def test_damaged_and_encrypted_files(tmp_path: Path) -> None:
    pypdf = pytest.importorskip("pypdf")
    pytest.importorskip("docx")
    assert "damaged PDF" in problem(tmp_path, "a.pdf", b"%PDF-1.4\nnothing")
    assert "damaged PDF" in problem(tmp_path, "b.pdf", zlib.compress(b"x" * 1000))
    assert "damaged DOCX" in problem(tmp_path, "a.docx", b"not a package")
    assert "encrypted or old" in problem(tmp_path, "b.docx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(make_pdf([["苏州"]])))
    writer.encrypt("secret", algorithm="RC4-128")
    encrypted = io.BytesIO()
    writer.write(encrypted)
    assert "encrypted PDF" in problem(tmp_path, "c.pdf", encrypted.getvalue())
    assert "a scan?" in problem(tmp_path, "d.pdf", make_pdf([[]]))


@pytest.mark.parametrize(("name", "module"), [("a.pdf", "pypdf"), ("a.docx", "docx")])
def test_missing_extra_is_named(name: str, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    assert "szqa[files]" in problem(tmp_path, name, b"x")


def test_all_failures_are_listed_at_once(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text(SHORT, "utf-8")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "table.csv").write_text("a,b")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "picture.md").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(CorpusError) as caught:
        load_corpus(tmp_path)
    assert [line.split(":")[0] for line in caught.value.problems] == ["empty.txt", "sub/picture.md", "table.csv"]


def test_missing_and_empty_folders(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("x")
    for folder, found in (
        (tmp_path, "没有文档"),
        (tmp_path / "nowhere", "不存在"),
        (tmp_path / "README.md", "不是文件夹"),
    ):
        with pytest.raises(CorpusError, match=found):
            load_corpus(folder)
    with pytest.raises(CorpusError):
        find_sources(tmp_path / "nowhere")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("x")
    path.chmod(0)
    with pytest.raises(CorpusError, match="无法读取"):
        load_corpus(tmp_path)


def test_sources_are_sorted_and_exclude_what_is_no_document(tmp_path: Path) -> None:
    for name in (
        "b.txt",
        "a.md",
        "README.md",
        "userdict.txt",
        ".hidden.txt",
        "~$a.docx",
        "sub/README.md",
        ".git/x.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"{name}里的文字。", "utf-8")
    names = ["a.md", "b.txt", "sub/README.md"]
    assert [path.relative_to(tmp_path).as_posix() for path in find_sources(tmp_path)] == names
    assert [document.source for document in load_corpus(tmp_path)] == names


def test_links_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    folder, outside = tmp_path / "corpus", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret.txt").write_text("秘密。", "utf-8")
    (folder / "a.txt").write_text("公开。", "utf-8")
    (folder / "alias.txt").symlink_to(folder / "a.txt")
    (folder / "loop").symlink_to(folder)
    assert [document.source for document in load_corpus(folder)] == ["a.txt", "alias.txt"]
    (folder / "file.txt").symlink_to(outside / "secret.txt")
    (folder / "tree").symlink_to(outside)
    (folder / "broken.txt").symlink_to(folder / "nothing.txt")
    assert [path.name for path in find_sources(folder)] == ["a.txt", "alias.txt"]
    with pytest.raises(CorpusError) as caught:
        load_corpus(folder)
    assert [line.split(":")[0] for line in caught.value.problems] == ["broken.txt", "file.txt", "tree"]


def test_source_path_is_nfc(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "café.txt")
    assert load_bytes(tmp_path, name, SHORT.encode()).source == "café.txt"


def test_names_that_differ_in_unicode_form_only_are_a_problem(tmp_path: Path) -> None:
    for form in ("NFC", "NFD"):
        (tmp_path / unicodedata.normalize(form, "café.txt")).write_text(SHORT, "utf-8")
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("the file system normalises names")
    with pytest.raises(CorpusError, match="同名"):
        load_corpus(tmp_path)
