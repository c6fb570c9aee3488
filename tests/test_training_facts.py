import lzma
from pathlib import Path
from random import Random

import pytest

from szqa.text import Segmenter, fold, split_sentences
from szqa.training.fact_questions import ask_about, near_misses, reworded
from szqa.training.facts import Fact, facts_of
from szqa.training.question_sets import write_questions
from szqa.training.ranker_cases import split_cases

TEXT = (
    "2024年，33家企业获评江苏省省级智能工厂。全市规模以上工业增加值增长9.1%。获评国家级绿色工厂93家、绿色工业园区9家。"
    "苏州出台《制造业高质量发展行动计划》，推进转型。截至2024年底，全市新增国家重点软件企业12家。"
    "全市拥有苏州港、太仓港、张家港港等港口。"
)


def _seeded(seed: int) -> Random:
    return Random(seed)  # noqa: S311 (chooses words)


@pytest.fixture
def facts(segmenter: Segmenter) -> list[Fact]:
    return list(facts_of(TEXT, segmenter.tag(TEXT), split_sentences(TEXT)))


def test_facts_have_their_answers_in_the_text(facts: list[Fact]) -> None:
    found = [(fact.shape, fact.answer) for fact in facts]
    for expected in (
        ("leading", "33家"),
        ("growth", "9.1%"),
        ("trailing", "93家"),
        ("trailing", "9家"),
        ("title", "《制造业高质量发展行动计划》"),
        ("date", "2024年底"),
        ("trailing", "12家"),
        ("list", "苏州港、太仓港、张家港港"),
    ):
        assert expected in found
    assert [fact.answer for fact in facts] == [TEXT[fact.start : fact.end] for fact in facts]


def test_a_text_of_no_plain_fact_has_none(segmenter: Segmenter) -> None:
    text = "他们在那里生活得很好，大家都很高兴。"
    assert list(facts_of(text, segmenter.tag(text), split_sentences(text))) == []


def test_a_question_asks_for_the_fact_without_its_answer(facts: list[Fact]) -> None:
    by_answer = {fact.answer: fact for fact in facts}
    asked = [ask_about(by_answer["93家"], rng=_seeded(seed)) for seed in range(12)]
    assert all(question and "绿色工厂" in question and "93" not in question for question in asked)
    assert any("几家" in str(question) for question in asked)
    growth = [str(ask_about(by_answer["9.1%"], rng=_seeded(seed))) for seed in range(12)]
    assert all("规模以上工业增加值" in question and "9.1" not in question for question in growth)
    assert any("涨了多少" in question for question in growth)


def test_near_misses_ask_what_the_text_does_not_say(facts: list[Fact]) -> None:
    fact = next(fact for fact in facts if fact.answer == "93家")
    ways: dict[str, list[str]] = {}
    for seed in range(20):
        near = near_misses(fact, rng=_seeded(seed), place="苏州", other_places=["无锡", "太仓"], collection=fold(TEXT))
        for question, way in near:
            ways.setdefault(way, []).append(question)
    assert set(ways) == {"place", "year", "level", "detail"}
    assert all("无锡" in question and "苏州" not in question for question in ways["place"])
    assert all("2024" not in question and "年" in question for question in ways["year"])
    assert all("国家级" not in question for question in ways["level"])
    assert all("绿色工厂" in question for question in ways["detail"])


def test_reworded_questions_say_the_same_in_other_words(segmenter: Segmenter) -> None:
    question = "苏州累计获评绿色工厂多少家"
    assert reworded(question, segmenter, rng=_seeded(0), chance=0.0) == question
    other = reworded(question, segmenter, rng=_seeded(0), chance=1.0)
    assert "累计" not in other
    assert other.startswith("苏州")


def test_questions_about_reports_come_with_and_without_answers(tmp_path: Path, segmenter: Segmenter) -> None:
    (tmp_path / "text").mkdir()
    sentences = TEXT.split("。")[:-1]
    # Two reports of six paragraphs about two cities, in each of the three files.
    first = "\n".join(f"{sentence}。{'苏州工业园区持续发展，' * 6}完成目标。" for sentence in sentences)
    second = first.replace("苏州", "无锡").replace("2024", "2019").replace("绿色工厂", "未来车间")
    for name in ("gov_reports_2026", "gov_reports_2012_2021", "fuyao_news"):
        with lzma.open(tmp_path / "text" / f"{name}.txt.xz", "wt", encoding="utf-8") as file:
            file.write(f"{first}\n\n{second}\n")
    collections = write_questions(tmp_path, segmenter, seed=0, limit=None)
    assert [len(collection.passages) for collection in collections] == [6] * 6
    assert all(collection.written for collection in collections)
    asked = [asked for collection in collections for asked in collection.asked]
    assert {bool(one.answers) for one in asked} == {True, False}
    for collection in collections:
        for one in collection.asked:
            for start, end in one.answers:
                assert collection.passages[one.passage].text[start:end].strip()
    fit, held = split_cases(collections, segmenter, seed=0)
    assert fit
    assert held
    assert all(case.gold >= 0 for case in fit)
    assert {case.source for case in fit}.isdisjoint(case.source for case in held)
