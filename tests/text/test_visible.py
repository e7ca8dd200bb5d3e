"""What cannot be seen, or steers a terminal, is written out; everything that people read stays as it is."""

from __future__ import annotations

import pytest

from heedful.text import visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\x1b[31m\x07\x00", "␛[31m␇␀"),
        ("a\rb\x7f\x9b", "a␍b[U+007F][U+009B]"),
        ("\u202egnp.exe \u2066x\u2069", "[U+202E]gnp.exe [U+2066]x[U+2069]"),
        ("half \ud800 pair", "half [U+D800] pair"),
        ("zero\u200bwidth \ufeff", "zero[U+200B]width [U+FEFF]"),
        ("\U000e0041\U000e0042", "[U+E0041][U+E0042]"),  # Letters of a text that nobody sees.
        ("a\u2028b\u2029", "a[U+2028]b[U+2029]"),
    ],
)
def test_made_visible(text: str, expected: str) -> None:
    assert visible(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "line\n\tnext 中文 é 😀",
        "👨‍👩‍👧",
        "می‌خواهم",
        "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "",
    ],
)
def test_left_alone(text: str) -> None:
    assert visible(text) == text
