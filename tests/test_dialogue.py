"""Follow-up questions are made whole from the turns before; complete ones are left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szqa.dialogue import Turn, standalone
from szqa.text import Segmenter

DIALOGUES = [
    # another level, year, place or noun
    (
        "2024年苏州有多少家企业获评省级智能车间？",
        "224家",
        "那国家级的呢？",
        "2024年苏州有多少家企业获评国家级智能车间？",
    ),
    ("苏州有多少家国家级绿色工厂？", "93家", "那省级的呢？", "苏州有多少家省级绿色工厂？"),
    ("苏州有多少家企业入围世界500强？", "3家", "其中国家级的有多少？", "苏州有多少家国家级企业入围世界500强？"),
    ("2024年苏州规模以上工业总产值是多少？", "4.68万亿元", "2025年呢？", "2025年苏州规模以上工业总产值是多少？"),
    ("到2035年的目标是什么？", None, "那2025年呢？", "到2025年的目标是什么？"),
    ("苏州有多少家国家级绿色工厂？", "93家", "2023年是多少？", "2023年苏州有多少家国家级绿色工厂？"),
    ("苏州有多少家国家级绿色工厂？", "93家", "无锡呢？", "无锡有多少家国家级绿色工厂？"),
    ("苏州有多少家国家级绿色工厂？", "93家", "那无锡有多少家？", "无锡有多少家国家级绿色工厂？"),
    ("苏州有多少家国家级绿色工厂？", "93家", "那2023年无锡的呢？", "2023年无锡有多少家国家级绿色工厂？"),
    ("第六届全球智能驾驶大会在哪里举办？", None, "第七届呢？", "第七届全球智能驾驶大会在哪里举办？"),
    ("2024年苏州有多少家企业获评省级智能工厂？", "33家", "那智能车间呢？", "2024年苏州有多少家企业获评省级智能车间？"),
    ("苏州有多少家国家级绿色工厂？", "93家", "绿色工业园区呢？", "苏州有多少家国家级绿色工业园区？"),
    ("公共领域新增充电桩多少根？", "9000根", "那私人领域的呢", "私人领域新增充电桩多少根？"),
    ("苏州拟开工项目有多少个？", "25个", "在建项目呢？", "苏州在建项目有多少个？"),
    ("苏州拟开工项目有多少个？", "25个", "那谋划储备的呢？", "苏州谋划储备项目有多少个？"),
    ("新增国家重点软件企业多少家？", "10家", "江苏省软件名城呢？", "新增江苏省软件名城多少家？"),
    ("《工业设计意见》是哪一年发布的？", "2024年", "《研究院意见》呢？", "《研究院意见》是哪一年发布的？"),
    ("苏州新增新能源汽车多少辆？", "20.9万辆", "渗透率呢？", "苏州新增新能源汽车渗透率是多少？"),
    # the subject left out
    ("苏州新增新能源汽车多少辆？", "20.9万辆", "同比增长多少？", "苏州新增新能源汽车同比增长多少？"),
    ("苏州有哪些国家级绿色工厂？", None, "有多少家？", "苏州有多少家国家级绿色工厂？"),
    (
        "第二届先进成果转化大会有多少家单位？",
        "1180家",
        "是什么时候召开的？",
        "第二届先进成果转化大会是什么时候召开的？",
    ),
    # a pronoun
    ("国家级绿色工厂是什么？", None, "它有多少家？", "国家级绿色工厂有多少家？"),
    ("苏州有哪些国家级绿色工厂？", None, "它有多少家？", "苏州有多少家国家级绿色工厂？"),
    ("“政策计算器”是什么？", None, "它的网站点击量是多少？", "“政策计算器”的网站点击量是多少？"),
    ("“助企通”依托什么机制？", "“苏商通”", "该平台有多少用户？", "“助企通”平台有多少用户？"),
    ("哪个区的产业集群入选国家级名单？", "吴江区", "它有多少家企业？", "吴江区有多少家企业？"),
    ("工业设计协会总部落地在哪里？", "苏州", "那里有多少家工厂？", "苏州有多少家工厂？"),
    ("《红楼梦》的作者是谁？", "曹雪芹", "他是哪里人？", "曹雪芹是哪里人？"),
    ("《红楼梦》的作者是谁？", "曹雪芹", "它有多少回？", "《红楼梦》有多少回？"),
    ("苏州市的市花是什么？", "桂花", "这是什么时候定的？", "苏州市的市花是什么时候定的？"),
]

COMPLETE = [
    "苏州在哪里？",
    "苏州有多少家世界500强企业？",
    "有多少家企业获评省级智能车间呢？",
    "吸纳超150家企业是让它们一起建设哪个中心？",
    "尤其重要的工作是什么？",
    "其他城市的总产值是多少？",
    "其中小企业有多少家完成了数字化评估？" * 4,
    "为什么呢？",
    "你是谁？",
    "谢谢",
    "？？",
    "🙂",
]


@pytest.mark.parametrize(("question", "answer", "follow_up", "expected"), DIALOGUES)
def test_follow_ups(segmenter: Segmenter, question: str, answer: str | None, follow_up: str, expected: str) -> None:
    assert standalone(follow_up, [Turn(question, answer)], segmenter=segmenter) == expected


@pytest.mark.parametrize("question", COMPLETE)
def test_complete_questions_are_left_alone(segmenter: Segmenter, question: str) -> None:
    history = [Turn("2024年苏州规模以上工业总产值是多少？", "4.68万亿元")]
    assert standalone(question, history, segmenter=segmenter) == question


def test_a_follow_up_of_a_follow_up(segmenter: Segmenter) -> None:
    history = [Turn("2024年苏州有多少家省级智能工厂？", "33家"), Turn("那国家级的呢？", None)]
    assert standalone("无锡呢？", history, segmenter=segmenter) == "2024年无锡有多少家国家级智能工厂？"


def test_turns_may_hold_the_question_as_understood(segmenter: Segmenter) -> None:
    understood = [Turn("2024年苏州有多少家省级智能工厂？", "33家"), Turn("2024年苏州有多少家国家级智能工厂？")]
    assert standalone("无锡呢？", understood, segmenter=segmenter) == "2024年无锡有多少家国家级智能工厂？"


def test_traditional_characters(segmenter: Segmenter) -> None:
    turn = Turn("蘇州有多少家國家級綠色工廠？", "93家")
    assert standalone("無錫呢？", [turn], segmenter=segmenter) == "無錫有多少家國家級綠色工廠？"


def test_an_answer_that_is_a_sentence_is_no_subject(segmenter: Segmenter) -> None:
    turn = Turn("谁写了《红楼梦》？", "一说是曹雪芹，一说另有其人，学界至今没有定论")
    assert standalone("他出生在哪里？", [turn], segmenter=segmenter) == "他出生在哪里？"


@given(question=st.text(max_size=40))
def test_without_history_nothing_changes(segmenter: Segmenter, question: str) -> None:
    assert standalone(question, [], segmenter=segmenter) == question


@given(
    before=st.text("苏州无锡有多少家国级省的工厂2024年？呢它那《》“”是什么", max_size=20),
    answer=st.none() | st.text(max_size=10),
    question=st.text("苏州无锡有多少家国级省的工厂2023年？呢它那《》“”是什么", max_size=20),
)
def test_every_character_comes_from_the_conversation(
    segmenter: Segmenter, before: str, answer: str | None, question: str
) -> None:
    understood = standalone(question, [Turn(before, answer)], segmenter=segmenter)
    assert set(understood) <= set(before + (answer or "") + question + "的是多少？")
