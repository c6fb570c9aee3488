"""What a question asks for: its question word, the kind of answer, the unit, and what must hold of the answer.

Chinese leaves the question word where the answer would stand, so the text left and right of it says what stands left
and right of the answer. Works on folded text (``szqa.text.fold``) alone; knows nothing of passages or spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["KINDS", "LEVELS", "UNITS", "Question", "analyse", "levels", "numbers", "years"]

KINDS: Final = (
    "count",  # a number with a measure word or unit
    "percent",
    "money",
    "date",
    "person",
    "place",
    "organisation",
    "title",  # document, book, film, project name
    "thing",
    "list",
    "reason",
    "manner",
    "yes-no",
    "open",  # no question word
)

UNITS: Final = (
    "个百分点|平方千米|平方公里|平方厘米|立方米|平方米|平方英里|万千瓦|千瓦时|公斤|公里|千米|厘米|毫米|海里|英里|英尺|"
    "公顷|公分|公尺|美元|港元|日元|欧元|英镑|人次|家次|批次|人民币|票房|个月|小时|分钟|星期|世纪|"
    "家|个|元|亩|吨|辆|台|套|项|件|次|场|条|座|所|名|位|人|根|种|类|届|期|户|批|款|部|集|章|篇|首|张|枚|只|头|匹|架|艘|"
    "站|层|支|对|队|门|省|市|县|区|镇|乡|村|州|岁|年|月|日|天|周|倍|米|克|度|斤|升|秒|分|级|代|字|票|股|点|号|路|"
    "方面|步|轮|局|杯|本|册|卷|幅|间|栋|幢|片|颗|段|科|属|目|声|口|环|句|块|间|处|起|宗|笔|例|成|千瓦|瓦|"
    "兆|字节|比特|赫兹|伏|℃|%"
)

LEVELS: Final = ("国家级", "省级", "市级", "区级", "县级", "乡级", "村级", "世界级", "部级", "校级")
_LEVEL: Final = re.compile(r"(国家|省|市|区|县|乡|村|世界|部|校)一?级|(省|市|区|县)里|全(?:国|省|市|区|县|校|球)")
_YEAR: Final = re.compile(r"(?<![\d.])((?:1[0-9]|20)\d\d)(?=年|[—\-~至到])")
_NUMBER: Final = re.compile(r"(?<![\d.])\d+(?:\.\d+)?(?![\d.])")

# Nouns that tell the kind of answer where the question word does not (什么, 多少, or none at all).
_PERCENT_NOUN = re.compile(
    r"(?:率|占比|比例|比重|增速|增幅|涨幅|降幅|百分比|百分点|同比|增长了?|涨了?|上涨了?|提高了?|"
    r"下降了?|降了?)(?:是|为|达|到|了|有|的|大约|约)*$"
)
_MONEY_NOUN = re.compile(
    r"(?:总?产值|生产总值|gdp|总额|投资额?|营收|收入|资金|价格|票房|利润|成本|金额|费用|工资|薪|预算|经费|市值|增加值|贷款|债务"
    r"|财政|支出|进出口|出口)(?:总额|总量|规模)?(?:是|为|达|到|了|有|的|大约|约)*$"
)
_COUNT_NOUN = re.compile(
    r"(?:数量|数目|总数|人数|人口|面积|长度|高度|宽度|深度|海拔|重量|速度|里程|距离|年龄|规模|编号|代码|温度|体重|体长|身高|家数"
    r"|总量|产量|销量|密度|直径|容量|寿命|时长|个数|次数|号码|分数|比分)(?:是|为|达|到|了|有|的|大约|约|分别|大概)*$"
)
_DATE_NOUN = re.compile(r"(?:时间|日期|年份|年代|时候|生日|时期|朝代)(?:是|为|在|的|分别)*$")
_PERSON_NOUN = re.compile(
    r"(?:作者|导演|主演|演员|主角|创始人|创办人|负责人|校长|主席|总统|市长|省长|书记|老师|父亲|母亲|妻子|丈夫|儿子|女儿"
    r"|祖先|主人公|编剧|歌手|主唱|教练|队长|总理|首相|国王|皇帝|设计师|设计者|发明者|制作人|冠军|院长|会长|董事长|总裁|经理"
    r"|人物|人|者|姓名)(?:是|为|叫|的|分别|都)*$"
)
_PLACE_NOUN = re.compile(
    r"(?:地点|位置|地方|地区|产地|故乡|家乡|籍贯|首都|首府|总部|出生地|地址|城市|国家|省份|县|区|"
    r"市|州)(?:是|为|在|位于|的|叫|设|设在)*$"
)
_ORGANISATION_NOUN = re.compile(
    r"(?:公司|企业|机构|大学|学校|学院|部门|单位|组织|俱乐部|球队|乐队|乐团|政党|协会|银行|集团|医院|出版社|电视台|母校|来源)(?:是|为|叫|的|名称?)*$"
)
_TITLE_NOUN = re.compile(
    r"(?:文件|专辑|作品|著作|小说|电影|电视剧|歌曲|单曲|游戏|漫画|办法|意见|方案|计划|规划|法律|"
    r"书|书名|片名|剧|片)(?:是|为|叫|的|名称?)*$"
)
_REASON_NOUN = re.compile(r"(?:原因|理由|缘由|缘故|目的|起因|由来)(?:是|为|在于|有|的)*$")

_HEAD = (
    r"(?:国家(?!级|重)|城市|地区|地方|省份|省|市|县|区|镇|乡|村|州|国(?!家)|洲|"
    r"岛|山|河|海|街|路|湾|港|座山|条河|条街|座城市|板块)"
)
_ORGANISATION_HEAD = (
    r"(?:公司|企业|机构|大学|高校|学校|中学|小学|学院|部门|单位|组织|俱乐部|球队|乐队|乐团|政党|协会|银行|集团|医院|出版社|电视台|车队|队|球会|军队|"
    r"媒体|网站|平台|航空公司|委员会|法院|商会|政府|局|部)"
)
_TITLE_HEAD = (
    r"(?:文件|法律|法规|法|办法|书|书籍|电影|影片|专辑|歌曲|歌|单曲|作品|小说|剧|电视剧|"
    r"节目|游戏|漫画|动画|杂志|报纸|条例|规划|方案|意见|计划|著作|论文|措施)"
)
_MEASURE = r"(?:一?[家个所位名部份项件座条种类首张本届支台款片间次批门只])"


class _Pattern(NamedTuple):
    kind: str
    expression: re.Pattern[str]


# The first pattern that matches anywhere decides; within a pattern the first place does.
_PATTERNS: Final = (
    _Pattern(
        "reason",
        re.compile(
            r"(?<![称叫作译名视定评改成认])为什么|为何|为啥|何以|何故|因何|凭什么|怎么会|(?:什么|何种|哪些)(?:原因|理由|缘故)|"
            r"(?:图|为的是|为了)个?(?:什么|啥)(?=[?呢做才而去来要]|$)"
        ),
    ),
    _Pattern("percent", re.compile(r"百分之(?:多少|几)|多少(?:个?百分点|%|%)|多大(?:的)?比[例重]|几个百分点|几成")),
    _Pattern("money", re.compile(r"多少(?:钱|[万亿]*(?:元|美元|港元|日元|欧元|英镑|人民币|资金|投资))")),
    _Pattern(
        "date",
        re.compile(
            r"(?:公元前?|\d{4}年的?)?(?:什么|啥)(?:时候|时间|时期|年代|年份|日期|日子)|何时|何年何?月?|哪一?年|几几年|"
            r"哪一?[天日月]|几月几[日号]|几[月号日]|"
            r"哪个(?:月份?|年份|时候|时期|朝代|世纪|年代|时间|季节)|"
            r"多久|多长时间|多少(?:年|天|个月|小时|分钟)|几(?:年|天|个月|小时|点)|啥时|什么朝代|第?几世纪"
        ),
    ),
    _Pattern(
        "count", re.compile(rf"(?:第)?(?:多少|几)[多来余]?[百千万亿]*(?:{UNITS})?|多[大高长远重深快宽厚强少]|若干")
    ),
    _Pattern(
        "person",
        re.compile(
            r"(?:是)?谁|何人|哪一?两?[几]?位|(?:什么|哪个|哪些|哪几个|啥|何许|何等)(?:样的?)?人(?!物?[类口种事])"
        ),
    ),
    _Pattern(
        "place",
        re.compile(
            rf"哪里|哪儿|何处|何地|哪(?:两|几|一)?(?:个|座|处|条|块|一个|些)?{_HEAD}|(?:什么|何种|啥){_HEAD}|哪边|"
            r"(?:什么|哪个|哪些)方向"
        ),
    ),
    _Pattern("organisation", re.compile(rf"(?:哪|什么|啥)(?:两|几)?{_MEASURE}?些?{_ORGANISATION_HEAD}")),
    _Pattern("title", re.compile(rf"(?:哪|什么|啥)(?:两|几)?{_MEASURE}?些?{_TITLE_HEAD}")),
    _Pattern(
        "list",
        re.compile(
            r"(?:都|又)?(?:有|包括|包含|是|分为)?(?:哪些|哪几|哪两|哪三|哪四|那些)(?:方面|"
            r"[个种类项家名位])?|(?:些|都)什么"
        ),
    ),
    _Pattern(
        "manner", re.compile(r"怎么样?|怎样的?|如何|咋样?|何种(?:方式|方法|手段)|什么(?:方式|方法|手段|样的?方式)|以何")
    ),
    _Pattern("thing", re.compile(rf"(?:哪|那){_MEASURE}|什么(?:样的?)?|甚么|啥|何种|何|哪")),
    _Pattern("yes-no", re.compile(r"是不是|是否|有没有|能否|能不能|会不会|可否|吗(?=[?。]?$)")),
)
_TAIL: Final = re.compile(r"[?。!,;:\s]+$|(?:呢|呀|啊|的|了|吗)[?。!]*$")
_POLITE: Final = re.compile(
    r"^(?:请问|请简述|请简要描述一下|请描述|请介绍一下|请介绍|请|问一下|我想知道|想问一下|简述|列举|那么|据文中所述|文中)[,:]?"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A folded question, taken apart.

    Attributes:
        text: the folded question.
        kind: one of ``KINDS``.
        start: first code point of the question word; ``end`` where there is none.
        end: code point after the question word.
        unit: the measure word or unit asked for (家, 亿元, %), empty where it does not say.
        head: what the question word asks for in words (哪个区 → 区), empty where it does not say.
        years: four-digit years named.
        numbers: other numbers named.
        levels: administrative levels named (省级, 全国).
    """

    text: str
    kind: str
    start: int
    end: int
    unit: str
    head: str
    years: frozenset[str]
    numbers: frozenset[str]
    levels: frozenset[str]

    @property
    def left(self) -> str:
        """The text before the question word."""
        return self.text[: self.start]

    @property
    def right(self) -> str:
        """The text after the question word, without the closing mark."""
        return _TAIL.sub("", self.text[self.end :])


def years(folded: str) -> frozenset[str]:
    """Years a folded text names."""
    return frozenset(_YEAR.findall(folded))


def numbers(folded: str) -> frozenset[str]:
    """Numbers a folded text names, years left out."""
    return frozenset(_NUMBER.findall(folded)) - years(folded)


def levels(folded: str) -> frozenset[str]:
    """Administrative levels a folded text names; 省一级 and 省里 are 省级."""
    found = ((match.group(1) or match.group(2), match.group()) for match in _LEVEL.finditer(folded))
    return frozenset(f"{level}级" if level else whole for level, whole in found)


def analyse(folded: str) -> Question:
    """Take a folded question apart."""
    kind, start, end = _question_word(folded)
    if start == end:
        start = end = len(_TAIL.sub("", folded))
    word, left = folded[start:end], folded[:start]
    if kind in ("count", "thing", "open", "list"):
        kind = _kind_by_noun(kind, left)
    return Question(
        text=folded,
        kind=kind,
        start=start,
        end=end,
        unit=_unit(kind, word, folded[end:]),
        head=_head(kind, word, left, _TAIL.sub("", folded[end:])),
        years=years(folded),
        numbers=numbers(folded),
        levels=levels(folded),
    )


def _question_word(folded: str) -> tuple[str, int, int]:
    body = _POLITE.match(folded)
    offset = body.end() if body else 0
    for kind, expression in _PATTERNS:
        match = expression.search(folded, offset)
        if match:
            return kind, match.start(), match.end()
    return "open", len(folded), len(folded)


def _kind_by_noun(kind: str, left: str) -> str:
    stem = _TAIL.sub("", left)
    if kind in ("count", "open"):
        if _PERCENT_NOUN.search(stem):
            return "percent"
        if _MONEY_NOUN.search(stem):
            return "money"
        if kind == "count":
            return "count"
    ordered = (
        ("count", _COUNT_NOUN),
        ("date", _DATE_NOUN),
        ("reason", _REASON_NOUN),
        ("person", _PERSON_NOUN),
        ("place", _PLACE_NOUN),
        ("organisation", _ORGANISATION_NOUN),
        ("title", _TITLE_NOUN),
    )
    for noun_kind, expression in ordered:
        if kind != "list" and expression.search(stem):
            return noun_kind
    return kind


_UNIT = re.compile(rf"(?:多少|几)[多来余]?([百千万亿]*)({UNITS})?$")
_NEXT_UNIT = re.compile(rf"^({UNITS})")


def _unit(kind: str, word: str, behind: str) -> str:
    if kind == "percent":
        return "%"
    match = _UNIT.search(word)
    if match:
        if match.group(2):
            return match.group(1) + match.group(2)
        following = _NEXT_UNIT.match(behind)
        return match.group(1) + following.group() if following else match.group(1)
    if kind == "money":
        return "元"
    return ""


def _head(kind: str, word: str, left: str, right: str) -> str:
    """The noun asked for: inside the question word (哪个区), behind 什么/哪家, or before 是什么."""
    inside = re.search(rf"(?:哪|什么|啥|何)(?:两|几|一)?(?:{_MEASURE})?些?([一-鿿a-z]+)$", word)
    if inside and inside.group(1) not in ("么", "样", "时", "里", "处", "儿", "时候", "些"):
        return inside.group(1)
    if kind in ("thing", "list", "count", "date", "manner") and right:
        following = re.match(r"[一-鿿a-z]{1,4}", right)
        if following:
            return following.group()
    before = re.search(r"([一-鿿a-z]{1,4})(?:是|为|叫|有|包括|叫做|称为)*$", left)
    return before.group(1) if before and not right else ""
