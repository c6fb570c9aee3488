import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import szqa.reader
from szqa.datatypes import Hit, Passage, Span
from szqa.errors import ConfigurationError
from szqa.ranker import TermWeights
from szqa.reader import CALIBRATION_COLUMNS, Calibration, SpanReader, load_reader, ranker_reader
from szqa.text import Segmenter, split_sentences

MODEL = Path(szqa.reader.__file__).parent / "models" / "ranker"
TEXT = (
    "数实融合加快发展，为新型工业化提供智慧支撑。2024年，苏州33家企业获评江苏省省级智能工厂、224家企业获评省级智能车间、"
    "1家企业获评江苏省“智改数转网联”标杆企业；累计帮助2万家中小企业完成数字化能力评估。"
)
OTHER = "新能源汽车产业蓬勃发展。2024年1—11月，苏州新增注册登记新能源汽车20.9万辆，同比增长43.8%，渗透率达45.3%。"


def make_hits(*texts: str) -> list[Hit]:
    passages = [
        Passage(f"d:{i}", "d", "苏州", (), text, i * 1000, i * 1000 + len(text)) for i, text in enumerate(texts)
    ]
    return [Hit(passage, 5.0 - i, i + 1, lexical_score=5.0 - i) for i, passage in enumerate(passages)]


@pytest.fixture(scope="module")
def reader(segmenter: Segmenter) -> SpanReader:
    return ranker_reader(segmenter)


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("有多少家企业获评江苏省省级智能工厂", "33家"),
        ("苏州新增注册登记新能源汽车多少辆", "20.9万辆"),
        ("新能源汽车渗透率达到多少", "45.3%"),
    ],
)
def test_read_answers_questions_on_reports(reader: SpanReader, question: str, answer: str) -> None:
    best = reader.read(question, make_hits(TEXT, OTHER))[0]
    assert best.text == answer
    assert best.score > 0.5


@pytest.mark.parametrize("question", ["有多少家企业获评省级智能车间", "新能源汽车渗透率", "帮助了多少家企业"])
def test_the_span_most_likely_right_comes_first(reader: SpanReader, question: str) -> None:
    weighed = reader.weigh(question, make_hits(TEXT, OTHER))
    log_odds = reader.evidence(weighed)[:, CALIBRATION_COLUMNS.index("span_log_odds")]
    assert len(log_odds) > 3
    assert (np.diff(log_odds) <= 0).all()
    assert [span.start for span in reader.read(question, make_hits(TEXT, OTHER))][:3] == [
        start for _, start, _ in weighed.spans[:3]
    ]


def test_a_question_answered_scores_higher_than_one_of_another_year(reader: SpanReader) -> None:
    hits = make_hits(TEXT, OTHER)
    answered = reader.read("2024年有多少家企业获评江苏省省级智能工厂", hits)[0]
    other_year = reader.read("2021年有多少家企业获评江苏省省级智能工厂", hits)[0]
    assert answered.score > max(reader.threshold, other_year.score)


def test_read_gives_sentences_too_and_no_span_twice(reader: SpanReader) -> None:
    spans = reader.read("有多少家企业获评省级智能车间", make_hits(TEXT))
    assert len(spans) <= 10
    assert len({(span.start, span.end) for span in spans}) == len(spans)
    sentences = {TEXT[a:b] for a, b in split_sentences(TEXT)}
    assert sentences & {span.text for span in spans}


def test_read_is_deterministic(reader: SpanReader, segmenter: Segmenter) -> None:
    hits = make_hits(TEXT, OTHER)
    assert reader.read("渗透率是多少", hits) == ranker_reader(segmenter).read("渗透率是多少", hits)


@pytest.mark.parametrize("texts", [(), ("",), ("，。！",), ("\n\n",), ("a",)])
@pytest.mark.parametrize("question", ["", "多少", "？？", "有多少家企业"])
def test_read_bears_empty_and_odd_input(reader: SpanReader, question: str, texts: tuple[str, ...]) -> None:
    assert all(span.text for span in reader.read(question, make_hits(*texts)))


@settings(max_examples=40)
@given(st.text(max_size=30), st.text(alphabet="苏州33家企业,，、。；《》“”(\n2024年%abc ", max_size=80))
def test_spans_lie_in_their_passages_with_scores_that_are_probabilities(question: str, text: str) -> None:
    reader = ranker_reader(SEGMENTER)
    for span in reader.read(question, make_hits(text)):
        assert 0 <= span.score <= 1
        assert span.text == text[span.start : span.end]


SEGMENTER = Segmenter()


def test_load_reader_knows_its_readers(segmenter: Segmenter) -> None:
    assert load_reader(None, segmenter).reader_id.startswith("combined ")
    assert load_reader("ranker", segmenter).reader_id.startswith("ranker ")
    with pytest.raises(
        ConfigurationError, match="没有名为 no-such-folder 的阅读器：既不是 combined、ranker，也不是能加载的"
    ):
        load_reader("no-such-folder", segmenter)


def test_a_model_without_a_file_is_refused(tmp_path: Path, segmenter: Segmenter) -> None:
    shutil.copytree(MODEL, tmp_path / "ranker")
    (tmp_path / "ranker" / "cues.json").unlink()
    with pytest.raises(ConfigurationError, match=r"缺少 cues\.json，请运行 szqa train ranker"):
        ranker_reader(segmenter, tmp_path / "ranker")


def test_a_model_of_other_columns_is_refused(tmp_path: Path, segmenter: Segmenter) -> None:
    shutil.copytree(MODEL, tmp_path / "ranker")
    config = json.loads((tmp_path / "ranker" / "config.json").read_text("utf-8"))
    config["columns"] = config["columns"][1:]
    (tmp_path / "ranker" / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ConfigurationError, match="trained with other columns"):
        ranker_reader(segmenter, tmp_path / "ranker")


def test_term_weights_survive_saving(tmp_path: Path) -> None:
    weights = TermWeights({"苏州": 50, "企业": 900}, 1000)
    weights.save(tmp_path / "weights.npz")
    loaded = TermWeights.load(tmp_path / "weights.npz")
    assert [loaded(piece) for piece in ("苏州", "企业", "未见", "5g")] == [
        weights(p) for p in ("苏州", "企业", "未见", "5g")
    ]
    assert loaded("未见") > loaded("苏州") > loaded("企业") > 0


def test_spans_come_first_then_the_sentence_of_the_best_one() -> None:
    passage = make_hits(TEXT)[0].passage
    span, sentence, other = Span(passage, 2, 4, 0.2), Span(passage, 0, 22, 0.6), Span(passage, 22, 30, 0.7)
    assert szqa.reader._order([span], [other, sentence]) == [span, sentence, other]


def test_evidence_tells_a_span_of_another_kind_than_asked_for(reader: SpanReader) -> None:
    hits = make_hits(TEXT, OTHER)
    weighed = reader.weigh("新能源汽车渗透率达到百分之多少", hits)
    evidence = dict(zip(CALIBRATION_COLUMNS, reader.evidence(weighed).T, strict=True))
    percent = np.array(["%" in hits[hit].passage.text[start:end] for hit, start, end in weighed.spans])
    assert percent.any()
    assert not percent.all()
    assert evidence["asks_percent"].all()
    assert not evidence["asks_money"].any()
    assert (evidence["not_percent"] == ~percent).all()
    assert not evidence["not_money"].any()


@pytest.mark.parametrize("name", ["combined", "ranker"])
def test_a_reader_that_answers_everything_gives_its_best_span(name: str, segmenter: Segmenter) -> None:
    hits = make_hits(TEXT, OTHER)
    question = "苏州的市长什么时候说过企业很好"
    spans = load_reader(name, segmenter, threshold=0.0).read(question, hits)
    sentences = {text[a:b] for text in (TEXT, OTHER) for a, b in split_sentences(text)}
    assert spans[0].text not in sentences
    assert load_reader(name, segmenter, threshold=0.25).threshold == 0.25


def test_calibration_is_a_weighted_sum_and_survives_saving(tmp_path: Path) -> None:
    calibration = Calibration({"margin": 2.0, "span_log_odds": 0.5}, -1.0, 0.4)
    evidence = np.zeros((2, len(CALIBRATION_COLUMNS)), dtype=np.float32)
    evidence[1, CALIBRATION_COLUMNS.index("margin")] = 3.0
    evidence[1, CALIBRATION_COLUMNS.index("span_log_odds")] = 4.0
    calibration.save(tmp_path / "calibration.json")
    assert Calibration.load(tmp_path / "calibration.json")(evidence).tolist() == [-1.0, 7.0]
