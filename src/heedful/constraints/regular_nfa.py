"""Regular expressions as nondeterministic automata: what Python's own parser reads, written out state by state.

Look-around, back-references, possessive and atomic parts, inline flags and fuzzy matching are refused in words: they are
no regular languages, or mean something else to the `regex` package than to the parser used here.
"""

from __future__ import annotations

import importlib
import re
import warnings
from dataclasses import dataclass, field
from typing import Any, Literal

from heedful.constraints.characters import ANYTHING, Ranges, category, complement, union
from heedful.requirements.patterns import compile_pattern

# Not public, but there since Python 2 under one name or another, and the only parser of this syntax in the library.
_parser: Any = importlib.import_module("re._parser")

Assertion = Literal["start", "end", "very_end", "boundary", "no_boundary"]

MAX_STATES = 20_000
_NEWLINE: Ranges = ((10, 10),)
_ASSERTIONS: dict[str, Assertion] = {
    "AT_BEGINNING": "start",
    "AT_BEGINNING_STRING": "start",
    "AT_END": "end",
    "AT_END_STRING": "very_end",
    "AT_BOUNDARY": "boundary",
    "AT_NON_BOUNDARY": "no_boundary",
}
_CATEGORIES = {"CATEGORY_DIGIT": "d", "CATEGORY_SPACE": "s", "CATEGORY_WORD": "w"}
_REFUSED = {
    "ASSERT": "look-around",
    "ASSERT_NOT": "look-around",
    "FAILURE": "look-around",
    "GROUPREF": "back-references",
    "GROUPREF_EXISTS": "conditional groups",
    "ATOMIC_GROUP": "atomic groups",
    "POSSESSIVE_REPEAT": "possessive repetition",
}
_POSIX = re.compile(r"\[:\^?\w+:\]")
_PLAIN_PIECES = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_FUZZY = re.compile(r"\{[^}]*[eids<][^}]*\}|\{\s|\{,?\}")
"""What the `regex` package takes for fuzzy matching, or may, and Python's parser for plain characters."""


@dataclass
class Nfa:
    """States are numbers. `start` has no way in from outside, `end` none out."""

    sets: list[Ranges] = field(default_factory=list)
    """The character sets of the arrows, by number."""
    arrows: list[list[tuple[int, int]]] = field(default_factory=list)
    """For each state: (set, state after a character of it)."""
    jumps: list[list[tuple[Assertion | None, int]]] = field(default_factory=list)
    """For each state: states reached without a character, where the assertion holds."""
    start: int = 0
    end: int = 0
    assertions: set[Assertion] = field(default_factory=set)
    is_relaxed: bool = False
    is_end_strict: bool = False
    _numbers: dict[Ranges, int] = field(default_factory=dict)

    def state(self) -> int:
        if len(self.arrows) >= MAX_STATES:
            raise ValueError("the regular expression is too large to be followed; use smaller counts")
        self.arrows.append([])
        self.jumps.append([])
        return len(self.arrows) - 1

    def jump(self, source: int, target: int, assertion: Assertion | None = None) -> None:
        self.jumps[source].append((assertion, target))
        if assertion:
            self.assertions.add(assertion)

    def arrow(self, source: int, target: int, ranges: Ranges) -> None:
        self.arrows[source].append((self.number(ranges), target))

    def number(self, ranges: Ranges) -> int:
        if ranges not in self._numbers:
            self._numbers[ranges] = len(self.sets)
            self.sets.append(ranges)
        return self._numbers[ranges]


def build(pattern: str, mode: Literal["full", "search"], *, relaxed: bool = False, strict_end: bool = False) -> Nfa:
    """The automaton of all texts that match as a whole, or hold a match; raises ValueError, in words.

    `relaxed`: as if look-around always held, so of these texts and others. `strict_end`: `$` is the very end of the text, not also
    before a line break there.
    """
    compile_pattern(pattern)
    if _POSIX.search(pattern) or _FUZZY.search(_PLAIN_PIECES.sub(".", pattern)):
        raise ValueError("POSIX classes, fuzzy matching and bare braces in a regular expression cannot be followed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = _parser.parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the regular expression cannot be followed: {error}") from None
    if tree.state.flags & ~re.UNICODE:
        raise ValueError("inline flags in a regular expression cannot be followed")
    nfa = Nfa(is_relaxed=relaxed, is_end_strict=strict_end)
    try:
        _finish(nfa, tree, mode)
    except RecursionError:
        raise ValueError("the regular expression is nested too deeply") from None
    return nfa


def _finish(nfa: Nfa, tree: Any, mode: Literal["full", "search"]) -> None:
    before, after = nfa.state(), nfa.state()
    nfa.start, nfa.end = before, after
    _sequence(nfa, tree, before, after)
    if mode == "search":
        nfa.start, nfa.end = nfa.state(), nfa.state()
        nfa.arrow(nfa.start, nfa.start, ANYTHING)
        nfa.jump(nfa.start, before)
        nfa.arrow(nfa.end, nfa.end, ANYTHING)
        nfa.jump(after, nfa.end)


def _sequence(nfa: Nfa, items: Any, source: int, target: int) -> None:
    for operation, argument in items:
        following = nfa.state()
        _item(nfa, operation.name, argument, source, following)
        source = following
    nfa.jump(source, target)


def _item(nfa: Nfa, operation: str, argument: Any, source: int, target: int) -> None:
    if operation == "BRANCH":
        if _num_excluding(((_parser.BRANCH, argument),)) > 1:
            # `[^a]|[^b]` is read as `[^ab]` by the `regex` package.
            raise ValueError("alternatives that each exclude one character cannot be followed; use one set")
        for branch in argument[1]:
            _sequence(nfa, branch, source, target)
    elif operation == "SUBPATTERN":
        _, added, removed, inner = argument
        if added or removed:
            raise ValueError("inline flags in a regular expression cannot be followed")
        _sequence(nfa, inner, source, target)
    elif operation in ("MAX_REPEAT", "MIN_REPEAT"):
        least, most, inner = argument
        _repeat(nfa, least, most, inner, source, target)
    elif operation == "AT":
        assertion = _ASSERTIONS[argument.name]
        nfa.jump(source, target, "very_end" if assertion == "end" and nfa.is_end_strict else assertion)
    elif nfa.is_relaxed and operation in ("ASSERT", "ASSERT_NOT"):
        nfa.jump(source, target)
    elif operation in _REFUSED:
        raise ValueError(f"{_REFUSED[operation]} in a regular expression cannot be followed")
    else:
        nfa.arrow(source, target, _characters(operation, argument))


def _num_excluding(items: Any) -> int:
    """How many alternatives are one character that is not another one."""
    if len(items) != 1:
        return 0
    operation, argument = items[0]
    if operation.name == "BRANCH":
        return sum(map(_num_excluding, argument[1]))
    return _num_excluding(argument[3]) if operation.name == "SUBPATTERN" else int(operation.name == "NOT_LITERAL")


def _repeat(nfa: Nfa, least: int, most: Any, items: Any, source: int, target: int) -> None:
    for _ in range(int(least)):
        following = nfa.state()
        _sequence(nfa, items, source, following)
        source = following
    if most is _parser.MAXREPEAT:
        inside = nfa.state()
        nfa.jump(source, inside)
        _sequence(nfa, items, inside, inside)
        nfa.jump(inside, target)
        return
    for _ in range(int(most) - int(least)):
        nfa.jump(source, target)
        following = nfa.state()
        _sequence(nfa, items, source, following)
        source = following
    nfa.jump(source, target)


def _characters(operation: str, argument: Any) -> Ranges:
    if operation == "LITERAL":
        return ((argument, argument),)
    if operation == "NOT_LITERAL":
        return complement(((argument, argument),))
    if operation == "ANY":
        return complement(_NEWLINE)
    if operation == "RANGE":
        return (argument,)
    if operation == "CATEGORY":
        if argument.name in _CATEGORIES:
            return category(_CATEGORIES[argument.name])
        return complement(category(_CATEGORIES[argument.name.replace("_NOT", "")]))
    assert operation == "IN", operation
    negated = bool(argument) and argument[0][0].name == "NEGATE"
    ranges = union(pair for kind, inner in argument[negated:] for pair in _characters(kind.name, inner))
    return complement(ranges) if negated else ranges
