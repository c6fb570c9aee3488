"""Training of the neural reader at toy size: it learns, resumes, repeats itself, and exports what it learned."""

import json
import lzma
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

from szqa.errors import ConfigurationError
from szqa.neural import Pair, Scorer, Vocabulary, onnx_scorer, score_pairs
from szqa.text import Segmenter
from szqa.training.loading import drawn_ahead
from szqa.training.network import PRESETS, Preset, build_network, load_weights, plain_network, torch_scorer
from szqa.training.question_sets import REPORTS
from szqa.training.questions import Example
from szqa.training.reader import STAGES, Stage, evaluate_reading, train, train_reader
from szqa.training.reader_data import Batch, Examples, Source, draw_batches, encode_examples
from szqa.training.reader_export import export
from szqa.training.reader_prepare import SOURCES, TEXT_WEIGHTS, near_misses, prepare, read_paragraphs

TINY = Preset(layers=1, hidden=16, heads=2, intermediate=32, batch_chars=300, learning_rate=0.02, decay=0.9)
TINY_STAGES = (
    Stage("first", (("real", 1.0, 0.0),), steps=6, sizes=(24, 40), warm_up=2),
    Stage("second", (("real", 1.0, 0.2), ("none", 0.3, 0.0)), steps=6, sizes=(40,), cool_down=0.5),
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Toy matrices are slower on two threads than on one."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _examples() -> list[Example]:
    made = []
    for number in range(10, 40):
        context = f"第一区新增企业{number}家，发展很好。第二区新增学校{number + 7}所，绿树成荫，环境优美，交通便利。"
        made.append(Example("第一区新增企业多少家？", context, 7, 10))
        start = context.index("学校") + 2
        made.append(Example("第二区新增学校多少所？", context, start, start + 3))
    return made


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory, segmenter: Segmenter) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    examples = _examples()
    vocabulary = Vocabulary.of((e.context + e.question for e in examples), min_count=1, max_size=100)
    vocabulary.save(folder)
    none = [Example("第三区新增医院多少家？", e.context, -1, -1) for e in examples[:10]]
    for name, chosen in (("real", examples), ("trial", examples), ("none", none)):
        encode_examples(chosen, segmenter=segmenter, vocabulary=vocabulary).save(folder / f"{name}.npz")
    return folder


def _draw(prepared: Path, *, first_step: int = 0, steps: int = 5, elsewhere: float = 0.0) -> list[Batch]:
    examples, vocabulary = Examples.load(prepared / "real.npz"), Vocabulary.load(prepared)
    return list(
        draw_batches(
            [Source(examples, 1.0, elsewhere)], vocabulary, seed=4, steps=steps, first_step=first_step,
            batch_chars=400, sizes=(20, 30), unknown_rate=0.1,
        )
    )  # fmt: skip


def _text(batch: Batch, row: int, vocabulary: Vocabulary) -> str:
    return "".join(vocabulary.tokens[i] for i in batch.input_ids[row, batch.starts[row] : batch.ends[row] + 1])


def test_saved_examples_come_back(prepared: Path, segmenter: Segmenter) -> None:
    vocabulary = Vocabulary.load(prepared)
    fresh = encode_examples(_examples(), segmenter=segmenter, vocabulary=vocabulary)
    loaded = Examples.load(prepared / "real.npz")
    assert len(loaded) == 60
    assert loaded.starts.tolist() == [e.start for e in _examples()]
    for index in (0, 1, 59):
        one, other = fresh.pair(index), loaded.pair(index)
        assert one.question_ids.tolist() == other.question_ids.tolist()
        assert one.context_types.tolist() == other.context_types.tolist()
        assert other.context_ids.tolist() == vocabulary.encode(_examples()[index].context.replace("，", ",")).tolist()


def test_crops_hold_their_answers(prepared: Path) -> None:
    vocabulary = Vocabulary.load(prepared)
    for batch in _draw(prepared):
        assert batch.allowed[:, 0].all()
        for row in range(len(batch.starts)):
            answer = _text(batch, row, vocabulary).replace("[UNK]", "1")
            assert len(answer) == 3
            assert answer[:2].isdigit()
            assert batch.allowed[row, batch.starts[row] : batch.ends[row] + 1].all()


def test_crops_beside_the_answer_have_none(prepared: Path) -> None:
    batches = _draw(prepared, elsewhere=1.0)
    starts = np.concatenate([batch.starts for batch in batches])
    assert (starts == 0).mean() > 0.9


def test_batches_go_on_where_they_stopped(prepared: Path) -> None:
    whole, rest = _draw(prepared), _draw(prepared, first_step=3)
    assert len(rest) == 2
    for one, other in zip(whole[3:], rest, strict=True):
        for left, right in zip(one, other, strict=True):
            assert np.array_equal(left, right)


def test_parts_are_the_whole(prepared: Path) -> None:
    examples, vocabulary = Examples.load(prepared / "real.npz"), Vocabulary.load(prepared)

    def draw(part: tuple[int, int]) -> Iterator[Batch]:
        return draw_batches(
            [Source(examples, 1.0)], vocabulary, seed=4, steps=5, first_step=1, batch_chars=200, sizes=(20,), part=part
        )

    whole = list(draw((0, 1)))
    assert len(whole) == 4
    for one, other in zip(whole, drawn_ahead(draw, 2), strict=True):
        assert np.array_equal(one.input_ids, other.input_ids)


def test_joined_examples_are_the_same(segmenter: Segmenter) -> None:
    vocabulary = Vocabulary.of((e.context + e.question for e in _examples()), min_count=1, max_size=100)
    whole, first, rest = (
        encode_examples(some, segmenter=segmenter, vocabulary=vocabulary)
        for some in (_examples(), _examples()[:7], _examples()[7:])
    )
    joined = Examples.joined([first, rest])
    assert joined.starts.tolist() == whole.starts.tolist()
    for index in (0, 6, 7, 59):
        assert joined.pair(index).context_types.tolist() == whole.pair(index).context_types.tolist()
        assert joined.pair(index).question_ids.tolist() == whole.pair(index).question_ids.tolist()


def test_learning_rate_of_a_stage() -> None:
    stage = Stage("s", (), steps=100, sizes=(10,), warm_up=10, cool_down=0.5, peak=2.0)
    assert stage.learning_rate(0) == pytest.approx(0.2)
    assert stage.learning_rate(9) == stage.learning_rate(50) == 2.0
    assert stage.learning_rate(75) == pytest.approx(1.0)
    assert stage.learning_rate(99) == pytest.approx(0.04)


def test_interrupted_training_ends_the_same(prepared: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    whole = load_file(train(prepared, tmp_path / "whole", preset=TINY, stages=TINY_STAGES, tune_limit=2))
    train(prepared, tmp_path / "parts", preset=TINY, stages=TINY_STAGES[:1], tune_limit=2)
    parts = load_file(train(prepared, tmp_path / "parts", preset=TINY, stages=TINY_STAGES, tune_limit=2))
    assert whole.keys() == parts.keys()
    for name, tensor in whole.items():
        np.testing.assert_allclose(parts[name], tensor, atol=1e-3, err_msg=name)
    lines = [json.loads(line) for line in (tmp_path / "parts" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [(line["stage"], line["step"]) for line in lines] == [("first", 6), ("second", 6)]


def test_training_learns_and_exports(prepared: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForQuestionAnswering

    stage = Stage("only", (("real", 1.0, 0.0),), steps=100, sizes=(40,), warm_up=10, cool_down=0.3)
    weights = train(prepared, tmp_path / "run", preset=TINY, stages=[stage], tune_limit=2)
    vocabulary, examples = Vocabulary.load(prepared), Examples.load(prepared / "real.npz")
    trained, untrained = build_network(TINY, vocabulary), build_network(TINY, vocabulary)
    load_weights(trained, weights)
    before = evaluate_reading(torch_scorer(untrained), examples, vocabulary, limit=20)
    after = evaluate_reading(torch_scorer(trained), examples, vocabulary, limit=20)
    assert after.overlap > max(0.8, before.overlap + 0.2)

    export(prepared, weights, tmp_path / "model", preset=TINY)
    pairs = [examples.pair(index) for index in range(6)]
    loaded = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "model", local_files_only=True).float()
    exact = _scores(torch_scorer(loaded, half=False), pairs, vocabulary)
    # ONNX Runtime and torch add up float32 in different orders; int8 rounds weights and activations to 1/127.
    assert _scores(onnx_scorer(tmp_path / "model" / "model.onnx"), pairs, vocabulary) == pytest.approx(exact, abs=1e-3)
    rounded = _scores(onnx_scorer(tmp_path / "model" / "model_int8.onnx"), pairs, vocabulary)
    assert np.corrcoef(rounded, exact)[0, 1] > 0.99
    assert not list((tmp_path / "model").glob("*.bin"))


def _scores(scorer: Scorer, pairs: list[Pair], vocabulary: Vocabulary) -> list[float]:
    return [float(x) for scores in score_pairs(scorer, pairs, vocabulary) for x in (*scores.starts, *scores.ends)]


def test_plain_network_answers_alike(prepared: Path) -> None:
    vocabulary, examples = Vocabulary.load(prepared), Examples.load(prepared / "real.npz")
    network = build_network(TINY, vocabulary)
    pairs = [examples.pair(3)]
    factored = _scores(torch_scorer(network), pairs, vocabulary)
    assert _scores(torch_scorer(plain_network(network)), pairs, vocabulary) == factored


def test_presets_have_the_sizes_promised() -> None:
    vocabulary = Vocabulary([chr(0x4E00 + i) for i in range(5000)])
    small, large = (
        sum(parameter.numel() for parameter in build_network(PRESETS[name], vocabulary).parameters()) / 1e6
        for name in ("small", "large")
    )
    assert 2 < small < 6
    assert 5 < large < 7


def test_near_misses_do_not_hold_the_answer() -> None:
    examples = [
        Example("苏州的园区有多少家企业？", "苏州的园区有33家企业。", 6, 9),
        Example("苏州的园区有多少人？", "苏州的园区有五万人。", 6, 9),
        Example("无锡的面积是多少？", "无锡的面积是四千平方公里。", 6, 12),
    ]
    misses = near_misses(examples, rng=Random(1), depth=2)  # noqa: S311 - no secret depends on it
    assert misses[0] == Example(examples[0].question, examples[1].context, -1, -1)
    assert misses[1] == Example(examples[1].question, examples[0].context, -1, -1)


def _write_data(folder: Path) -> None:
    (folder / "mrc").mkdir(parents=True)
    (folder / "text").mkdir()
    rows = [
        {
            "question": e.question,
            "context": e.context,
            "answers": [{"text": e.answer, "start": e.start}],
            "is_impossible": False,
        }
        for e in _examples()[:8]
    ]
    for name in ("cmrc2018_train", "cmrc2018_trial", "drcd_dev_simplified"):
        with lzma.open(folder / f"mrc/{name}.jsonl.xz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    text = "\n\n".join(e.context for e in _examples()) + "\n"
    for name in {*TEXT_WEIGHTS, *REPORTS, *(source.name for source in SOURCES)}:
        with lzma.open(folder / f"text/{name}.txt.xz", "wt", encoding="utf-8") as file:
            file.write(text)


def test_the_whole_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_data(tmp_path / "data")
    stages = tuple(replace(stage, steps=2, sizes=(30,)) for stage in STAGES["large"])
    monkeypatch.setitem(STAGES, "large", stages)
    monkeypatch.setitem(PRESETS, "large", TINY)
    rows = []
    for number in range(5):
        name, found = f"gov_reports_2026/{2 * number}/0-1", _examples()[2 * number]
        rows.append({"text": name, "question": "新增企业几家", "answers": [found.answer], "quote": found.context[:10]})
        rows.append({"text": name, "question": "新增医院几家"})
    questions = tmp_path / "questions.jsonl"
    questions.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows), "utf-8")
    train_reader(
        tmp_path / "data",
        tmp_path / "model",
        work_dir=tmp_path / "work",
        questions=questions,
        preset_name="large",
        seed=2,
    )
    record = json.loads((tmp_path / "model" / "training.json").read_text("utf-8"))
    assert record["stages"] == [[stage.name, 2] for stage in STAGES["large"]]
    assert [name for name, _ in record["stages"]][-2:] == ["by_hand", "by_hand_again"]
    assert record["data"]["by_hand"]["examples"] == {"by_hand": 3, "by_hand_none": 3}
    assert record["command"] == "szqa train reader --preset large --seed 2"
    assert record["data"]["examples"]["trial"] == 8
    assert set(record["scores"]) == {"trial exact", "trial overlap", "drcd exact", "drcd overlap"}
    assert (tmp_path / "model" / "model_int8.onnx").exists()


def test_unknown_preset_and_stage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="没有名为 huge 的规模，可用的有：small、large"):
        train_reader(tmp_path, tmp_path, work_dir=tmp_path, preset_name="huge")
    with pytest.raises(ConfigurationError, match="没有名为 last 的阶段，可用的有：synthetic、real、again、by_hand"):
        train_reader(tmp_path, tmp_path, work_dir=tmp_path, last_stage="last")


def test_prepare_writes_every_set_alike(tmp_path: Path) -> None:
    _write_data(tmp_path / "data")
    counts = prepare(tmp_path / "data", tmp_path / "one", seed=5)
    assert counts == prepare(tmp_path / "data", tmp_path / "two", seed=5)
    assert counts["real"] == 8
    assert counts["synthetic"] >= 50
    for name, count in counts.items():
        assert len(Examples.load(tmp_path / "one" / f"{name}.npz")) == count
        assert (tmp_path / "one" / f"{name}.npz").read_bytes() == (tmp_path / "two" / f"{name}.npz").read_bytes()
    assert len(read_paragraphs(tmp_path / "data/text/laws.txt.xz", max_chars=600)) < 60
