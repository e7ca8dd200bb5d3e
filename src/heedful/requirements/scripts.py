"""The requirement that an answer is written in one script. Digits, punctuation and symbols belong to every script."""

from __future__ import annotations

from functools import cached_property
from typing import Annotated, Any

import regex
from pydantic import AfterValidator

from heedful.project.settings import nearest
from heedful.requirements.requirement import Language, Parameters, Verdict, as_read, pick
from heedful.requirements.wording import plural, quote, shorten

SCRIPTS: dict[str, str] = {
    "Arabic": "阿拉伯字母",
    "Armenian": "亚美尼亚字母",
    "Bengali": "孟加拉文字",
    "Bopomofo": "注音符号",
    "Cyrillic": "西里尔字母",
    "Devanagari": "天城文",
    "Ethiopic": "埃塞俄比亚文字",
    "Georgian": "格鲁吉亚字母",
    "Greek": "希腊字母",
    "Gujarati": "古吉拉特文字",
    "Gurmukhi": "古木基文",
    "Han": "汉字",
    "Hangul": "韩文字母",
    "Hebrew": "希伯来字母",
    "Hiragana": "平假名",
    "Kannada": "卡纳达文字",
    "Katakana": "片假名",
    "Khmer": "高棉文字",
    "Lao": "老挝文字",
    "Latin": "拉丁字母",
    "Malayalam": "马拉雅拉姆文字",
    "Mongolian": "蒙古文字",
    "Myanmar": "缅甸文字",
    "Oriya": "奥里亚文字",
    "Sinhala": "僧伽罗文字",
    "Tamil": "泰米尔文字",
    "Telugu": "泰卢固文字",
    "Thai": "泰文字母",
    "Tibetan": "藏文字母",
}
"""Unicode's names of the scripts that can be required, and their Chinese names."""

_WORDINGS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Write in {name} script only.",
        "Use only letters of the {name} script.",
        "Every letter of your answer must be in the {name} script.",
    ),
    "zh": ("只用{name}书写。", "除{name}外不要用别的文字。", "回答中的文字必须全部是{name}。"),
}
_LETTER = regex.compile(r"\p{L}")


def _known(name: str) -> str:
    if name not in SCRIPTS:
        raise ValueError(
            f"it is not the Unicode name of a script that can be checked; {nearest(name[:40], list(SCRIPTS))}"
        )
    return name


class Script(Parameters):
    """All letters of the answer are in one script."""

    kind = "script"

    script: Annotated[str, AfterValidator(_known)]
    """Unicode's name of the script: Latin, Han, Cyrillic ..."""

    @cached_property
    def _others(self) -> Any:
        # Letters such as ー and ª are shared between scripts, or common to all.
        return regex.compile(rf"[\p{{L}}--[\p{{scx={self.script}}}\p{{Common}}]]", regex.VERSION1)

    def say(self, language: Language, wording: int = 0) -> str:
        name = SCRIPTS[self.script] if language == "zh" else self.script
        return pick(_WORDINGS, language, wording).format(name=name)

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of letters in the script."""
        text = as_read(text)
        others = self._others.findall(text)
        if not others:
            return Verdict(True, f"all letters are in {self.script} script", 1.0)
        total = len(_LETTER.findall(text))
        seen = quote(shorten("".join(dict.fromkeys(others)), 20), "en")
        count = plural(len(others), "letter is", "letters are")
        return Verdict(False, f"{count} not in {self.script} script: {seen}", 1 - len(others) / total)
