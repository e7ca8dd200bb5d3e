"""Whether a text keeps a requirement, decided without a line of the code that promises it.

Written from the documented meaning of every kind, with the standard library and `jsonschema` only: a promise that is
checked with its own code is no evidence. Texts are taken as they are read, so half of a surrogate pair, for example,
is nobody's concern here. Where the documented rules are too long to write twice, only a part of all texts is decided:

- `sentences`: plain prose (`sentence_count` says None for the rest, and `satisfies` raises OutsideDomainError);
- `keywords` with inflections: regular endings only;
- `language`: true where English or Chinese is plain to see, false elsewhere, so false proves nothing;
- `grammar`: one rule that is a regular expression or a choice of literals; `tokens` has no meaning for a text.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from jsonschema import validators

Parameters = Mapping[str, Any]


class OutsideDomainError(ValueError):
    """The text or the parameters are among those that this checker does not decide."""


def satisfies(spec_kind: str, parameters: Parameters, text: str) -> bool:
    """Whether `text`, the whole answer, keeps the requirement."""
    check = _CHECKS.get(spec_kind)
    if check is None:
        raise OutsideDomainError(f"requirements of the kind {spec_kind!r} are not decided here")
    return check(parameters, text)


# -- words ----------------------------------------------------------------------------------------------------------

_UNSPACED_NAMES = (
    "CJK UNIFIED", "CJK COMPATIBILITY IDEOGRAPH", "IDEOGRAPHIC", "CIRCLED IDEOGRAPH", "PARENTHESIZED IDEOGRAPH",
    "HANGZHOU", "HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA", "CIRCLED KATAKANA", "VERTICAL IDEOGRAPHIC", "BOPOMOFO",
    "THAI", "LAO", "KHMER", "MYANMAR",
)  # fmt: skip
"""How the names of characters begin whose scripts put no space between words."""


@lru_cache(maxsize=1 << 16)
def _sort(character: str) -> str:
    """`unspaced` for a word of one character, `letter` (digits too), `mark` for what sits on letters, or `other`."""
    category = unicodedata.category(character)
    if category[0] in "LN":
        return "unspaced" if unicodedata.name(character, "").startswith(_UNSPACED_NAMES) else "letter"
    return "mark" if category[0] == "M" or character in "\u200c\u200d" else "other"


def words(text: str) -> list[str]:
    """Every character of an unspaced script with its marks, and every run of letters, digits and marks.

    A run goes on across one apostrophe, hyphen or full stop, across underscores, and across a comma, colon or slash
    between digits.
    """
    found, at = [], 0
    while at < len(text):
        sort, start = _sort(text[at]), at
        at += 1
        if sort == "unspaced":
            while at < len(text) and unicodedata.category(text[at])[0] == "M":
                at += 1
        elif sort == "letter":
            at = _end_of_word(text, at)
        else:
            continue
        found.append(text[start:at])
    return found


def _end_of_word(text: str, at: int) -> int:
    while at < len(text):
        if _sort(text[at]) in ("letter", "mark"):
            at += 1
            continue
        after = at + 1
        if text[at] == "_":
            while text[after : after + 1] == "_":
                after += 1
        elif text[at] in ",:/":
            if not (_is_digit(text[at - 1]) and _is_digit(text[after : after + 1])):
                break
        elif text[at] not in "'’.-‐‑":
            break
        if after >= len(text) or _sort(text[after]) != "letter":
            break
        at = after
    return at


def _is_digit(character: str) -> bool:
    return character != "" and unicodedata.category(character) == "Nd"


def _num_words(parameters: Parameters, text: str) -> int:
    if parameters.get("definition", "words") == "runs":
        return len(re.findall(r"\w+", text))
    return len(words(text))


def num_characters(text: str) -> int:
    """Code points that are not white space."""
    return sum(not character.isspace() for character in text)


# -- sentences, paragraphs, bullets ---------------------------------------------------------------------------------

_PLAIN = re.compile(r"[A-Za-z0-9 ,;:'’.!?\n%$()\-\u4e00-\u9fff，、；：。！？（）《》]*")
_MARKS = re.compile(r"[.!?。！？]+")
_SHORTENED = (
    "abbr adj admin adv alt anon apr apt approx appt arr art assn assoc asst attn aug ave avg avn bldg bros bul capt cf "
    "ch chap chs cmdr col comdr comm conf cont corp cpt cust dec dep dept dev diff dim dist div ecc edn eds eg eng eqs "
    "esp esq est etc evg ext fac feb fed ff fig figs fri ft gal gen gov govt hon hrs hwy ibid inc incl inst intl jan "
    "jour jul jun lbs lit llc lt ltd mag maj mar max med messrs mfg mgr mid min mins misc mlle mme mon mph mrs msgr mus "
    "natl neg nos nov nr obj oct org orig oz pers phd phys pos pres prob proc prof pron pub qty qtr ref refs reg rep reps "
    "rept res resp rev sat sec secs sen sens sep sept ser sgt soc spec sq std subj sun supp supt syn tab tech tel temp "
    "thu thur thurs trans treas tue tues univ usu var vec ver viz vol vols vs wed wks yds yrs excl aka pop pro"
)
_ABBREVIATIONS = frozenset(_SHORTENED.split())


def sentence_count(text: str) -> int | None:
    """How many sentences plain prose has; None for text that needs more rules than this to be cut.

    Plain prose has sentences that end in . ! ? 。！？ before white space, a Chinese character or the end of the line;
    every line begins a sentence. It has no abbreviations, quotation marks, ellipses, lists or Markdown.
    """
    if not _PLAIN.fullmatch(text):
        return None
    lines = [line.strip() for line in text.split("\n")]
    full = [line for line in lines if line]
    if any(line[0].islower() or not line[0].isalpha() for line in full) or any(
        line[-1] in ",，、;；:：" for line in full[:-1]
    ):
        return None
    counts = [_sentences_of_line(line) for line in full]
    return None if None in counts else sum(count for count in counts if count is not None)


def _sentences_of_line(line: str) -> int | None:
    count, start = 0, 0
    for run in _MARKS.finditer(line):
        ends = _ends_sentence(line[start : run.start()], run[0], line[run.end() :])
        if ends is None:
            return None
        if ends:
            count, start = count + 1, run.end()
    return count + any(character.isalnum() for character in line[start:])


def _ends_sentence(before: str, mark: str, after: str) -> bool | None:
    if not any(character.isalnum() for character in before):
        return None
    if "." in mark:
        return _full_stop_ends(before, after) if mark == "." else None
    if after == "":
        return True
    if re.match(r"\s*[,，、;；:：)）》'’-]", after):
        return None
    if set(mark) & set("。！？"):
        return True
    return True if after[0] == " " or "\u4e00" <= after[0] <= "\u9fff" else None


def _full_stop_ends(before: str, after: str) -> bool | None:
    if after[:1].isascii() and after[:1].isalnum() and before[-1].isascii() and before[-1].isalnum():
        return False  # 3.14, json.dumps
    if after and (after[0] != " " or re.match(r"\s*[,，、;；:：)）'’-]", after)):
        return None
    if after == "":
        return True
    last = before.split(" ")[-1]
    is_word = re.fullmatch(r"[A-Za-z]{3,}", last) and last.lower() not in _ABBREVIATIONS
    is_year = re.fullmatch(r"[0-9]{4,}", last) and not re.search(r"[:：]\s*[0-9]+$", before)
    return True if " " in before and (is_word or is_year) else None


def _num_sentences(parameters: Parameters, text: str) -> int:
    count = sentence_count(text)
    if count is None:
        raise OutsideDomainError("how many sentences this text has takes more rules than are written here")
    return count


def _num_paragraphs(parameters: Parameters, text: str) -> int:
    if parameters.get("separator", "blank_line") == "stars":
        pieces = text.split("***")
        # Nothing between two dividers is an error, which no number of paragraphs stands for.
        return len([piece for piece in pieces if piece.strip()]) if all(map(str.strip, pieces[1:-1])) else -1
    return len(_paragraphs(text))


def _paragraphs(text: str) -> list[str]:
    """What stands between blank lines and has a letter or digit."""
    pieces = re.split(r"\n(?:\s*\n)+", _plain(text))
    return [piece.strip() for piece in pieces if any(map(str.isalnum, piece))]


_NUMERALS = set("一二三四五六七八九十百")


def _num_bullets(parameters: Parameters, text: str) -> int:
    if parameters.get("definition", "any") == "markdown":
        return len(re.findall(r"^\s*\*[^*].*$", text, re.M)) + len(re.findall(r"^\s*-.*$", text, re.M))
    return sum(map(_is_bullet, text.splitlines()))


def _is_bullet(line: str) -> bool:
    """Whether a line begins with -, *, +, •, 1. 1) 1、 （1） 一、 （一） or ①, and something follows."""
    line = line.strip()
    if line and line[0] in "-*+_" and not line.replace(line[0], "").strip():
        return False  # a rule across the page
    if line[:1] in set("-*+–—"):
        return line[1:2].isspace()
    if line[:1] in set("•‣◦▪●○·①②③④⑤⑥⑦⑧⑨⑩⑪⑫⑬⑭⑮⑯⑰⑱⑲⑳"):
        return len(line) > 1
    if line[:1] in set("（("):
        inside = re.split("[)）]", line[1:], maxsplit=1)
        return len(inside) == 2 and bool(inside[1]) and _is_number(inside[0])
    size = next((at for at, character in enumerate(line) if not _is_number(character)), len(line))
    number, mark, rest = line[:size], line[size : size + 1], line[size + 1 :]
    if not _is_number(number) or not rest:
        return False
    if number[0] in _NUMERALS:
        return mark in set("、.．")
    if mark in set(".)") and rest[0].isspace():
        return True
    return mark in set(".)．、）") and not rest[0].isascii() and not rest[0].isspace() and not rest[0].isdecimal()


def _is_number(text: str) -> bool:
    return (0 < len(text) <= 3 and all(map(_is_digit, text))) or (0 < len(text) <= 4 and set(text) <= _NUMERALS)


# -- words that occur -----------------------------------------------------------------------------------------------

_LINE_ENDS = re.compile("\r\n|[\r\v\f\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "\x1b\\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff]"
)


def _plain(text: str) -> str:
    """Composed characters, simple line ends, nothing invisible, no space at the end of a line."""
    text = unicodedata.normalize("NFC", _UNSEEN.sub("", _LINE_ENDS.sub("\n", text)))
    return "\n".join(line.rstrip() for line in text.split("\n"))


def fold(text: str) -> str:
    """As keywords are searched: whatever the case, the apostrophe and the white space between words."""
    return _one_line(_plain(text).casefold())


def _one_line(text: str) -> str:
    return " ".join(text.replace("’", "'").split())


def inside_word(text: str, at: int) -> bool:
    """Whether a word or a number such as 3.14 goes on across the place before `text[at]`."""
    if not 0 < at < len(text):
        return False
    before, after = text[at - 1], text[at]
    if _sort(before) in ("letter", "mark") and _sort(after) in ("letter", "mark"):
        return True
    if _sort(before) == "unspaced" and unicodedata.category(after)[0] == "M":
        return True
    around = text[max(at - 2, 0) : at], text[at : at + 2]
    return bool(re.search(r"\d$", around[0]) and re.match(r"[.,:]\d", around[1])) or bool(
        re.search(r"\d[.,:]$", around[0]) and re.match(r"\d", around[1])
    )


def occurrences(text: str, keyword: str, match: str, start: int = 0) -> list[int]:
    """Where `keyword` begins in `text`, from left to right without overlap."""
    found = []
    while (at := text.find(keyword, start)) >= 0:
        whole = match != "word" or not (inside_word(text, at) or inside_word(text, at + len(keyword)))
        if whole:
            found.append(at)
        start = at + len(keyword) if whole else at + 1
    return found


def _found(parameters: Parameters, phrase: str, text: str) -> list[int]:
    match = parameters.get("match", "word")
    if parameters.get("inflections"):
        return _found_inflected(phrase, fold(text))
    if match == "exact":
        return occurrences(_one_line(_plain(text)), _one_line(_plain(phrase)), match)
    return occurrences(fold(text), fold(phrase), match)


def _found_inflected(phrase: str, folded: str) -> list[int]:
    """The word, and its regular forms where the stem stays as it is ("help", "start")."""
    word = fold(phrase)
    endings = ("", "s", "ed", "ing") if re.fullmatch(r"[a-z]{2,}[aeiou][bcdfgklmnprtv]{2}", word) else ("",)
    return sorted(at for ending in endings for at in occurrences(folded, word + ending, "word"))


def _keywords(parameters: Parameters, text: str) -> bool:
    phrases = parameters.get("all") or parameters.get("any") or ()
    least, most = parameters.get("times", 1), parameters.get("maximum")
    if parameters.get("inflections") and (most is not None or parameters.get("in_order")):
        raise OutsideDomainError("not all inflected forms are known here")
    fits = [least <= (number := len(_found(parameters, p, text))) and (most is None or number <= most) for p in phrases]
    if parameters.get("any"):
        return any(fits)
    return all(fits) and (not parameters.get("in_order") or _in_order(parameters, phrases, text))


def _in_order(parameters: Parameters, phrases: Any, text: str) -> bool:
    match, end = parameters.get("match", "word"), 0
    read: Callable[[str], str] = (lambda one: _one_line(_plain(one))) if match == "exact" else fold
    for phrase in map(read, phrases):
        # The earliest place leaves the most room for the rest.
        places = occurrences(read(text), phrase, match, end)
        if not places:
            return False
        end = places[0] + len(phrase)
    return True


def _forbidden(parameters: Parameters, text: str) -> bool:
    return not any(_found(parameters, word, text) for word in parameters["words"])


# -- how it begins, ends, or is as a whole --------------------------------------------------------------------------


def _bare(text: str) -> str:
    """Without case and without double quotation marks around the whole."""
    return _plain(text).strip().strip('"“”').strip().casefold()


def _starts_with(parameters: Parameters, text: str) -> bool:
    answer, expected = _plain(text).strip(), _plain(parameters["text"])
    if parameters.get("loose"):
        answer, expected = _bare(text), _bare(expected)
    return answer.startswith(expected) and not inside_word(answer, len(expected))


def _ends_with(parameters: Parameters, text: str) -> bool:
    answer, expected = _plain(text).strip(), _plain(parameters["text"])
    if parameters.get("loose"):
        answer, expected = _bare(text), _bare(expected)
    return answer.endswith(expected) and not inside_word(answer, len(answer) - len(expected))


def _choice(parameters: Parameters, text: str) -> bool:
    def bare(answer: str) -> str:
        folded = fold(answer)
        return folded[:-1].strip() if len(folded) > 1 and folded[-1] in ".。" else folded

    return bare(text) in [bare(option) for option in parameters["options"]]


def _regex(parameters: Parameters, text: str) -> bool:
    pattern = re.compile(parameters["pattern"])
    return bool(pattern.fullmatch(text.strip()) if parameters["match"] == "full" else pattern.search(text.strip()))


def _json_schema(parameters: Parameters, text: str) -> bool:
    answer = text.strip()
    fence = re.fullmatch(r"```(?:json|JSON)?[ \t]*\n(.*)\n[ \t]*```", answer, re.S)
    if fence and parameters.get("allow_code_fence"):
        answer = fence[1]
    try:
        value = json.loads(answer, object_pairs_hook=_members, parse_constant=_refuse, parse_float=_finite)
    except ValueError:
        return False
    schema = parameters["schema"]
    draft = validators.validator_for(schema, default=validators.Draft202012Validator)
    return bool(draft(schema).is_valid(value))


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(members := dict(pairs)) < len(pairs):
        raise ValueError("a key occurs twice")
    return members


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    if (number := float(digits)) in (float("inf"), float("-inf")):
        raise ValueError("too large a number")
    return number


def _grammar(parameters: Parameters, text: str) -> bool:
    rule = re.fullmatch(r"\s*start\s*:\s*(.+?)\s*", parameters["grammar"])
    if rule and (pattern := re.fullmatch(r"/(.*)/", rule[1])):
        return re.fullmatch(pattern[1], text.strip()) is not None
    if rule and re.fullmatch(r'"[^"\\]*"(\s*\|\s*"[^"\\]*")*', rule[1]):
        return text.strip() in re.findall(r'"([^"]*)"', rule[1])
    raise OutsideDomainError("a grammar of more than one simple rule is not decided here")


# -- letters --------------------------------------------------------------------------------------------------------

_COMMON = (
    "the a an of to and in is are was were be been it its that this these those for with as on by at from or not have has "
    "had he she they we you i his her their our your will can would should may but if which who when there than then so "
    "do does into about more most other also such no all some one two very"
)
_ENGLISH = frozenset(_COMMON.split())
_SCRIPT_NAMES = {
    "Latin": ("LATIN", "FULLWIDTH LATIN", "FEMININE ORDINAL", "MASCULINE ORDINAL", "KELVIN", "ANGSTROM"),
    "Han": ("CJK", "IDEOGRAPHIC"),
    "Cyrillic": ("CYRILLIC",),
    "Greek": ("GREEK",),
    "Hiragana": ("HIRAGANA",),
    "Katakana": ("KATAKANA", "HALFWIDTH KATAKANA"),
    "Hangul": ("HANGUL",),
    "Arabic": ("ARABIC",),
    "Thai": ("THAI",),
}


def letters_of(text: str) -> list[str]:
    """The characters that Unicode calls letters."""
    return [character for character in text if unicodedata.category(character)[0] == "L"]


# Letters that Unicode's Scripts.txt gives to Latin, though their names do not begin so.
_ALSO_LATIN = frozenset("\u2071\u207f\u212a\u212b\u2132\u214e\u2183")


def _is_of(script: str, character: str) -> bool:
    if script == "Latin" and character in _ALSO_LATIN:
        return True
    return unicodedata.name(character, "").startswith(_SCRIPT_NAMES[script])


def _script(parameters: Parameters, text: str) -> bool:
    return all(_is_of(parameters["script"], letter) for letter in letters_of(text))


def _language(parameters: Parameters, text: str) -> bool:
    letters, found = letters_of(text), words(text)
    if re.search(r"[`{}<>=_\[\]]|://", text):
        return False  # Code and addresses are in no language.
    if parameters["language"] == "zh":
        return len(letters) >= 12 and all(_is_of("Han", letter) for letter in letters)
    if parameters["language"] == "en":
        common = [word.lower() for word in found if word.lower() in _ENGLISH]
        if len(found) < 12 or len(set(common)) < 4 or len(common) < 0.25 * len(found):
            return False
        return all(map(str.isascii, letters))
    raise OutsideDomainError("only English and Chinese are told here")


def _num_letters(parameters: Parameters, text: str) -> int:
    return _plain(text).lower().count(parameters["letter"].lower())


def _num_capitals(parameters: Parameters, text: str) -> int:
    return sum(word.isupper() for word in words(text))


def _case(parameters: Parameters, text: str) -> bool:
    return text.isupper() if parameters["case"] == "upper" else text.islower()


# -- the forms that IFEval (arXiv:2311.07911) asks for --------------------------------------------------------------


def _num_highlights(text: str) -> int:
    single = [found.strip("*").strip() for found in re.findall(r"\*[^\n*]*\*", text)]
    double = [found[2:-2].strip() for found in re.findall(r"\*\*[^\n*]*\*\*", text)]
    return sum(map(bool, single)) + sum(map(bool, double))


def _postscript(parameters: Parameters, text: str) -> bool:
    marker = parameters["marker"]
    patterns = {"P.S.": r"p\.\s?s\.", "P.P.S": r"p\.\s?p\.\s?s"}
    return re.search(patterns.get(marker, re.escape(marker.lower())), text.lower()) is not None


def _responses(parameters: Parameters, text: str) -> bool:
    pieces = [piece.strip() for piece in text.split("******")]
    kept = [piece for at, piece in enumerate(pieces) if piece or at not in (0, len(pieces) - 1)]
    return all(kept) and len(kept) == parameters.get("number", 2) == len(set(kept))


def _paragraph_start(parameters: Parameters, text: str) -> bool:
    paragraphs, word = _paragraphs(text), fold(parameters["word"])
    if len(paragraphs) != parameters["paragraphs"] or parameters["paragraph"] > len(paragraphs):
        return False
    opening = fold(paragraphs[parameters["paragraph"] - 1]).lstrip("\"'“”‘「『«")
    return opening.startswith(word) and not inside_word(opening, len(word))


def _quoted(parameters: Parameters, text: str) -> bool:
    answer = text.strip()
    return len(answer) > 1 and answer[0] + answer[-1] in ('""', "“”")


def _sections(parameters: Parameters, text: str) -> bool:
    return len(re.findall(re.escape(parameters["splitter"]) + r"\s?\d+", text)) >= int(parameters["minimum"])


def _title(parameters: Parameters, text: str) -> bool:
    return any(found.strip("<>").strip() for found in re.findall(r"<<[^\n]+>>", text))


def _counted(count: Callable[[Parameters, str], int]) -> Callable[[Parameters, str], bool]:
    def check(parameters: Parameters, text: str) -> bool:
        number = count(parameters, text)
        exactly, most = parameters.get("exactly"), parameters.get("maximum")
        if exactly is not None:
            return bool(number == exactly)
        return number >= (parameters.get("minimum") or 0) and (most is None or number <= most)

    return check


_CHECKS: dict[str, Callable[[Parameters, str], bool]] = {
    "words": _counted(_num_words),
    "characters": _counted(lambda _, text: num_characters(text)),
    "sentences": _counted(_num_sentences),
    "paragraphs": _counted(_num_paragraphs),
    "bullets": _counted(_num_bullets),
    "letters": _counted(_num_letters),
    "capitals": _counted(_num_capitals),
    "placeholders": _counted(lambda _, text: len(re.findall(r"\[.*?\]", text))),
    "highlights": _counted(lambda _, text: _num_highlights(text)),
    "keywords": _keywords,
    "forbidden": _forbidden,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "choice": _choice,
    "regex": _regex,
    "json_schema": _json_schema,
    "grammar": _grammar,
    "script": _script,
    "language": _language,
    "case": _case,
    "no_commas": lambda _, text: not set(text) & set(",，、﹐﹑､،"),
    "sections": _sections,
    "title": _title,
    "postscript": _postscript,
    "quoted": _quoted,
    "responses": _responses,
    "repeats": lambda parameters, text: (
        _plain(text).strip().casefold().startswith(_plain(parameters["text"]).casefold())
    ),
    "paragraph_start": _paragraph_start,
}
