"""IFEval's instructions (arXiv:2311.07911) as requirements of ours, so that one `check` judges both.

`from_ifeval` takes an instruction id and its keyword arguments as the data set has them. The verdicts of what it returns
equal those of the reference verifiers on the released GPT-4 responses, but for differences that `bench/ifeval_checks.py`
lists one by one. Language is detected by `heedful.text`, sentences are split by it; the reference has other tools for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from heedful.errors import RequirementError
from heedful.project.settings import nearest
from heedful.records import RequirementSpec
from heedful.requirements.matching import fold
from heedful.requirements.registry import parse

Specs = tuple[RequirementSpec, ...]
Values = Mapping[str, Any]

_ANSWERS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")


def from_ifeval(instruction_id: str, kwargs: Values) -> Specs:
    """The specs that together ask for one instruction; raises RequirementError naming it and what is wrong.

    Arguments that are None count as not given. An instruction that any answer follows ("at least 0 words") gives no spec.
    """
    make = _INSTRUCTIONS.get(instruction_id)
    if make is None:
        raise RequirementError(
            f"unknown instruction {instruction_id!r}; {nearest(instruction_id, list(_INSTRUCTIONS))}"
        )
    given = {name: value for name, value in kwargs.items() if value is not None}
    try:
        specs = make(given)
    except KeyError as error:
        raise RequirementError(f"{instruction_id}: {error.args[0]} is missing; give it") from None
    for spec in specs:
        parse(spec, instruction_id)
    return specs


def _counted(kind: str, relation: Any, number: Any, **others: Any) -> Specs:
    if not isinstance(number, int) or relation not in ("at least", "less than"):
        raise RequirementError(
            f'{kind}: expected "at least" or "less than" and a whole number, got {relation!r} {number!r}'
        )
    if relation == "at least":
        return (RequirementSpec(kind, {"minimum": number, **others}),) if number > 0 else ()
    return (RequirementSpec(kind, {"maximum": _below(kind, number), **others}),)


def _below(kind: str, number: int) -> int:
    if number < 1:
        raise RequirementError(f"{kind}: nothing is less than {number}")
    return number - 1


def _one(kind: str, **parameters: Any) -> Specs:
    return (RequirementSpec(kind, parameters),)


def _keyword_frequency(values: Values) -> Specs:
    keyword, number = _text(values["keyword"]), values["frequency"]
    (bounds,) = _counted("keywords", values["relation"], number) or (None,)
    if bounds is None:
        return ()
    if "minimum" in bounds.parameters:
        return _one("keywords", all=[keyword], times=number, match="substring")
    return _one("keywords", all=[keyword], times=0, maximum=bounds.parameters["maximum"], match="substring")


def _text(value: Any) -> Any:
    return value.strip() if isinstance(value, str) else value


def _distinct(phrases: Any) -> Any:
    """Without those that differ from an earlier one in case only, which the reference does not see either."""
    if not isinstance(phrases, list | tuple) or not all(isinstance(phrase, str) for phrase in phrases):
        return phrases
    return list({fold(phrase): phrase.strip() for phrase in reversed(phrases)}.values())[::-1]


def _in_case(case: str) -> Specs:
    return RequirementSpec("case", {"case": case}), RequirementSpec("language", {"language": "en"})


_INSTRUCTIONS: dict[str, Callable[[Values], Specs]] = {
    "keywords:existence": lambda v: _one("keywords", all=_distinct(v["keywords"]), match="substring"),
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": lambda v: _one("forbidden", words=_distinct(v["forbidden_words"])),
    "keywords:letter_frequency": lambda v: _counted(
        "letters", v["let_relation"], v["let_frequency"], letter=_text(v["letter"])
    ),
    "language:response_language": lambda v: _one("language", language=v["language"]),
    "length_constraints:number_sentences": lambda v: _counted("sentences", v["relation"], v["num_sentences"]),
    "length_constraints:number_paragraphs": lambda v: _one(
        "paragraphs", exactly=v["num_paragraphs"], separator="stars"
    ),
    "length_constraints:number_words": lambda v: _counted("words", v["relation"], v["num_words"], definition="runs"),
    "length_constraints:nth_paragraph_first_word": lambda v: _one(
        "paragraph_start", paragraphs=v["num_paragraphs"], paragraph=v["nth_paragraph"], word=_text(v["first_word"])
    ),
    "detectable_content:number_placeholders": lambda v: _one("placeholders", minimum=v["num_placeholders"]),
    "detectable_content:postscript": lambda v: _one("postscript", marker=_text(v["postscript_marker"])),
    "detectable_format:number_bullet_lists": lambda v: _one("bullets", exactly=v["num_bullets"], definition="markdown"),
    # The reference looks for one of the answers anywhere in the response.
    "detectable_format:constrained_response": lambda v: _one("keywords", any=list(_ANSWERS), match="exact"),
    "detectable_format:number_highlighted_sections": lambda v: _one("highlights", minimum=v["num_highlights"]),
    "detectable_format:multiple_sections": lambda v: _one(
        "sections", splitter=_text(v["section_spliter"]), minimum=v["num_sections"]
    ),
    "detectable_format:json_format": lambda v: _one("json_schema", schema=True, allow_code_fence=True),
    "detectable_format:title": lambda v: _one("title"),
    "combination:two_responses": lambda v: _one("responses", number=2),
    "combination:repeat_prompt": lambda v: _one("repeats", text=_text(v["prompt_to_repeat"])),
    "startend:end_checker": lambda v: _one("ends_with", text=_text(v["end_phrase"]), loose=True),
    "startend:quotation": lambda v: _one("quoted"),
    "change_case:capital_word_frequency": lambda v: _counted("capitals", v["capital_relation"], v["capital_frequency"]),
    "change_case:english_capital": lambda v: _in_case("upper"),
    "change_case:english_lowercase": lambda v: _in_case("lower"),
    "punctuation:no_comma": lambda v: _one("no_commas"),
}
INSTRUCTIONS = tuple(_INSTRUCTIONS)
"""The ids of all instructions."""
