"""Bytes become text under the right name, or are refused with the place of the first wrong byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.sources.encodings import decode

CHINESE = (
    '{"指令": "把下面的句子翻译成英文。", "输入": "今天天气很好，我们去公园吧。", "输出": "The weather is nice today."}'
)


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8 with byte order mark"),
        ("utf-16", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("gb18030", "GB18030"),
        ("gbk", "GB18030"),
        ("gb2312", "GB18030"),
    ],
)
def test_each_encoding_gives_the_same_text(codec: str, name: str) -> None:
    decoded = decode(CHINESE.encode(codec), "rows.jsonl")
    assert (decoded.text, decoded.encoding) == (CHINESE, name)


def test_traditional_characters_in_gbk() -> None:
    text = "今天天氣很好，我們去公園散步吧。這是一個例子。"
    assert decode(text.encode("gbk"), "x").text == text


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        ("Le café était fermé, très déçu, où êtes-vous allés hier ?", "latin-1"),
        ("Die Straße führt über die Brücke, sagte der Bürgermeister.", "cp1252"),
        ("안녕하세요. 오늘 날씨가 아주 좋습니다. 공원에 갑시다.", "euc-kr"),
        ("今日は天気がとても良いので、公園に行きましょう。", "shift-jis"),
        ("今日は天気がとても良いので、公園に行きましょう。", "euc-jp"),
        ("今天天氣很好，我們去公園散步吧。", "big5"),
        ("床前明月光，疑是地上霜。", "euc-jp"),
        ("Сегодня очень хорошая погода, пойдём в парк.", "cp1251"),
        ("Ähnlich äußerten sich größere Städte über die Brücke.", "latin-1"),
    ],
)
def test_other_encodings_are_refused_not_turned_into_nonsense(text: str, codec: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(f'first line\n"{text}"'.encode(codec), "rows.jsonl")
    message = str(caught.value)
    assert message.startswith("rows.jsonl, line 2: byte 0x")
    assert "at offset " in message
    assert "iconv" in message


def test_the_offset_is_that_of_the_first_wrong_byte() -> None:
    with pytest.raises(InputError, match="line 2: byte 0xff at offset 4 is not UTF-8"):
        decode(b"ok\n1\xff\xfe\xfd", "x")


def test_a_character_cut_in_half_at_the_end() -> None:
    with pytest.raises(InputError, match="at offset 2"):
        decode("ok好".encode()[:-1], "x")


@pytest.mark.parametrize(
    "data", [b"a\0b\0c\0", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "UTF-16 without mark".encode("utf-16-le")]
)
def test_binary_is_not_text(data: bytes) -> None:
    with pytest.raises(InputError, match=r"not a text file|is not UTF-8"):
        decode(data, "x")


def test_utf_16_cut_in_half() -> None:
    with pytest.raises(InputError, match=r"byte order mark says UTF-16.*cut off"):
        decode("text".encode("utf-16")[:-1], "x")


@given(st.text().filter(lambda text: "\0" not in text and not text.startswith("\ufeff")))
def test_utf_8_is_always_itself(text: str) -> None:
    assert decode(text.encode(), "x").text == text
