"""Compositions of requirements with an answer that is known to keep them, made from real English and Chinese text.

    for item in planted(seed=0, count=1000):
        item.specs, item.solution, item.language, item.family

The solution comes first: a piece of a document, a JSON object of its parts, a short form, or a choice. Requirements are then
read off it, and the independent checker confirms every one. So a composition that an engine refuses, or fails, is one
that it could have kept. Item `i` depends on `seed` and `i` alone. The development data is not part of the project.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from heedful.records import RequirementSpec
from independent_checker import (
    OutsideDomainError,
    fold,
    letters_of,
    num_characters,
    occurrences,
    satisfies,
    sentence_count,
    words,
)

Language = Literal["en", "zh"]

MIX = {"prose": 0.51, "json": 0.25, "regex": 0.10, "format": 0.10, "choice": 0.04}
"""Share of each family."""
CHINESE = 0.4
MAX_SPECS = 6


@dataclass(frozen=True, slots=True)
class Planted:
    """Requirements, and one answer that keeps them all."""

    specs: tuple[RequirementSpec, ...]
    solution: str
    language: Language
    family: str


def planted(seed: int, count: int, *, folder: Path | None = None) -> Iterator[Planted]:
    """`count` compositions; raises FileNotFoundError where the development data is absent."""
    corpora = corpus(folder or data_folder())
    for index in range(count):
        rng = random.Random(f"planted {seed} {index}")
        language: Language = "zh" if rng.random() < CHINESE else "en"
        family = rng.choices(list(MIX), list(MIX.values()))[0]
        while (item := _compose(rng, _FAMILIES[family](rng, corpora[language]), family)) is None:
            pass
        yield item


# -- the documents --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Corpus:
    """Documents in one language."""

    language: Language
    documents: tuple[str, ...]


def data_folder() -> Path:
    """`$HEEDFUL_SHARED_DATA`, or `../shared/data` beside the project, as all tests have it."""
    return Path(os.environ.get("HEEDFUL_SHARED_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@lru_cache(maxsize=2)
def corpus(folder: Path) -> dict[Language, Corpus]:
    """The documents of both languages, as they are found."""
    demos = folder / "llama_factory_demos"
    english = [row["output"] for row in _rows(folder / "alpaca" / "alpaca_data.json.gz")]
    english += [row["text"] for row in _lines(folder / "corpus_wiki_c4_demo" / "c4_demo.jsonl.gz")]
    english += _text(folder / "corpus_wiki_c4_demo" / "wiki_demo.txt.gz").splitlines()
    chinese = [row["output"] for row in _rows(folder / "oasst_zh" / "oaast_sft_zh.json.gz")]
    chinese += [row["output"] for row in _rows(demos / "alpaca_zh_demo.json.gz")]
    chinese += [row["chosen"]["value"] for row in _rows(demos / "dpo_zh_demo.json.gz")]
    chinese += [
        given["output"] for row in _lines(folder / "belle" / "zh_seed_tasks.json") for given in row["instances"]
    ]
    return {"en": Corpus("en", tuple(english)), "zh": Corpus("zh", tuple(chinese))}


def _text(path: Path) -> str:
    return (gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()).decode()


def _rows(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(_text(path)))


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _text(path).splitlines() if line.strip()]


_STOP = {"en": re.compile(r"(?<=[.!?])\s+"), "zh": re.compile(r"(?<=[。！？])\s*|\n+")}
# Markdown and brackets are put around the text where they are asked for, and nowhere else.
_STRANGE = re.compile(r"   |[*#|`<>\[\]{}\\]|[^\x20-\x7e\n’“”‘é\u4e00-\u9fff，、；：。！？（）《》]")


def snippet(rng: random.Random, source: Corpus, least: int = 5, most: int = 120) -> str:
    """Sentences that follow each other in a document: `least` to `most` words (Chinese: characters)."""
    while True:
        document = rng.choice(source.documents).strip()
        limit = round(least * (most / least) ** rng.random())
        start = 0
        if len(document) > 1500 or rng.random() < 0.3:
            stops = [match.end() for match in _STOP[source.language].finditer(document[:20_000])]
            start = rng.choice(stops) if stops else 0
        text = _first_sentences(document[start : start + 1500], source.language, limit, most)
        # Whatever is removed when texts are normalised would only test that.
        if _STRANGE.search(text) or unicodedata.normalize("NFC", text) != text or "\n\n\n" in text or " \n" in text:
            continue
        if least <= len(words(text)) <= most and _is_in(source.language, text):
            return text


def _first_sentences(document: str, language: Language, limit: int, most: int) -> str:
    text, end = "", 0
    for stop in [*(match.start() for match in _STOP[language].finditer(document)), len(document)]:
        if text and len(words(document[:stop])) > limit:
            break
        text, end = document[:stop], stop
    if end == len(document) == 1500:
        return ""  # It may have been cut in the middle of a word.
    return text.strip() if len(words(text)) <= most else ""


def _is_in(language: Language, text: str) -> bool:
    letters = letters_of(text)
    num_han = sum("\u4e00" <= letter <= "\u9fff" for letter in letters)
    return bool(letters) and (num_han >= 0.7 * len(letters) if language == "zh" else num_han == 0)


# -- what is read off a solution ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Draft:
    """A solution, what it was made to keep, and what else may be read off it."""

    solution: str
    source: Corpus
    base: tuple[RequirementSpec, ...] = ()
    """At least one of these is asked for."""
    readable: tuple[str, ...] = ()
    """Names of facets."""


Facet = Callable[[random.Random, Draft], RequirementSpec | None]


def _compose(rng: random.Random, draft: Draft, family: str) -> Planted | None:
    """Requirements of the draft; None when nothing could be read off it."""
    wanted = rng.choices(range(1, MAX_SPECS + 1), (2, 4, 5, 4, 3, 2))[0]
    specs = list(draft.base[:wanted])
    names = rng.sample(draft.readable, len(draft.readable))
    while names and len(specs) < wanted:
        spec = FACETS[names.pop()](rng, draft)
        taken = {known.kind for known in specs}
        if spec is not None and (spec.kind not in taken or spec.kind == "keywords") and _keeps(spec, draft.solution):
            specs.append(spec)
    if not specs:
        return None
    rng.shuffle(specs)
    if not all(_keeps(spec, draft.solution) for spec in specs):
        return None  # A form was read off the text, and another part of the text breaks it.
    return Planted(tuple(specs), draft.solution, draft.source.language, family)


def _keeps(spec: RequirementSpec, text: str) -> bool:
    try:
        return satisfies(spec.kind, spec.parameters, text)
    except OutsideDomainError:
        return False


def _bounds(rng: random.Random, kind: str, count: int, **others: Any) -> RequirementSpec | None:
    """Bounds that `count` is within: exact ones as often as loose ones."""
    slack = max(1, count // 4)
    low, high = max(count - rng.randint(0, slack), 1), count + rng.randint(0, slack)
    shapes: list[dict[str, int]] = [{"maximum": high}]
    if count:
        shapes += [{"exactly": count}, {"exactly": count}, {"minimum": low, "maximum": high}, {"minimum": low}]
    return RequirementSpec(kind, {**others, **rng.choice(shapes)})


def _words(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    if rng.random() < 0.1:
        return _bounds(rng, "words", len(re.findall(r"\w+", draft.solution)), definition="runs")
    return _bounds(rng, "words", len(words(draft.solution)))


def _characters(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    return _bounds(rng, "characters", num_characters(draft.solution))


def _sentences(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    count = sentence_count(draft.solution)
    return _bounds(rng, "sentences", count) if count else None


def _paragraphs(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    return _bounds(rng, "paragraphs", len(re.split(r"\n\s*\n", draft.solution)))


def _letters(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    letter = rng.choice("aeiorstnlzqx")
    return _bounds(rng, "letters", draft.solution.lower().count(letter), letter=letter)


def terms(text: str, language: Language) -> list[str]:
    """Words of three letters or more, in Chinese two to four characters in a row; in order, none over another."""
    if language == "en":
        return re.findall(r"(?<![\w'’.-])[A-Za-z]{3,}(?![\w'’-]|\.\w)", text)
    found = []
    for run in re.findall(r"[\u4e00-\u9fff]{2,}", text):
        at = 0
        while len(run) - at >= 2:
            size = 2 + (at + len(run)) % 3
            found.append(run[at : at + size])
            at += size
    return [term for term in found if len(term) > 1]


def _different(found: list[str]) -> list[str]:
    return list({fold(term): term for term in reversed(found)}.values())[::-1]


def _keywords(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    found = _different(terms(draft.solution, draft.source.language))
    if not found:
        return None
    number = rng.choice((1, 1, 2, 2, 3, 3, 4, 5, 8, 12, 20))
    picked = rng.sample(found, min(number, len(found)))
    match: dict[str, Any] = {"match": "substring"} if rng.random() < 0.15 else {}
    if rng.random() < 0.2:
        others = _absent(rng, draft, number=3)
        return RequirementSpec("keywords", {"any": rng.sample([*others, picked[0]], len(others) + 1), **match})
    return RequirementSpec("keywords", {"all": picked, **match})


def _keywords_counted(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    """Keywords at least, at most or exactly so often as the most frequent of two."""
    found = _different(terms(draft.solution, draft.source.language))
    folded = fold(draft.solution)
    often = {term: len(occurrences(folded, fold(term), "word")) for term in found}
    several = [term for term in found if often[term] > 1] or found
    if not several:
        return None
    term = rng.choice(several)
    number = often[term]
    shape = rng.choice(("times", "exactly", "maximum"))
    if shape == "times":
        return RequirementSpec("keywords", {"all": [term], "times": number})
    times = number if shape == "exactly" else 0
    return RequirementSpec("keywords", {"all": [term], "times": times, "maximum": number + (0 if times else 1)})


def _keywords_exact(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    found = _different(terms(draft.solution, draft.source.language))
    with_capitals = [term for term in found if term != term.lower()] or found
    if not with_capitals:
        return None
    picked = rng.sample(with_capitals, min(rng.randint(1, 3), len(with_capitals)))
    return RequirementSpec("keywords", {"all": picked, "match": "exact"})


def _keywords_in_order(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    found = _different(terms(draft.solution, draft.source.language))
    if len(found) < 2:
        return None
    places = sorted(rng.sample(range(len(found)), min(rng.randint(2, 4), len(found))))
    return RequirementSpec("keywords", {"all": [found[place] for place in places], "in_order": True})


def _keywords_inflected(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    """A verb or noun of which the text has a regular form."""
    forms = re.findall(r"\b([a-z]{2,}[aeiou][bcdfgklmnprtv]{2})(?:s|ed|ing)\b", draft.solution)
    if not forms:
        return None
    return RequirementSpec("keywords", {"all": [rng.choice(forms)], "inflections": True})


def _absent(rng: random.Random, draft: Draft, number: int) -> list[str]:
    """Words of another document that do not occur."""
    other = _different(terms(snippet(rng, draft.source, 20), draft.source.language))
    folded = fold(draft.solution)
    return [term for term in other if fold(term) not in folded][:number]


def _forbidden(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    absent = _absent(rng, draft, rng.randint(1, 5))
    match = {"match": "substring"} if rng.random() < 0.2 else {}
    return RequirementSpec("forbidden", {"words": absent, **match}) if absent else None


def _starts_with(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    line = draft.solution.split("\n")[0]
    if draft.source.language == "zh":
        phrase = line[: rng.randint(2, 8)].strip()
    else:
        phrase = " ".join(line.split(" ")[: rng.randint(1, 4)]).strip()
    return RequirementSpec("starts_with", {"text": phrase}) if phrase else None


def _ends_with_loosely(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    """As before, but in another case."""
    spec = _ends_with(rng, draft)
    return RequirementSpec("ends_with", {"text": spec.parameters["text"].swapcase(), "loose": True}) if spec else None


def _ends_with(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    line = draft.solution.split("\n")[-1]
    if draft.source.language == "zh":
        phrase = line[-rng.randint(2, 8) :].strip()
    else:
        phrase = " ".join(line.split(" ")[-rng.randint(1, 4) :]).strip()
    return RequirementSpec("ends_with", {"text": phrase}) if phrase else None


def _no_commas(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    return None if re.search("[,，、]", draft.solution) else RequirementSpec("no_commas", {})


def _script(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    return RequirementSpec("script", {"script": "Latin" if draft.source.language == "en" else "Han"})


def _language(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    return RequirementSpec("language", {"language": draft.source.language})


def _capitals(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    # One letter alone ("I") may or may not be a word in capital letters; two and more are.
    number = len([word for word in words(draft.solution) if re.fullmatch("[A-Z]{2,}", word)])
    alone = [word for word in words(draft.solution) if word.isupper() and not re.fullmatch("[A-Z]{2,}", word)]
    return None if alone else _bounds(rng, "capitals", number)


def _regex_search(rng: random.Random, draft: Draft) -> RequirementSpec | None:
    found = terms(draft.solution, draft.source.language)
    if not found:
        return None
    term = re.escape(rng.choice(found))
    kinds = [term, f"{term[:-1]}." if draft.source.language == "zh" else rf"\b{term}\b"]
    kinds += [r"\d{4}", r"\d+", r"[A-Z][a-z]+ [A-Z][a-z]+", r"[a-z]{9,}", r"[.!?。！？]$"]
    kinds += [rf"{re.escape(one)}[^\n]{{0,40}}{re.escape(two)}" for one, two in pairwise(found)][:3]
    fitting = [kind for kind in kinds if re.search(kind, draft.solution)]
    return RequirementSpec("regex", {"pattern": rng.choice(fitting), "match": "search"})


FACETS: dict[str, Facet] = {
    "words": _words,
    "characters": _characters,
    "sentences": _sentences,
    "paragraphs": _paragraphs,
    "letters": _letters,
    "keywords": _keywords,
    "keywords_counted": _keywords_counted,
    "keywords_exact": _keywords_exact,
    "keywords_in_order": _keywords_in_order,
    "keywords_inflected": _keywords_inflected,
    "forbidden": _forbidden,
    "starts_with": _starts_with,
    "ends_with": _ends_with,
    "ends_with_loosely": _ends_with_loosely,
    "no_commas": _no_commas,
    "script": _script,
    "language": _language,
    "capitals": _capitals,
    "regex_search": _regex_search,
}


# -- prose ----------------------------------------------------------------------------------------------------------

_WHOLE = ("words", "characters", "keywords", "forbidden")
_ANYWHERE = (*_WHOLE, *_WHOLE, "letters", "keywords_counted", "keywords_exact", "keywords_in_order", "regex_search")
_PROSE = (
    *_ANYWHERE,
    "keywords_inflected",
    "sentences",
    "sentences",
    "paragraphs",
    "starts_with",
    "ends_with",
    "language",
    "script",
)
# Each of these is read off rarely: most texts keep it only because they were made to.
_RARE = ("no_commas", "capitals", "ends_with_loosely")


def _prose(rng: random.Random, source: Corpus) -> Draft:
    shape = rng.choices(("as_it_is", "bullets", "paragraphs", "case", "no_commas"), (60, 12, 10, 10, 8))[0]
    if shape == "as_it_is" or (shape == "case" and source.language == "zh"):
        return Draft(snippet(rng, source), source, readable=(*_PROSE, rng.choice(_RARE)))
    if shape == "bullets":
        return _bulleted(rng, source)
    if shape == "paragraphs":
        pieces = [snippet(rng, source, 5, 40).replace("\n", " ") for _ in range(rng.randint(2, 4))]
        spec = _bounds(rng, "paragraphs", len(pieces))
        assert spec is not None
        return Draft("\n\n".join(pieces), source, (spec,), _PROSE)
    text = snippet(rng, source)
    if shape == "no_commas":
        text = re.sub(r" *[,，、] *", " " if source.language == "en" else "", text).strip()
        return Draft(text, source, (RequirementSpec("no_commas", {}),), _PROSE)
    case = rng.choice(("upper", "lower"))
    text = text.upper() if case == "upper" else text.lower()
    return Draft(text, source, (RequirementSpec("case", {"case": case}),), (*_ANYWHERE, "starts_with", "ends_with"))


def _bulleted(rng: random.Random, source: Corpus) -> Draft:
    marker = rng.choice(("- ", "- ", "* ", "• "))
    items = [snippet(rng, source, 3, 15).replace("\n", " ") for _ in range(rng.randint(2, 6))]
    definition = {"definition": "markdown"} if marker != "• " and rng.random() < 0.3 else {}
    spec = _bounds(rng, "bullets", len(items), **definition)
    assert spec is not None
    return Draft("\n".join(marker + item for item in items), source, (spec,), (*_ANYWHERE, "ends_with"))


# -- JSON -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    value: Any
    schema: dict[str, Any]


def _text_field(rng: random.Random, name: str, text: str) -> _Field:
    schema: dict[str, Any] = {"type": "string"}
    if rng.random() < 0.6:
        schema["maxLength"] = len(text) + rng.randint(0, 20)
    if rng.random() < 0.4:
        schema["minLength"] = max(len(text) - rng.randint(0, 20), 1)
    return _Field(name, text, schema)


def _title_field(rng: random.Random, source: Corpus) -> _Field:
    return _text_field(rng, rng.choice(("title", "heading", "name")), _phrase(rng, source))


def _summary_field(rng: random.Random, source: Corpus) -> _Field:
    return _text_field(rng, rng.choice(("summary", "description", "body")), snippet(rng, source, 6, 50))


def _tags_field(rng: random.Random, source: Corpus) -> _Field:
    tags = _different(terms(snippet(rng, source, 20), source.language))[: rng.randint(1, 5)] or ["tag"]
    item: dict[str, Any] = {"type": "string"}
    if rng.random() < 0.5:
        item["maxLength"] = max(map(len, tags)) + rng.randint(0, 5)
    schema = {"type": "array", "items": item, "minItems": rng.randint(1, len(tags)), "maxItems": len(tags) + 1}
    return _Field("tags", tags, schema)


def _year_field(rng: random.Random, source: Corpus) -> _Field:
    year = rng.randint(1900, 2030)
    return _Field("year", year, {"type": "integer", "minimum": year - rng.randint(0, 50), "maximum": 2030})


def _rating_field(rng: random.Random, source: Corpus) -> _Field:
    rating = rng.randint(10, 50) / 10
    return _Field("rating", rating, {"type": "number", "minimum": 1, "maximum": 5})


def _status_field(rng: random.Random, source: Corpus) -> _Field:
    options = ["draft", "review", "published"] if source.language == "en" else ["草稿", "审核中", "已发布"]
    return _Field("status", rng.choice(options), {"type": "string", "enum": options})


def _date_field(rng: random.Random, source: Corpus) -> _Field:
    date = f"{rng.randint(1950, 2030)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    shape = {"pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"} if rng.random() < 0.6 else {"format": "date"}
    return _Field("date", date, {"type": "string", **shape})


def _address_field(rng: random.Random, source: Corpus) -> _Field:
    city = rng.choice(("Lisbon", "Nairobi", "Oslo") if source.language == "en" else ("北京", "上海", "成都"))
    postcode = f"{rng.randint(0, 999_999):06}"
    properties = {
        "street": {"type": "string", "minLength": 1, "maxLength": 60},
        "city": {"type": "string"},
        "postcode": {"type": "string", "pattern": "^[0-9]{6}$"},
    }
    value = {"street": _phrase(rng, source), "city": city, "postcode": postcode}
    return _Field("address", value, _object(properties, required=["street", "city", "postcode"]))


def _active_field(rng: random.Random, source: Corpus) -> _Field:
    return _Field("active", rng.random() < 0.5, {"type": "boolean"})


def _sections_field(rng: random.Random, source: Corpus) -> _Field:
    items = [{"heading": _phrase(rng, source), "words": rng.randint(1, 500)} for _ in range(rng.randint(1, 3))]
    item = _object({"heading": {"type": "string"}, "words": {"type": "integer", "minimum": 0}}, ["heading", "words"])
    return _Field("sections", items, {"type": "array", "items": item, "minItems": 1, "maxItems": 3})


def _object(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _phrase(rng: random.Random, source: Corpus) -> str:
    """A few words in a row, 2 to 60 characters, without what ends a sentence."""
    while True:
        text = re.split(r"[\n.!?。！？\"“”]", snippet(rng, source, 6, 60))[0].strip()
        if source.language == "zh":
            text = text[: rng.randint(4, 14)].strip("，、；： ")
        else:
            text = " ".join(text.split()[: rng.randint(2, 7)]).strip(",;: ")
        if 2 <= len(text) <= 60 and _is_in(source.language, text):
            return text


_FIELDS = (_year_field, _rating_field, _status_field, _date_field, _address_field, _active_field, _sections_field)


def _json(rng: random.Random, source: Corpus) -> Draft:
    makers = [_title_field, *rng.sample((_summary_field, _tags_field, *_FIELDS), rng.randint(0, 4))]
    fields = [make(rng, source) for make in makers]
    kept = [field for field in fields if field is fields[0] or rng.random() < 0.9]
    required = [field.name for field in kept if field is fields[0] or rng.random() < 0.8]
    schema = _object({field.name: field.schema for field in fields}, required)
    if rng.random() < 0.2:
        del schema["additionalProperties"]
    value: Any = {field.name: field.value for field in kept}
    if rng.random() < 0.1:
        value, schema = [value], {"type": "array", "items": schema, "minItems": 1, "maxItems": 2}
    layout: dict[str, Any] = rng.choice(({}, {}, {"indent": 2}, {"separators": (",", ":")}))
    solution = json.dumps(value, ensure_ascii=False, **layout)
    base = RequirementSpec("json_schema", {"schema": schema})
    return Draft(solution, source, (base,), (*_WHOLE, *_WHOLE, "letters", "keywords_counted", "regex_search"))


# -- one pattern for the whole answer -------------------------------------------------------------------------------

_MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October")


def _regex(rng: random.Random, source: Corpus) -> Draft:
    make = rng.choice((_date, _figures, _shape, _shape, _record, _listed))
    solution, pattern = make(rng, source)
    base = RequirementSpec("regex", {"pattern": pattern, "match": "full"})
    return Draft(solution, source, (base,), (*_WHOLE, *_WHOLE, "letters", "starts_with", "ends_with"))


def _date(rng: random.Random, source: Corpus) -> tuple[str, str]:
    year, month, day = rng.randint(1800, 2030), rng.randint(1, 10), rng.randint(1, 28)
    if source.language == "zh":
        return f"{year}年{month}月{day}日", r"\d{4}年\d{1,2}月\d{1,2}日"
    return f"{_MONTHS[month - 1]} {day}, {year}", rf"(?:{'|'.join(_MONTHS)}) \d{{1,2}}, \d{{4}}"


def _figures(rng: random.Random, source: Corpus) -> tuple[str, str]:
    number = rng.randint(1000, 9999)
    unit = rng.choice(("kg", "EUR", "miles")) if source.language == "en" else rng.choice(("公斤", "元", "公里"))
    return rng.choice(
        (
            (f"{number} {unit}", rf"[0-9]{{3,5}} {unit}"),
            (f"+49 {number} {number // 7:04}", r"\+\d{2} \d{4} \d{3,4}"),
            (f"{number}.{number % 100:02}", r"-?\d+\.\d{2}"),
            (f"{number % 24:02}:{number % 60:02}", r"([01]\d|2[0-3]):[0-5]\d"),
            (f"{_phrase(rng, source)}: {number}", r"[^:\n]{2,80}: \d{4}"),
        )
    )


def _shape(rng: random.Random, source: Corpus) -> tuple[str, str]:
    """A sentence, some of its words left open but for their shape."""
    text = " ".join(snippet(rng, source, 3, 16).split())
    if source.language == "zh":
        pieces = re.split(r"([\u4e00-\u9fff]+)", text)
        return text, "".join(_open(rng, piece, "\u4e00-\u9fff") for piece in pieces)
    pieces = re.split(r"([A-Za-z]+)", text)
    return text, "".join(_open(rng, piece, "A-Za-z") for piece in pieces)


def _open(rng: random.Random, piece: str, letters: str) -> str:
    if not re.fullmatch(rf"[{letters}]+", piece) or rng.random() < 0.5:
        return re.escape(piece)
    if rng.random() < 0.3:
        return rf"[{letters}]+"
    if letters == "A-Za-z" and piece.islower():
        letters = "a-z"
    return rf"[{letters}]{{{max(len(piece) - 2, 1)},{len(piece) + rng.randint(0, 3)}}}"


def _record(rng: random.Random, source: Corpus) -> tuple[str, str]:
    first, second = ("Title", "Year") if source.language == "en" else ("标题", "年份")
    phrase, year = _phrase(rng, source), rng.randint(1900, 2030)
    return f"{first}: {phrase}\n{second}: {year}", rf"{first}: .{{2,80}}\n{second}: (19|20)\d{{2}}"


def _listed(rng: random.Random, source: Corpus) -> tuple[str, str]:
    items = [_phrase(rng, source) for _ in range(rng.randint(2, 4))]
    joint = ", " if source.language == "en" else "、"
    stop = "." if source.language == "en" else "。"
    item = r"[^,.\n]+" if source.language == "en" else r"[^、。\n]+"
    items = [re.sub(r"[,.、。]", "", one) or "x" for one in items]
    return joint.join(items) + stop, rf"{item}(?:{joint}{item}){{1,5}}{re.escape(stop)}"


# -- choices --------------------------------------------------------------------------------------------------------

_CHOICES: dict[Language, tuple[tuple[str, ...], ...]] = {
    "en": (("positive", "negative", "neutral"), ("yes", "no", "unclear"), ("World", "Sports", "Business", "Science")),
    "zh": (("正面", "负面", "中性"), ("是", "否", "不确定"), ("国际", "体育", "财经", "科技")),
}


def _choice(rng: random.Random, source: Corpus) -> Draft:
    if rng.random() < 0.5:
        options = list(rng.choice(_CHOICES[source.language]))
    else:
        options = _different([_phrase(rng, source) for _ in range(rng.randint(2, 6))])
        options = options if len(options) > 1 else ["A", "B"]
    base = RequirementSpec("choice", {"options": options})
    readable = ("words", "characters", "forbidden", "starts_with", "ends_with", "letters", "keywords", "regex_search")
    return Draft(rng.choice(options), source, (base,), readable)


# -- the forms that IFEval asks for ---------------------------------------------------------------------------------


def _format(rng: random.Random, source: Corpus) -> Draft:
    """Real text with one or two forms around it; each of them is asked for."""
    text = re.sub(r"[\"“”]", "", snippet(rng, source, 8, 80)).strip()
    if rng.random() < 0.3:
        text, specs = rng.choice(_WHOLE_FORMS)(rng, source, text)
        return Draft(text, source, specs, _ANYWHERE)
    specs = ()
    for form in sorted(rng.sample(_FORMS, rng.choice((1, 1, 2))), key=_FORMS.index):
        text, more = form(rng, source, text)
        specs += more
    return Draft(text, source, specs, _ANYWHERE)


Form = Callable[[random.Random, Corpus, str], tuple[str, tuple[RequirementSpec, ...]]]


def _with_title(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    return f"<<{_phrase(rng, source)}>>\n{text}", (RequirementSpec("title", {}),)


def _with_placeholders(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    names = ("name", "address", "date", "city") if source.language == "en" else ("姓名", "地址", "日期", "城市")
    number = rng.randint(1, 4)
    filled = "".join(f" [{name}]" for name in names[:number])
    return text + filled, (RequirementSpec("placeholders", {"minimum": number}),)


def _with_highlights(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    parts = re.split(r"(\s+)" if source.language == "en" else r"(?<=[，。])|(\s+)", text)
    parts = [part for part in parts if part]
    places = [at for at, part in enumerate(parts) if part.strip()]
    chosen = rng.sample(places, min(rng.randint(1, 3), len(places)))
    for place in chosen:
        parts[place] = f"*{parts[place]}*"
    return "".join(parts), (RequirementSpec("highlights", {"minimum": len(chosen)}),)


def _with_sections(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    splitter = rng.choice(("SECTION", "Section", "Part") if source.language == "en" else ("SECTION", "部分"))
    number = rng.randint(2, 3)
    others = [snippet(rng, source, 5, 20) for _ in range(number - 1)]
    parts = [f"{splitter} {at}\n{body}" for at, body in enumerate([text, *others], start=1)]
    return "\n".join(parts), (RequirementSpec("sections", {"splitter": splitter, "minimum": number}),)


def _with_postscript(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    marker = rng.choice(("P.S.", "P.P.S"))
    return f"{text}\n\n{marker} {_phrase(rng, source)}", (RequirementSpec("postscript", {"marker": marker}),)


def _in_quotes(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    return f'"{text}"', (RequirementSpec("quoted", {}),)


def _two_responses(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    return f"{text}\n******\n{snippet(rng, source, 5, 40)}", (RequirementSpec("responses", {}),)


def _repeating(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    prompt = " ".join(snippet(rng, source, 5, 20).split())
    return f"{prompt}\n\n{text}", (RequirementSpec("repeats", {"text": prompt}),)


def _starting_paragraph(rng: random.Random, source: Corpus, text: str) -> tuple[str, tuple[RequirementSpec, ...]]:
    # The first word is what stands before white space, which in Chinese is a clause.
    word = rng.choice(("However", "Today", "Finally")) if source.language == "en" else rng.choice(("首先", "总之"))
    number = rng.randint(2, 3)
    bodies = [re.sub(r"\n+", " ", body) for body in [text, *(snippet(rng, source, 5, 25) for _ in range(number - 1))]]
    at = rng.randrange(number)
    bodies[at] = f"{word} {bodies[at]}"
    spec = RequirementSpec("paragraph_start", {"paragraphs": number, "paragraph": at + 1, "word": word})
    return "\n\n".join(bodies), (spec,)


_FORMS: tuple[Form, ...] = (_with_highlights, _with_placeholders, _with_sections, _with_title, _with_postscript)
"""From the inside to the outside: what marks words comes before what frames the text."""
_WHOLE_FORMS: tuple[Form, ...] = (_in_quotes, _two_responses, _repeating, _starting_paragraph)

_FAMILIES: dict[str, Callable[[random.Random, Corpus], Draft]] = {
    "prose": _prose,
    "json": _json,
    "regex": _regex,
    "format": _format,
    "choice": _choice,
}
