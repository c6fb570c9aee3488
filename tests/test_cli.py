"""The command line as a user types it: output, JSON, exit status, and no traceback for whatever goes wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

TEXT = "苏州概况\n\n2024年，苏州33家企业获评江苏省省级智能工厂、224家企业获评省级智能车间。\n"


def szqa(*arguments: str, cwd: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from szqa.cli import main; main()", *arguments]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200"}
    return subprocess.run(command, cwd=cwd, input=stdin, capture_output=True, encoding="utf-8", env=environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the first corpus and its index, made with the shipped models."""
    folder = tmp_path_factory.mktemp("home")
    shutil.copytree(ROOT / "corpus", folder / "corpus")
    built = szqa("build", cwd=folder)
    assert built.returncode == 0, built.stderr
    assert "1 篇文档" in built.stderr
    return folder


def test_help_is_instant_and_names_the_commands(tmp_path: Path) -> None:
    done = szqa("--help", cwd=tmp_path)
    assert done.returncode == 0
    for command in ("build", "ask", "chat", "info", "train"):
        assert command in done.stdout
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import szqa.cli, sys; print([m for m in ('torch', 'faiss', 'jieba') if m in sys.modules])",
        ],
        capture_output=True,
        text=True,
    )
    assert loaded.stdout.strip() == "[]"


def test_ask_prints_answer_and_citation(home: Path) -> None:
    done = szqa("ask", "有多少家企业获评省级智能车间？", cwd=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].startswith("224家")
    assert "[1] " in done.stdout
    assert "打造一流现代工业体系" in done.stdout


def test_json_offsets_point_into_the_text(home: Path) -> None:
    done = szqa("ask", "有多少家企业获评省级智能车间？", "--json", cwd=home)
    answer = json.loads(done.stdout)
    citation = answer["citations"][0]
    text = szqa("info", "--text", citation["document_id"], cwd=home).stdout
    assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert text[citation["answer_start"] : citation["answer_end"]] == answer["answer"] == "224家"
    assert citation["headings"] == ["打造一流现代工业体系 激发新动能"]
    assert answer["passages"]
    assert 0 <= answer["score"] <= 1


def test_abstaining_is_not_an_error(home: Path) -> None:
    done = szqa("ask", "泰坦尼克号是哪年沉没的？", "--json", cwd=home)
    assert done.returncode == 0
    answer = json.loads(done.stdout)
    assert answer["answer"] is None
    assert answer["citations"] == []


def test_batch_prints_a_line_a_question(home: Path) -> None:
    questions = "有多少家企业获评省级智能车间？\n\n" + "苏" * 10_000 + "\n🙂🙂\n"
    done = szqa("ask", "--batch", "-", "--json", cwd=home, stdin=questions)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    assert [row["answer"] for row in rows] == ["224家", None, None]
    assert "10000" in rows[1]["error"]


def test_explain_shows_matched_words_and_scores(home: Path) -> None:
    done = szqa("ask", "有多少家企业获评省级智能车间？", "--explain", cwd=home)
    assert "命中词 matched" in done.stdout
    assert "车间" in done.stdout
    assert "BM25" in done.stdout


@pytest.mark.parametrize(
    "question",
    [
        "苏" * 10_000,
        "",
        "   ",
        "🙂🎉",
        "What is the GDP of Suzhou?",
        "苏州\x1b[31m有几家\x07",
        "<script>alert(1)</script>",
    ],
    ids=["long", "empty", "blank", "emoji", "english", "control", "html"],
)
def test_odd_questions_get_an_answer_or_a_clear_error(home: Path, question: str) -> None:
    done = szqa("ask", question, "--json", cwd=home)
    assert "Traceback" not in done.stderr
    if done.returncode == 0:
        answer = json.loads(done.stdout)
        assert (answer["answer"] is None) == (answer["citations"] == [])
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("错误: ")


def test_chat_reads_until_the_end(home: Path) -> None:
    done = szqa("chat", cwd=home, stdin="有多少家企业获评省级智能车间？\n\n")
    assert done.returncode == 0, done.stderr
    assert "224家" in done.stdout
    assert "空" in done.stderr


def test_info(home: Path) -> None:
    done = szqa("info", "--json", cwd=home)
    row = json.loads(done.stdout)
    assert row["documents"][0]["title"] == "苏州：砥砺前行再出发 昂扬向新行"
    assert row["passages"] > 20
    unknown = szqa("info", "--text", "nothing", cwd=home)
    assert unknown.returncode == 1
    assert "szqa info" in unknown.stderr


def test_no_index_says_what_to_do(tmp_path: Path) -> None:
    done = szqa("ask", "苏州？", cwd=tmp_path)
    assert done.returncode == 1
    assert "szqa build" in done.stderr
    assert "Traceback" not in done.stderr


def test_wrong_usage_is_exit_status_two(tmp_path: Path) -> None:
    assert szqa("ask", cwd=tmp_path).returncode == 2
    assert szqa("ask", "x", "--top-k", "0", cwd=tmp_path).returncode == 2
    assert szqa("nothing", cwd=tmp_path).returncode == 2


def test_bad_corpus_leaves_the_old_index_whole(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "index", tmp_path / "index")
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "a.txt").write_bytes(b"")
    (tmp_path / "corpus" / "b.xyz").write_text("x")
    done = szqa("build", cwd=tmp_path)
    assert done.returncode == 1
    assert "a.txt" in done.stderr
    assert "b.xyz" in done.stderr
    assert szqa("ask", "有多少家企业获评省级智能车间？", cwd=tmp_path).stdout.startswith("224家")


def test_unreadable_files_are_left_out_on_request(home: Path, tmp_path: Path) -> None:
    shutil.copytree(home / "corpus", tmp_path / "corpus")
    (tmp_path / "corpus" / "a\nb.txt").write_text("文字。", "utf-8")
    (tmp_path / "corpus" / "large.txt").write_bytes(b"x" * 2**20)
    done = szqa("build", "--skip-unreadable", "--max-file-mb", "0.5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    skipped = [line for line in done.stderr.splitlines() if line.startswith("跳过 (skipped)")]
    assert skipped[0].startswith(r"跳过 (skipped) a\nb.txt: 文件名含控制字符")
    assert skipped[1].startswith("跳过 (skipped) large.txt: 文件有 1.0 MiB，上限 0.5 MiB")
    assert "1 篇文档" in done.stderr
    assert "已是最新" in szqa("build", "--if-stale", cwd=tmp_path).stderr


def test_build_if_stale(home: Path) -> None:
    before = (home / "index" / "manifest.json").read_bytes()
    done = szqa("build", "--if-stale", cwd=home)
    assert "已是最新" in done.stderr
    assert (home / "index" / "manifest.json").read_bytes() == before
    with (home / "corpus" / "userdict.txt").open("a", encoding="utf-8") as stream:
        stream.write("\n新词一个 10 n\n")
    assert "userdict.txt" in szqa("build", "--if-stale", cwd=home).stderr
    assert (home / "index" / "manifest.json").read_bytes() != before


def test_an_index_of_another_embedder_is_refused(home: Path) -> None:
    from szqa import Assistant, IndexFormatError

    with pytest.raises(IndexFormatError, match="--embedder some/model"):
        Assistant.load(home / "index", embedder="some/model")


def test_a_build_that_finds_another_running_says_so(home: Path) -> None:
    from szqa.generations import build_lock

    with build_lock(home / "index", wait_s=0):
        done = szqa("build", "--wait", "0", cwd=home)
        waited = szqa("build", "--wait", "0.2", cwd=home)
    assert (done.returncode, waited.returncode) == (1, 1)
    assert done.stderr.startswith("错误: index: 另一个构建正在进行")
    assert "最多等待 0.2 秒" in waited.stderr
