"""The kinds of requirement by name, and the way from a spec to one."""

from __future__ import annotations

import reprlib
from typing import Any

from pydantic import ValidationError

from heedful.errors import RequirementError
from heedful.project.settings import nearest
from heedful.records import RequirementSpec
from heedful.requirements.affixes import EndsWith, StartsWith
from heedful.requirements.choice import Choice
from heedful.requirements.counts import Bullets, Characters, Sentences, Tokens, Words
from heedful.requirements.formats import Highlights, Placeholders, Postscript, Quoted, Sections, Title
from heedful.requirements.grammars import Grammar
from heedful.requirements.json_schema import JsonSchema
from heedful.requirements.keywords import Forbidden, Keywords
from heedful.requirements.language import InLanguage
from heedful.requirements.letters import Capitals, Case, Letters, NoCommas
from heedful.requirements.paragraphs import Paragraphs, ParagraphStart
from heedful.requirements.patterns import Regex
from heedful.requirements.requirement import Parameters, Requirement
from heedful.requirements.responses import Repeats, Responses
from heedful.requirements.scripts import Script

_KINDS: tuple[type[Parameters], ...] = (
    *(Words, Characters, Tokens, Sentences, Bullets, Paragraphs, ParagraphStart),
    *(Keywords, Forbidden, StartsWith, EndsWith, Repeats, Choice, Responses),
    *(Letters, Capitals, Case, NoCommas),
    *(Placeholders, Highlights, Sections, Title, Postscript, Quoted),
    *(JsonSchema, Regex, Grammar, InLanguage, Script),
)
REQUIREMENTS: dict[str, type[Parameters]] = {kind.kind: kind for kind in _KINDS}
"""By the name that a spec has as its kind."""


_IN_WORDS = {
    "int_type": "give a whole number",
    "string_type": "give a text",
    "bool_type": "give true or false",
    "tuple_type": 'give a list, for example ["solar"]',
}
"""Remedies where pydantic's own message names a Python type."""


def parse(spec: RequirementSpec, where: str = "") -> Requirement:
    """The requirement that `spec` describes; raises RequirementError naming `where`, every problem and its remedy."""
    kind = REQUIREMENTS.get(spec.kind)
    if kind is None:
        raise RequirementError(
            f"{_at(where)}unknown requirement {spec.kind!r}; {nearest(spec.kind, list(REQUIREMENTS))}"
        )
    names = [field.alias or name for name, field in kind.model_fields.items()]
    try:
        return kind.from_spec(spec)
    except ValidationError as error:
        problems = [f"{_at(where)}requirement {spec.kind!r}: {_explain(item, names)}" for item in error.errors()]
        raise RequirementError("\n".join(problems)) from None


def _at(where: str) -> str:
    return f"{where}: " if where else ""


def _explain(problem: Any, names: list[str]) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"unknown parameter {path!r}; {nearest(path, names)}"
    if problem["type"] == "missing":
        return f"{path} is missing; give it"
    return f"{path} = {_shown(problem['input'])}: {_IN_WORDS.get(problem['type'], message)}" if path else message


def _shown(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to write integers of more than 4300 digits.
        return "a very large number"
