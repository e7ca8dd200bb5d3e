"""Facts of sections that document a function, class or module: signatures, defaults, kinds, exceptions.

They read what the source left in a section's meta: `signature`, `parameters` (name, default, kind) and `summary`.
"""

from __future__ import annotations

import json
import random
import re
from typing import Any

from heedful.construct.data import word_list
from heedful.construct.fact import Finding
from heedful.construct.passages import Material
from heedful.construct.text_facts import DIGITS, shuffled, some_other
from heedful.records import RequirementSpec
from heedful.text import num_words

_VARIABLE = ("var_positional", "var_keyword")
_EXCEPTION = re.compile(
    r"(?<![\w.])([A-Z]\w*(?:Error|Exception|Warning|Interrupt|Exit|Stop|Full|Empty)|StopIteration|StopAsyncIteration)\b"
)
_RAISES = re.compile(r"\brais(?:e|es|ed|ing)\b", re.IGNORECASE)
_OPTIONS = ("function", "class", "module")

_VERBS = word_list("verbs")


def parameters_bullets(material: Material, generator: random.Random) -> Finding | None:
    """All parameters, one bullet each."""
    names = _names(material)
    if not 2 <= len(names) <= 8:
        return None
    exactly = RequirementSpec("bullets", {"exactly": len(names)})
    return _about(material, "\n".join(f"- {name}" for name in names), offers=(exactly,))


def parameters_line(material: Material, generator: random.Random) -> Finding | None:
    """All parameters, on one line."""
    names = _names(material)
    return _about(material, ", ".join(names)) if 2 <= len(names) <= 10 else None


def required_parameters(material: Material, generator: random.Random) -> Finding | None:
    """The parameters without a default, where there are some with one too."""
    names = _names(material)
    required = [item["name"] for item in _parameters(material) if item["default"] is None]
    return _about(material, ", ".join(required)) if names and 0 < len(required) < len(names) else None


def signature_json(material: Material, generator: random.Random) -> Finding | None:
    """Name and parameters as a JSON object."""
    names = _names(material)
    if not 1 <= len(names) <= 8:
        return None
    answer = json.dumps({"name": material.section.title, "parameters": names})
    return _about(material, answer, offers=(_json_object("name", "parameters", parameters="array"),))


def entry_json(material: Material, generator: random.Random) -> Finding | None:
    """Name and description as a JSON object."""
    entry = _entry(material)
    if entry is None:
        return None
    answer = json.dumps({"name": material.section.title, "summary": _summary(material)}, ensure_ascii=False)
    return Finding(entry, answer, offers=(_json_object("name", "summary"),))


def default_value(material: Material, generator: random.Random) -> Finding | None:
    """The default of one parameter; rather another one than None, which would be half of all answers."""
    defaults = {item["name"]: item["default"] for item in _parameters(material) if item["default"] not in (None, "...")}
    telling = [name for name, value in defaults.items() if value != "None" and len(value) <= 30]
    candidates = telling or [name for name, value in defaults.items() if value == "None"]
    if not candidates:
        return None
    name = generator.choice(candidates)
    return _about(material, defaults[name], {"parameter": name})


def num_parameters(material: Material, generator: random.Random) -> Finding | None:
    """How many parameters there are."""
    names = _names(material)
    if not 2 <= len(names) <= 12:
        return None
    return _about(material, str(len(names)), offers=(DIGITS,))


def has_parameter(material: Material, generator: random.Random) -> Finding | None:
    """Yes or no, as often the one as the other; the wrong name is a parameter of a neighbour."""
    own = _names(material)
    drawn = generator.sample(material.outline.parameters, min(len(material.outline.parameters), len(own) + 1))
    foreign = [name for name in drawn if name not in own]
    if len(own) < 2 or not foreign:
        return None
    there = generator.random() < 0.5
    name = generator.choice(own) if there else foreign[0]
    choice = RequirementSpec("choice", {"options": ["Yes", "No"]})
    return _about(material, "Yes" if there else "No", {"parameter": name}, (choice,))


def kind_choice(material: Material, generator: random.Random) -> Finding | None:
    """Function, class or module; methods are left out, for they are both a function and part of a class."""
    if not material.is_api or material.meta.get("class"):
        return None
    options = shuffled(list(_OPTIONS), generator)
    choice = RequirementSpec("choice", {"options": list(options)})
    return _about(material, material.section.kind, {"options": options}, (choice,))


def name_choice(material: Material, generator: random.Random) -> Finding | None:
    """Which of three names of the module the description belongs to; it must not name any of them itself."""
    description, name = _summary(material), material.section.title
    others = some_other(material.outline.titles[material.section.kind], name, 2, generator)
    if not description or material.section.kind == "module" or len(others) < 2 or not 5 <= num_words(description) <= 30:
        return None
    options = shuffled([name, *others], generator)
    if len({_last(option) for option in options}) < 3 or any(
        re.search(rf"\b{re.escape(_last(option))}\b", description, re.IGNORECASE) for option in options
    ):
        return None
    return Finding(description, name, {"options": options}, (RequirementSpec("choice", {"options": list(options)}),))


def which_question(material: Material, generator: random.Random) -> Finding | None:
    """ "Return the sum." -> "Which function returns the sum?" """
    description = _summary(material)
    verb, _, rest = description.rstrip(".").partition(" ")
    second_verb = any(word in _VERBS for word in re.findall(r"(?:,|;|\band|\bor|\bthen) (\w+)", rest))
    if material.section.kind != "function" or verb.lower() not in _VERBS or second_verb:
        return None
    if not description.endswith(".") or not 4 <= num_words(description) <= 25 or ". " in rest:
        return None
    begins, ends = (
        RequirementSpec("starts_with", {"text": "Which function"}),
        RequirementSpec("ends_with", {"text": "?"}),
    )
    return Finding(description, f"Which function {_third_person(verb.lower())} {rest}?", offers=(begins, ends))


def exceptions(material: Material, generator: random.Random) -> Finding | None:
    """The exceptions that sentences with "raise" name."""
    if not material.is_api:
        return None
    for passage in material.passages:
        raising = " ".join(sentence for sentence in passage.sentences if _RAISES.search(sentence))
        names = list(dict.fromkeys(_EXCEPTION.findall(raising)))
        if names and set(names) == set(_EXCEPTION.findall(passage.text)):
            return Finding(passage.text, ", ".join(names))
    return None


# -- the documented thing --------------------------------------------------------------------------------------


def _parameters(material: Material) -> list[dict[str, Any]]:
    """As the source describes them; none where some take any number of values, which have no single name."""
    parameters: list[dict[str, Any]] = material.meta.get("parameters") or []
    return [] if any(item["kind"] in _VARIABLE for item in parameters) else parameters


def _names(material: Material) -> list[str]:
    return [item["name"] for item in _parameters(material)]


def _summary(material: Material) -> str:
    return str(material.meta.get("summary") or "") if material.is_api else ""


def _entry(material: Material) -> str | None:
    """The signature and what it is for, as a reference work prints them."""
    summary = _summary(material)
    if not summary:
        return None
    signature = str(material.meta.get("signature") or "")
    keyword = f"{material.section.kind} " if material.section.kind != "function" else ""
    return f"{keyword}{material.section.title}{signature}\n{summary}"


def _about(
    material: Material,
    answer: str,
    slots: dict[str, str | tuple[str, ...]] | None = None,
    offers: tuple[RequirementSpec, ...] = (),
) -> Finding | None:
    entry = _entry(material)
    return Finding(entry, answer, {"name": material.section.title, **(slots or {})}, offers) if entry else None


def _json_object(*required: str, **types: str) -> RequirementSpec:
    """As little schema as says what matters: it stands in the prompt."""
    schema: dict[str, Any] = {"type": "object", "required": list(required)}
    if types:
        schema["properties"] = {name: {"type": kind} for name, kind in types.items()}
    return RequirementSpec("json_schema", {"schema": schema})


def _last(title: str) -> str:
    return title.rsplit(".", 1)[-1]


def _third_person(verb: str) -> str:
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if re.search(r"(?:s|x|z|ch|sh|o)$", verb) else f"{verb}s"
