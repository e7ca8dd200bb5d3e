"""The requirement that an answer is in a language, detected by `heedful.text`."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, NamedTuple

from pydantic import AfterValidator

from heedful import text as texts
from heedful.project.settings import nearest
from heedful.requirements.requirement import Language, Parameters, Verdict, as_read, pick


class _Name(NamedTuple):
    english: str
    chinese: str
    scripts: str
    """What `script_of` may call its texts, separated by spaces."""


NAMES: dict[str, _Name] = {
    "ar": _Name("Arabic", "阿拉伯语", "Arabic"),
    "bg": _Name("Bulgarian", "保加利亚语", "Cyrillic"),
    "bn": _Name("Bengali", "孟加拉语", "Bengali"),
    "cs": _Name("Czech", "捷克语", "Latin"),
    "da": _Name("Danish", "丹麦语", "Latin"),
    "de": _Name("German", "德语", "Latin"),
    "el": _Name("Greek", "希腊语", "Greek"),
    "en": _Name("English", "英语", "Latin"),
    "es": _Name("Spanish", "西班牙语", "Latin"),
    "fa": _Name("Persian", "波斯语", "Arabic"),
    "fi": _Name("Finnish", "芬兰语", "Latin"),
    "fr": _Name("French", "法语", "Latin"),
    "gu": _Name("Gujarati", "古吉拉特语", "Gujarati"),
    "he": _Name("Hebrew", "希伯来语", "Hebrew"),
    "hi": _Name("Hindi", "印地语", "Devanagari"),
    "hu": _Name("Hungarian", "匈牙利语", "Latin"),
    "id": _Name("Indonesian", "印尼语", "Latin"),
    "it": _Name("Italian", "意大利语", "Latin"),
    "ja": _Name("Japanese", "日语", "Hiragana Han"),
    "kn": _Name("Kannada", "卡纳达语", "Kannada"),
    "ko": _Name("Korean", "韩语", "Hangul"),
    "ml": _Name("Malayalam", "马拉雅拉姆语", "Malayalam"),
    "mr": _Name("Marathi", "马拉地语", "Devanagari"),
    "ne": _Name("Nepali", "尼泊尔语", "Devanagari"),
    "nl": _Name("Dutch", "荷兰语", "Latin"),
    "pa": _Name("Punjabi", "旁遮普语", "Gurmukhi"),
    "pl": _Name("Polish", "波兰语", "Latin"),
    "pt": _Name("Portuguese", "葡萄牙语", "Latin"),
    "ro": _Name("Romanian", "罗马尼亚语", "Latin"),
    "ru": _Name("Russian", "俄语", "Cyrillic"),
    "sv": _Name("Swedish", "瑞典语", "Latin"),
    "sw": _Name("Swahili", "斯瓦希里语", "Latin"),
    "ta": _Name("Tamil", "泰米尔语", "Tamil"),
    "te": _Name("Telugu", "泰卢固语", "Telugu"),
    "th": _Name("Thai", "泰语", "Thai"),
    "tr": _Name("Turkish", "土耳其语", "Latin"),
    "uk": _Name("Ukrainian", "乌克兰语", "Cyrillic"),
    "ur": _Name("Urdu", "乌尔都语", "Arabic"),
    "vi": _Name("Vietnamese", "越南语", "Latin"),
    "zh": _Name("Chinese", "中文", "Han"),
}
"""By ISO 639-1 code: the languages that can be required."""

_SHORT = 40
"""Characters. Up to here nobody can tell the language of every text, so one that may be in it passes."""

_WORDINGS: dict[Language, tuple[str, ...]] = {
    "en": ("Answer in {name}.", "Write your answer in {name}.", "Your answer must be in {name}."),
    "zh": ("请用{name}回答。", "回答请用{name}书写。", "回答必须使用{name}。"),
}


def _known(code: str) -> str:
    if code not in NAMES:
        by_name = {name.english.lower(): known for known, name in NAMES.items()}
        hint = f"did you mean {by_name[code.lower()]!r}?" if code.lower() in by_name else nearest(code, list(NAMES))
        raise ValueError(f"it is not the two-letter code of a language that can be checked; {hint}")
    return code


class InLanguage(Parameters):
    """The answer as a whole is in one language; quoted words of others are fine."""

    kind = "language"

    language: Annotated[str, AfterValidator(_known)]
    """ISO 639-1 code: en, zh, de ..."""

    def say(self, language: Language, wording: int = 0) -> str:
        name = NAMES[self.language]
        return pick(_WORDINGS, language, wording).format(name=name.english if language == "en" else name.chinese)

    def check(self, text: str) -> Verdict:
        """When it fails, the fraction is the share of sentences in the wanted language, at most 0.9."""
        text = as_read(text)
        wanted, found = NAMES[self.language], texts.detect_language(text)
        if found == self.language:
            return Verdict(True, f"the answer is in {wanted.english}", 1.0)
        if found == "und" and self._may_be(text):
            return Verdict(True, f"the answer is too short to tell its language, and may be {wanted.english}", 1.0)
        languages = Counter(texts.detect_language(sentence) for sentence in texts.sentences(text))
        num_wanted, num_sentences = languages[self.language], max(languages.total(), 1)
        if found == "und" and num_wanted > (num_sentences - languages["und"]) / 2:
            # A text of names or headings may be undetermined as a whole, and its sentences not.
            return Verdict(True, f"the sentences whose language can be told are in {wanted.english}", 1.0)
        seen = "in no language that can be told" if found == "und" else f"in {_name(found)}"
        reason = f"the answer is {seen}, {wanted.english} expected"
        return Verdict(False, reason, min(num_wanted / num_sentences, 0.9))

    def _may_be(self, text: str) -> bool:
        """`Yes.` may be English, 42 anything; nothing at all is in no language."""
        scripts = ("", *NAMES[self.language].scripts.split())
        return 0 < texts.num_characters(text) <= _SHORT and texts.script_of(text) in scripts


def _name(code: str) -> str:
    return NAMES[code].english if code in NAMES else f"another language ({code})"
