"""Requirements -> the machines that enforce them, composed; or the reason why they cannot be."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from heedful import text as texts
from heedful.constraints.composition import Composition, Pieces, first_plan
from heedful.constraints.edges import LONE_MARKS, PLAIN, NeverPart, Restraint, has_lone_marks, longest_noise
from heedful.constraints.fillers import Voice, voices
from heedful.constraints.kinds import BUILDERS, prohibits
from heedful.constraints.machine import Form, Part
from heedful.constraints.planner import Planner
from heedful.constraints.tokens import LetterCase, TokenTable
from heedful.errors import RequirementError
from heedful.records import RequirementSpec
from heedful.requirements import Requirement, conflicts, parse
from heedful.requirements.counts import Counted, Tokens
from heedful.requirements.formats import Quoted
from heedful.requirements.language import InLanguage
from heedful.requirements.letters import Case
from heedful.requirements.patterns import Regex
from heedful.requirements.responses import DIVIDER, Responses

_ONLY_CHECKED = 'leave it out, or set "enforce": false to have it only checked'


def enforceable(spec: RequirementSpec) -> bool:
    """Whether this kind can be enforced at all; else it can only be checked."""
    return type(parse(spec)) in BUILDERS


def compose(
    specs: Sequence[RequirementSpec], table: TokenTable, *, max_tokens: int, stops: Sequence[str] = ()
) -> Composition:
    """The constraint that makes an answer satisfy all of `specs` within `max_tokens`, its end included. None of `stops`
    occurs: an answer that ends there might break what it has promised.

    Where all letters are to be capitals, or none, models write as they are used to, and what they write is turned: held to capitals,
    small models write no English. Whoever shows an answer then shows `Composition.shown` of it.

    Raises RequirementError for what contradicts itself, cannot be enforced, or needs more tokens.
    """
    requirements = [parse(spec) for spec in specs]
    if found := conflicts(specs):
        raise RequirementError(f"no answer can satisfy these requirements together: {'; '.join(found)}")
    for spec, requirement in zip(specs, requirements, strict=True):
        if type(requirement) not in BUILDERS:
            raise RequirementError(
                f"the requirement {spec.kind!r} can be checked, but not enforced while the answer is written; {_ONLY_CHECKED}"
            )
    given, (table, case) = table, _as_shown(table, requirements)
    _refuse_sizes(requirements, table, max_tokens)
    planner = _planner(requirements, table, stops)
    tokens = [one for one in requirements if isinstance(one, Tokens)]
    min_tokens = max((one.low for one in tokens), default=0)
    # The token that ends an answer is not part of its text.
    max_tokens = min([max_tokens, *(one.high + 1 for one in tokens if one.high is not None)])
    least: int | None = None
    for plan, cost in first_plan(planner, table, min_tokens):
        if cost < max_tokens:
            return Composition(planner, table, min_tokens, max_tokens, plan, case)
        least = cost + 1 if least is None else min(least, cost + 1)
    if least is not None:
        raise RequirementError(
            f"an answer that satisfies the requirements takes {least} tokens, the end included, and {max_tokens} are allowed; "
            "raise max_tokens, or ask for less"
        )
    raise RequirementError(_why_none(requirements, given))


def _as_shown(table: TokenTable, requirements: Sequence[Requirement]) -> tuple[TokenTable, LetterCase | None]:
    """Tokens as the answer shows them, and the case in which it shows letters; None as they are."""
    case: LetterCase | None = next((one.case for one in requirements if isinstance(one, Case)), None)
    return (table, None) if case is None else (table.turned(case), case)


def _refuse_sizes(requirements: Sequence[Requirement], table: TokenTable, max_tokens: int) -> None:
    """Raise RequirementError for numbers that no answer of so many tokens reaches, before long plans are made for them."""
    for requirement in requirements:
        if isinstance(requirement, Counted) and requirement.kind != "tokens":
            # Two units never share a character, and words and sentences have one between them.
            least = -(-requirement.low // table.longest)
            if least >= max_tokens:
                raise RequirementError(
                    f"{requirement.units(requirement.low, 'en')} take more than {least} tokens, and {max_tokens} are allowed; raise "
                    "max_tokens, or ask for less"
                )


def _why_none(requirements: Sequence[Requirement], table: TokenTable) -> str:
    """Name the fewest requirements that no plan satisfies together."""
    for size in (1, 2, 3):
        for few in combinations(requirements, size):
            if not _can_be_planned(few, table):
                said = " ".join(requirement.say("en") for requirement in few)
                kinds = " and ".join(requirement.spec.kind for requirement in few)
                together = "together" if size > 1 else "at all"
                return f"no answer was found that satisfies {kinds} {together}: {said}"
    said = " ".join(requirement.say("en") for requirement in requirements)
    return f"no answer was found that satisfies all of these together: {said}"


def _can_be_planned(requirements: Sequence[Requirement], table: TokenTable) -> bool:
    table, _ = _as_shown(table, requirements)
    planner = _planner(requirements, table)
    found: tuple[Pieces, int] | None = next(first_plan(planner, table, 0), None)
    return found is not None


def _planner(requirements: Sequence[Requirement], table: TokenTable, stops: Sequence[str] = ()) -> Planner:
    parts: list[Part] = []
    forms: list[Form] = []
    for requirement in requirements:
        try:
            made_parts, made_forms = BUILDERS[type(requirement)](requirement)
        except ValueError as error:
            raise RequirementError(
                f"the requirement {requirement.spec.kind!r} can be checked, but not enforced while the answer is written: {error}; "
                f"{_ONLY_CHECKED}"
            ) from None
        parts += made_parts
        forms += made_forms
    parts.append(PLAIN)
    if not forms:
        marks = [DIVIDER] if any(isinstance(one, Responses) for one in requirements) else []
        parts.append(Restraint(longest_noise("a".join([*_values(requirements), *marks]))))
        # What stands between quotation marks may begin with a list, below the first of them; and a pattern may ask for such lines.
        asked_for = any(isinstance(one, Quoted | Regex) for one in requirements)
        if not asked_for and not any(map(has_lone_marks, _values(requirements))):
            parts.append(LONE_MARKS)
    if stops:
        parts.append(NeverPart(stops))
    return Planner(parts, forms, _voices(requirements, table))


def _voices(requirements: Sequence[Requirement], table: TokenTable) -> list[Voice]:
    def cost(word: str) -> int:
        # As it stands behind another word.
        spelled = table.spell((word if texts.is_unspaced(word) else f" {word}").encode())
        return len(spelled) if spelled else len(word)

    def may_stand(word: str) -> bool:
        return not any(prohibits(one, word) for one in requirements)

    said = " ".join(_values(requirements))
    wanted = [one.language for one in requirements if isinstance(one, InLanguage)]
    order = [*wanted, *(("zh", "en") if texts.script_of(said) == "Han" else ("en", "zh"))]
    return voices(may_stand, order, cost)


def _values(requirements: Sequence[Requirement]) -> list[str]:
    """What people gave: keywords, numbers, patterns ..."""
    return [str(value) for one in requirements for value in one.spec.parameters.values()]
