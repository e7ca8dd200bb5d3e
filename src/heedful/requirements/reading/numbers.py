"""Whole numbers as people write them: 300, 1,200, three, twenty-five, 三, 二十, １２. "A couple" and "a few" are not numbers."""

from __future__ import annotations

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ENGLISH = {
    **{word: number for number, word in enumerate(_ONES)},
    **{word: number for number, word in zip(range(20, 100, 10), _TENS, strict=True)},
    "single": 1,
    "once": 1,
    "twice": 2,
    "thrice": 3,
}
_SCALES = {"hundred": 100, "thousand": 1000}
_DIGITS = {character: number for number, character in enumerate("零一二三四五六七八九")} | {"两": 2, "〇": 0}
_UNITS = {"十": 10, "百": 100, "千": 1000}

ENGLISH = (
    r"(?:(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,.]*\d)|(?<![\d.,])\d{1,7}(?![\d]|[.,]\d)"
    rf"|\b(?:{'|'.join(_TENS)})(?:[- ](?:{'|'.join(_ONES[1:10])}))?\b"
    rf"|\b(?:{'|'.join(_ONES[1:])}|single)\b(?: (?:hundred|thousand)\b)?)"
)
"""A pattern for a number in lower-case English; `read` gives its value. Zero is written as "no" or "without"."""
CHINESE = r"(?:[0-9０-９]{1,7}|[一二两三四五六七八九十百千]{1,9}万?)"


def read(text: str) -> int | None:
    """The number that `text` is, in either language; None when it is none."""
    plain = text.strip().lower().replace(",", "")
    if plain.isdecimal():
        return int(plain) if len(plain) <= 7 else None
    return _read_english(plain) if plain.isascii() else _read_chinese(plain)


def _read_english(text: str) -> int | None:
    total = 0
    for word in text.replace("-", " ").split():
        if word in _SCALES and total:
            total *= _SCALES[word]
        elif word in _ENGLISH:
            total += _ENGLISH[word]
        else:
            return None
    return total if text else None


def _read_chinese(text: str) -> int | None:
    if text.endswith("万"):
        thousands = _read_chinese(text[:-1])
        return None if thousands is None else thousands * 10_000
    if len(text) > 1 and all(character in _DIGITS for character in text):
        return int("".join(str(_DIGITS[character]) for character in text))  # 二〇, read digit by digit
    total, digit = 0, None
    for character in text:
        if character in _UNITS:
            total += (1 if digit is None else digit) * _UNITS[character]
            digit = None
        elif character in _DIGITS:
            digit = _DIGITS[character]
        else:
            return None
    return total + (digit or 0)
