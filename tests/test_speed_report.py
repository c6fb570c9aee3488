"""The benchmark of speed: growth exponents, the table and the plots from figures known beforehand, and the corpora."""

import json
import lzma
import math
import sys
from itertools import islice
from pathlib import Path
from xml.etree import ElementTree

import pytest
from side_by_side.corpus import Asked, documents, read_questions, write_corpus
from side_by_side.report import PLOTS, Figures, growth, plot, table
from side_by_side.steps import Conversation, StepError, run

# szqa grows with the square root of the passages, a peer in proportion; jieba only cuts.
FIGURES = [
    Figures("jieba", 1000, build_s=2.0),
    Figures("szqa", 1000, build_s=2.5, warm_ms=50.0, recall=0.98, recall_by_default=0.98),
    Figures("txtai", 1000, build_s=10.0, warm_ms=150.0, recall=0.9, recall_by_default=0.75),
    Figures("szqa", 100_000, build_s=25.0, warm_ms=50.0, recall=0.97, recall_by_default=0.97),
    Figures("txtai", 100_000, build_s=1000.0, left_out="ended after 900 s"),
]


def test_growth_is_the_slope_on_logarithmic_axes() -> None:
    assert growth(FIGURES, "szqa", "build_s") == pytest.approx(0.5)
    assert growth(FIGURES, "txtai", "build_s") == pytest.approx(1.0)
    assert growth(FIGURES, "szqa", "warm_ms") == pytest.approx(0.0, abs=1e-9)


def test_growth_needs_two_sizes() -> None:
    assert math.isnan(growth(FIGURES, "txtai", "warm_ms"))
    assert math.isnan(growth(FIGURES, "Haystack", "build_s"))


def test_the_table_has_ratios_to_szqa_and_says_what_is_missing() -> None:
    lines = table(FIGURES)
    assert len({line.count("|") for line in lines if line.startswith("|")}) == 1
    jieba, szqa, txtai = (line.split(" | ") for line in lines[2:5])
    assert jieba[:3] == ["| 1,000", "jieba", "2（0.8×）"]
    assert szqa[2] == "2.5"
    assert txtai[2] == "10（4×）"
    assert txtai[-1] == "0.900（0.750） |"
    assert lines[6].split(" | ")[2] == "1,000（40×）"
    assert "— |" in lines[6]
    assert lines[8].split(" | ")[:3] == ["| 增长", "szqa", "n^0.50"]
    assert lines[-1] == "txtai, 100,000: ended after 900 s"


@pytest.mark.parametrize("name", ["build_time", "latency"])
def test_a_plot_is_an_svg_document_with_a_curve_a_system(name: str) -> None:
    root = ElementTree.fromstring(plot(FIGURES, name))  # noqa: S314 - our own
    curves = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert len(curves) == {"build_time": 3, "latency": 2}[name]
    text = "".join(root.itertext())
    assert PLOTS[name].title in text
    assert "szqa  n^" in text


def test_a_plot_has_each_point_at_its_logarithm() -> None:
    figures = [Figures("szqa", 1000, build_s=10.0), Figures("szqa", 10_000, build_s=1.0)]
    root = ElementTree.fromstring(plot(figures, "build_time"))  # noqa: S314 - our own
    [curve] = root.findall(".//{http://www.w3.org/2000/svg}polyline")
    assert curve.get("points", "").split() == ["56.0,36.0", "476.0,300.0"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    with lzma.open(folder / "a.txt.xz", "wt", encoding="utf-8") as stream:
        stream.write("一\n二\n\n三\n四\n五\n\n")
    return folder


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    path = tmp_path / "questions.jsonl.xz"
    rows = [("甲是什么？", "甲段"), (" ", "甲段"), ("乙呢？", "乙段"), ("甲在哪里？", "甲段")]
    with lzma.open(path, "wt", encoding="utf-8") as stream:
        stream.writelines(json.dumps({"question": q, "context": c}) + "\n" for q, c in rows)
    return path


def test_documents_go_on_without_repeating_a_paragraph(text: Path) -> None:
    first = list(islice(documents(text), 2))
    assert sorted(map(sorted, first)) == [["一", "二"], ["三", "五", "四"]]
    dealt = [paragraph for document in islice(documents(text), 12) for paragraph in document]
    assert len(dealt) == len(set(dealt)) == 5 * 11
    assert dealt == [paragraph for document in islice(documents(text), 12) for paragraph in document]


def test_questions_know_the_file_of_their_paragraph(questions: Path) -> None:
    asked, contexts = read_questions(questions)
    assert contexts == {"own-0000.txt": "甲段", "own-0001.txt": "乙段"}
    assert set(asked) == {
        Asked("甲是什么？", "own-0000.txt"),
        Asked("甲在哪里？", "own-0000.txt"),
        Asked("乙呢？", "own-0001.txt"),
    }


def test_a_corpus_has_the_questions_paragraphs_and_the_text(text: Path, questions: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_corpus(text, questions, 4, folder)
    written = [path.read_text("utf-8").split("\n\n") for path in sorted(folder.iterdir())]
    assert written[:2] == [["甲段"], ["乙段"]]
    assert len([paragraph for document in written[2:] for paragraph in document]) == 3  # 2 passages of 1.45 paragraphs


def test_a_step_is_what_a_process_used(tmp_path: Path) -> None:
    step, output = run([sys.executable, "-c", "x = b'1' * 50_000_000; print(len(x))"], limit_s=60, memory_gb=4)
    assert output == "50000000\n"
    assert step.peak_mb > 50
    assert step.cpu_s > 0
    assert 0 < step.wall_s < 60


def test_a_step_that_fails_or_takes_too_long_says_so() -> None:
    with pytest.raises(StepError, match="exit status 1: no"):
        run([sys.executable, "-c", "raise SystemExit('no')"], limit_s=60, memory_gb=4)
    with pytest.raises(StepError, match="ended after 1 s"):
        run([sys.executable, "-c", "import time; time.sleep(60)"], limit_s=1, memory_gb=4)


def test_a_conversation_goes_line_by_line_and_ends() -> None:
    answers = (
        "import sys; print('{}', flush=True)\nfor line in sys.stdin: print('{\"heard\": %d}' % len(line), flush=True)"
    )
    talk = Conversation([sys.executable, "-c", answers], limit_s=60, memory_gb=4)
    assert talk.ask("问题")["heard"] == 3
    assert talk.finish().cpu_s > 0


def test_a_conversation_that_breaks_off_says_why() -> None:
    with pytest.raises(StepError, match="exit status 1: ValueError: broken"):
        Conversation([sys.executable, "-c", "raise ValueError('broken')"], limit_s=60, memory_gb=4)
