"""Numbers in either spelling."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from szqa.numerals import respelled


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("过三十岁生日", [("三十岁", ("30岁",))]),
        ("那三个专项项目", [("三个", ("3个",))]),
        ("2家企业", [("2家", ("二家", "两家"))]),
        ("两家企业", [("两家", ("2家",))]),
        ("第105届", [("105届", ("一百零五届",))]),
        ("一千零五十名", [("一千零五十名", ("1050名",))]),
        ("10个和12个", [("10个", ("十个",)), ("12个", ("十二个",))]),
        ("一起去，十分多，三五个人", []),
        ("2024年", []),
        ("12.5个", []),
        ("12345个", []),
        ("零个", []),
    ],
)
def test_counts_are_respelled(text: str, expected: list[tuple[str, tuple[str, ...]]]) -> None:
    assert [(text[start:end], spellings) for start, end, spellings in respelled(text)] == expected


@given(st.integers(1, 999))
def test_there_and_back(value: int) -> None:
    ((_, _, (numeral, *_)),) = respelled(f"{value}个")
    assert list(respelled(numeral)) == [(0, len(numeral), (f"{value}个",))]
