"""Normalising: what goes, what stays, and that twice is once."""

import sys

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from heedful.text import normalize
from heedful.text._normal import _NEWLINE, _SURROGATE, INVISIBLE


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("\ufeffa\r\nb\rc\u2028d\x0be", "a\nb\nc\nd\ne"),
        ("a  \t\n  b\u3000\n", "a\n  b"),  # trailing space goes, indentation stays
        ("\n\na\n\n\n\n\nb\n\n\nc\n", "a\n\n\nb\n\n\nc"),  # at most two blank lines
        ("cafe\u0301 e\u200b\u0301", "café é"),
        ("pass\u200bword\u00ad\x00\x07\u2060!", "password!"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("evil\u202etxt.exe\u2066", "eviltxt.exe"),
        ("a\u200db\u200c", "ab"),  # joiners hide in Latin text
        ("می\u200cخواهم क्\u200dष 👩\u200d💻", "می\u200cخواهم क्\u200dष 👩\u200d💻"),  # and spell elsewhere
        ("❤\ufe0f\u200d🔥 👍🏽", "❤\ufe0f\u200d🔥 👍🏽"),
        ("hi\U000e0068\U000e0069", "hi"),  # a message hidden in tag characters
        ("🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",) * 2,  # the flag of England
        ("half \ud83d pair", "half \ufffd pair"),
        ("tab\tinside  spaces", "tab\tinside  spaces"),
        ("你好，　世界", "你好，　世界"),
    ],
)
def test_normalize(written: str, expected: str) -> None:
    assert normalize(written) == expected


_TRICKY = st.text(
    st.sampled_from(list("ae\u0301\u200b\u200c\u200d\ufeff \n\r\t\x1b[m1;نक\u094d👩🏴\U000e0067\U000e007f\ud800\u3000"))
)


@given(st.one_of(st.text(), _TRICKY))
def test_twice_is_once(written: str) -> None:
    once = normalize(written)
    assert normalize(once) == once
    once.encode("utf-8")  # can always be written to a file


def test_every_character_that_goes_is_seen_at_once() -> None:
    # Texts that Python calls printable take a short way, so none of what is looked for may be printable.
    goes = regex.compile(
        "|".join(f"(?:{pattern.pattern})" for pattern in (_NEWLINE, _SURROGATE, INVISIBLE)), regex.VERSION1
    )
    characters = map(chr, range(sys.maxunicode + 1))
    assert [c for c in characters if c.isprintable() and goes.search(c)] == []
    assert not "\u200c".isprintable()
    assert not "\u200d".isprintable()
    assert not "\x1b".isprintable()
