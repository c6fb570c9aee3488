import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from szqa.alignment import COLUMNS, Context, Forms, Term, Wanted, coverage, describe, extract_terms, pieces
from szqa.candidates import SPAN_COLUMNS, Sentence, propose, propose_all
from szqa.cues import CUE_COLUMNS, CueCounts, Cues
from szqa.question import Question, analyse, levels
from szqa.synonyms import SYNONYMS
from szqa.text import Segmenter, fold

FACTORIES = "2024年，苏州33家企业获评江苏省省级智能工厂、224家企业获评省级智能车间。"


@pytest.mark.parametrize(
    ("question", "kind", "word", "unit"),
    [
        ("2024年苏州规上工业总产值是多少？", "money", "多少", ""),
        ("苏州有几家企业进了世界500强", "count", "几家", "家"),
        ("省级智能车间有多少家", "count", "多少家", "家"),
        ("新能源汽车渗透率", "percent", "", "%"),
        ("规上工业增加值涨了多少", "percent", "多少", "%"),
        ("苏州新增国家重点软件企业数量", "count", "", ""),
        ("公共领域新增充电桩多少根", "count", "多少根", "根"),
        ("完成投资多少亿元", "money", "多少亿元", "亿元"),
        ("哪个区的光纤光缆产业集群入选", "place", "哪个区", ""),
        ("谁主持了会议", "person", "谁", ""),
        ("他是哪一年出生的", "date", "哪一年", ""),
        ("苏州为什么发展工业软件", "reason", "为什么", ""),
        ("设专精特新企业之家图个什么", "reason", "图个什么", ""),
        ("出台这份意见是为了什么？", "reason", "为了什么", ""),
        ("这种鱼又称为什么", "thing", "什么", ""),
        ("出台了哪份文件", "title", "哪份文件", ""),
        ("企业如何转型", "manner", "如何", ""),
    ],
)
def test_analyse_tells_what_is_asked(question: str, kind: str, word: str, unit: str) -> None:
    asked = analyse(fold(question))
    assert (asked.kind, asked.text[asked.start : asked.end], asked.unit) == (kind, word, unit)


def test_analyse_collects_what_must_hold() -> None:
    asked = analyse(fold("2023年有3家省级智能工厂吗"))
    assert [set(found) for found in (asked.years, asked.numbers, asked.levels)] == [{"2023"}, {"3"}, {"省级"}]


@pytest.mark.parametrize(
    ("said", "level"), [("省里认的", "省级"), ("国家一级的", "国家级"), ("市级", "市级"), ("全省", "全省")]
)
def test_levels_have_one_name(said: str, level: str) -> None:
    assert levels(said) == {level}


def test_analyse_names_the_noun_asked_for() -> None:
    assert analyse("哪个区的集群入选").head == "区"
    assert analyse("他毕业于什么大学").head == "大学"


@given(st.text(max_size=60))
def test_analyse_keeps_the_parts_in_order(text: str) -> None:
    asked = analyse(fold(text))
    assert asked.text.startswith(asked.left)
    assert 0 <= asked.start <= asked.end <= len(text)


def candidate_texts(text: str, segmenter: Segmenter) -> set[str]:
    folded = fold(text)
    sentence = propose(folded, segmenter.tag(folded))
    return {folded[a:b] for a, b in zip(sentence.starts, sentence.ends, strict=True)}


@pytest.mark.parametrize(
    ("text", "answers"),
    [
        (FACTORIES, ["2024年", "33家", "224家", "省级智能车间", "33家企业"]),
        ("渗透率达45.3%，新增20.9万辆。", ["45.3%", "20.9万辆"]),
        ("出台《苏州市创新领军企业实施意见》。", ["《苏州市创新领军企业实施意见》"]),
        ("新增高端科技仪器、大飞机、特钢材料3个集群。", ["高端科技仪器、大飞机、特钢材料"]),
        ("规模以上工业总产值达5万亿元。", ["5万亿元"]),
    ],
)
def test_propose_finds_answers_whole(text: str, answers: list[str], segmenter: Segmenter) -> None:
    assert set(answers) <= candidate_texts(text, segmenter)


def test_propose_never_splits_numbers_or_brackets(segmenter: Segmenter) -> None:
    texts = candidate_texts("产值4.68万亿元（含“苏州智造”）。", segmenter)
    assert not [text for text in texts if text.startswith(("68", ".")) or text.endswith("4.6")]
    assert all(text.count("(") == text.count(")") and text.count("“") == text.count("”") for text in texts)


@given(st.text(alphabet="苏州有33家企业,、。《》“”()2024年%a ", max_size=40))
def test_propose_keeps_inside_the_sentence(text: str) -> None:
    tokens = [(character, place, place + 1, "n") for place, character in enumerate(text)]
    sentence = propose(text, tokens)
    assert np.all(sentence.starts < sentence.ends)
    assert np.all((sentence.starts >= 0) & (sentence.ends <= len(text)))
    assert sentence.features.shape == (len(sentence.starts), len(SPAN_COLUMNS))
    assert np.isfinite(sentence.features).all()


@given(st.lists(st.text(alphabet="苏州有33家企业,、。《》“”()2024年%a ", max_size=30), max_size=5))
def test_sentences_proposed_together_are_as_if_alone(texts: list[str]) -> None:
    tokens = [
        [(text[at : at + 2], at, min(at + 2, len(text)), "nrq"[at % 3]) for at in range(0, len(text), 2)]
        for text in texts
    ]
    together = propose_all(texts, tokens)
    assert len(together) == len(texts)
    for text, its, found in zip(texts, tokens, together, strict=True):
        alone = propose(text, its)
        assert (found.text, found.clauses, found.items) == (alone.text, alone.clauses, alone.items)
        assert np.array_equal(found.starts, alone.starts)
        assert np.array_equal(found.ends, alone.ends)
        assert np.array_equal(found.features, alone.features)


def test_clauses_and_items_are_cut_at_marks_but_not_in_numbers() -> None:
    sentence = propose("有1,234家、5家,共6家。", [])
    assert [sentence.text[a:b] for a, b in sentence.items] == ["有1,234家", "5家", "共6家"]
    assert [sentence.text[a:b] for a, b in sentence.clauses] == ["有1,234家、5家", "共6家"]


def described(question: str, text: str, segmenter: Segmenter) -> tuple[Sentence, np.ndarray]:
    folded = fold(text)
    sentence = propose(folded, segmenter.tag(folded))
    asked = analyse(fold(question))
    terms = extract_terms(asked, lambda _: 1.0)
    cover = share(terms, folded)
    context = Context(folded, "", 0, 1, 0.0, 1, 0, cover, cover, cover)
    return sentence, describe(Wanted(asked, terms), [sentence], [context])


def share(terms: list[Term], text: str) -> float:
    return coverage(terms, Forms.of([term.forms for term in terms]).held_by([text])[0].tolist())


def column(sentence: Sentence, features: np.ndarray, span: str, name: str) -> float:
    row = next(
        i for i, (a, b) in enumerate(zip(sentence.starts, sentence.ends, strict=True)) if sentence.text[a:b] == span
    )
    return float(features[row, COLUMNS.index(name)])


def test_describe_aligns_with_the_item_of_an_enumeration(segmenter: Segmenter) -> None:
    sentence, features = described("多少家企业获评省级智能车间", FACTORIES, segmenter)
    assert features.shape == (len(sentence.starts), len(COLUMNS))
    right, neighbour = (column(sentence, features, span, "item_right_after") for span in ("224家", "33家"))
    assert right > neighbour
    assert column(sentence, features, "224家", "match_after") == len("企业获评省级智能车间")


def test_an_item_that_repeats_the_question_is_told_from_its_neighbours(segmenter: Segmenter) -> None:
    sentence, features = described("多少家企业获评省级智能车间", FACTORIES, segmenter)
    assert column(sentence, features, "224家", "item_known") == 1
    assert column(sentence, features, "33家", "item_known") < 1
    assert column(sentence, features, "224家", "run_at_end") == len("企业获评省级智能车间")
    assert column(sentence, features, "224家", "item_aligned_gap") == 0
    assert column(sentence, features, "33家", "item_aligned_gap") < 0


def test_describe_bears_no_candidates() -> None:
    assert describe(Wanted(analyse("谁"), []), [], []).shape == (0, len(COLUMNS))


def test_a_pair_across_two_words_tells_less() -> None:
    asked = analyse("苏州企业有多少")
    plain, cut = (
        {term.forms[0]: term.weight for term in extract_terms(asked, lambda _: 1.0, breaks=breaks)}
        for breaks in ((), (2,))
    )
    assert cut["州企"] < plain["州企"]
    assert cut["苏州"] == plain["苏州"]


def test_describe_sees_contradictions(segmenter: Segmenter) -> None:
    sentence, features = described("2023年苏州有多少家市级智能车间", FACTORIES, segmenter)
    assert column(sentence, features, "224家", "year_conflict") == 1
    assert column(sentence, features, "224家", "level_conflict") == 1
    assert column(sentence, features, "224家", "year_state") == -3
    sentence, features = described("2024年苏州有多少家省级智能车间", FACTORIES, segmenter)
    assert column(sentence, features, "224家", "year_conflict") == -1
    assert column(sentence, features, "224家", "level_conflict") == -1
    assert column(sentence, features, "224家", "year_state") == 2


def test_describe_sees_unit_and_kind(segmenter: Segmenter) -> None:
    sentence, features = described("有多少家企业获评", FACTORIES, segmenter)
    assert column(sentence, features, "33家", "unit_state") == 3
    assert column(sentence, features, "省级智能车间", "unit_state") == 0
    assert column(sentence, features, "33家", "kind_match") == 1
    assert column(sentence, features, "省级智能车间", "kind_match") == 0


def between(intervals: Sequence[tuple[int, int]], place: int) -> tuple[int, int]:
    return next(((a, b) for a, b in intervals if a <= place <= b), (place, place))


def matched(test: Callable[[int], bool], length: int) -> int:
    """The largest number up to a length for which, as for all below it, a test holds."""
    return next((count for count in range(length) if not test(count + 1)), length)


def plain_overlap(wanted: Wanted, sentence: Sentence, start: int, end: int) -> dict[str, float]:
    """Columns of one candidate about the terms around it, as they are meant rather than as they are computed."""
    text, total = sentence.text, sum(term.weight for term in wanted.terms) or 1.0
    found: dict[str, float] = {}

    def weight(part: str, sides: tuple[bool, ...] = (True, False)) -> float:
        held = [t.weight for t in wanted.terms if t.left in sides and any(form in part for form in t.forms)]
        return sum(held) / total

    regions = {"sentence": ((0, len(text)),), "clause": sentence.clauses, "item": sentence.items}
    for name, intervals in regions.items():
        low, high = between(intervals, start)[0], between(intervals, end)[1]
        for side, left in (("left", True), ("right", False)):
            found[f"{name}_{side}_before"] = weight(text[low:start], (left,))
            found[f"{name}_{side}_after"] = weight(text[end:high], (left,))
        around = text[slice(*between(intervals, start))]
        if name != "sentence":
            others = [weight(text[a:b]) for a, b in intervals if not a <= start <= b]
            found[f"{name}_cover"] = weight(around)
            found[f"{name}_gap"] = weight(around) - max(others, default=0.0)
            found[f"noun_missing_{name}"] = sum(not any(form in around for form in forms) for forms in wanted.nouns)
    places = [(p, p + len(f)) for t in wanted.terms for f in t.forms for p in range(len(text)) if text.startswith(f, p)]
    known = {place for a, b in places for place in range(a, b)}
    found["inside_share"] = len(known & set(range(start, end))) / (end - start)
    found["distance_before"] = min([start - b for _, b in places if b <= start], default=99)
    found["distance_after"] = min([a - end for a, _ in places if a >= end], default=99)
    return found


def plain_demands(question: Question, text: str, start: int, end: int) -> dict[str, float]:
    """Columns of one candidate about the question's words beside it, likewise."""
    left, right, linked = question.left.rstrip("是为有达约共 "), question.right, text[:start].rstrip("是为有达约共 ")
    span, unit, head = text[start:end], question.unit, question.head
    unit_ends = span.endswith((unit, "个百分点") if unit == "%" else unit)
    unit_state = 3 if unit_ends else 2 if text.startswith(unit, end) else int(unit in span)
    head_state = 4 if span.endswith(head) else 3 if text.startswith(head, end) else 2 if head in span else 0
    others = re.findall(r"\d[万亿千百余多]*([^\d万亿千百余多.,])", span)
    return {
        "match_before": matched(lambda n: linked.endswith(left[len(left) - n :]), min(len(left), 12)),
        "match_after": matched(lambda n: text.startswith(right[:n], end), min(len(right), 12)),
        "run_at_start": matched(
            lambda n: any(text[start - n : start] in side for side in (question.left, right)), start
        ),
        "in_question": float(span in question.text),
        "unit_state": unit_state if unit else -1,
        "unit_other": float(bool(unit and others) and not any(unit.lstrip("万亿千百").startswith(o) for o in others)),
        "head_state": (head_state or int(span.endswith(head[-1]))) if head else -1,
    }


@given(
    st.sampled_from(("多少家", "哪个区", "什么", "%", "几", "多少万个")).flatmap(
        lambda word: st.tuples(*(st.text(alphabet="苏州企业有是3家区、a", max_size=6),) * 2).map(word.join)
    ),
    st.lists(st.text(alphabet="苏州企业有是3万家区个,、。%a", min_size=1, max_size=25), min_size=1, max_size=3),
)
def test_describe_means_what_it_says(question: str, texts: list[str]) -> None:
    sentences = [propose(text, [(c, place, place + 1, "n") for place, c in enumerate(text)]) for text in texts]
    asked = analyse(question)
    terms = extract_terms(asked, lambda piece: 0.3 + ord(piece[0]) % 7 / 10)
    wanted = Wanted(asked, terms, nouns=(("企业", "公司"), ("a",)))
    context = Context("", "", 0, 1, 0.0, 1, 0, 0.5, 0.5, 0.5)
    features = describe(wanted, sentences, [context] * len(sentences))
    row = 0
    for sentence in sentences:
        for start, end in zip(sentence.starts.tolist(), sentence.ends.tolist(), strict=True):
            meant = plain_overlap(wanted, sentence, start, end) | plain_demands(asked, sentence.text, start, end)
            computed = {name: float(features[row, COLUMNS.index(name)]) for name in meant}
            assert computed == pytest.approx(meant, abs=1e-5), (sentence.text[start:end], sentence.text)
            row += 1
    assert row == len(features)


def test_synonyms_count_as_found() -> None:
    terms = extract_terms(analyse("规上工业涨了多少"), lambda _: 1.0)
    assert share(terms, "规模以上工业增长") > share(terms, "大型工业变化")


def test_a_synonym_of_one_character_counts_only_for_a_word_of_its_own(segmenter: Segmenter) -> None:
    def found(question: str, text: str) -> float:
        asked = analyse(fold(question))
        breaks = {token.start for token in segmenter.cut(asked.text)}
        return share(extract_terms(asked, lambda _: 1.0, breaks=breaks), text)

    assert found("谁建的大桥", "大桥由他们建设") > found("谁建的大桥", "大桥由他们拆除")
    assert found("福建有几个市", "市建设") == found("福建有几个市", "市拆除")


@pytest.mark.parametrize(("asked", "said"), [("评上", "获评"), ("获评", "评上"), ("一共", "累计"), ("厂家", "企业")])
def test_synonyms_hold_both_ways(asked: str, said: str) -> None:
    assert said in SYNONYMS[asked]


def test_numbers_are_looked_for_in_both_spellings() -> None:
    forms = {term.forms[0]: term.forms for term in extract_terms(analyse("那三个平台叫什么"), lambda _: 1.0)}
    assert forms["三个"] == ("三个", "3个")
    assert forms["平台"] == ("平台",)


def test_synonyms_never_name_the_word_itself_nor_another_level() -> None:
    assert [word for word, others in SYNONYMS.items() if word in others or not others] == []
    assert [word for word, others in SYNONYMS.items() if len({levels(said) for said in (word, *others)}) > 1] == []


def test_pieces_are_words_and_pairs() -> None:
    assert pieces("2024年苏州5g工厂") == ["2024", "5g", "年苏", "苏州", "工厂"]


def test_cues_learn_edges_and_come_back_from_a_file(tmp_path: Path) -> None:
    asked = analyse("他生于哪一年")
    counts = CueCounts()
    for _ in range(30):
        counts.add(asked, "他生于1990年冬", [(0, 1), (3, 8), (8, 9), (3, 9)], [(3, 8)])
    cues = counts.cues()
    cues.save(tmp_path / "cues.json")
    loaded = Cues.load(tmp_path / "cues.json")
    starts, ends = np.array([3, 0], dtype=np.int32), np.array([8, 9], dtype=np.int32)
    values = loaded.columns(asked, "他生于1990年冬", starts, ends)
    assert values.tolist() == cues.columns(asked, "他生于1990年冬", starts, ends).tolist()
    last = CUE_COLUMNS.index("cue_last_1")
    assert values[0, last] > 0 > values[1, last]
