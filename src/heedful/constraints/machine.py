"""What every requirement becomes while an answer is written: a machine that reads text as it comes.

A machine follows one requirement. Its state is a value: it is handed in and comes back, so answers and the branches of a search
cannot mix. What a machine accepts, the requirement's `check` accepts too: that is its promise, and a test holds every kind
to it. A machine may refuse more than `check` does, where that makes it simple to say what comes next.

Machines also say how to reach an end: forms (JSON, a regular expression) tell whole `completions`, all others what they still need. The planner
(`planner.py`) makes one text out of that, and only texts that all machines accept are ever believed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

State = Any
"""Whatever a machine remembers, each its own: small and never changed."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A way to end: `before`, then free text of at most `room` characters, then `after`."""

    before: str = ""
    after: str = ""
    room: int | None = 0
    """How many characters of free text may stand between; None is no limit, 0 none at all. Free text is plain words with single
    spaces: no line break, no quotation mark, no backslash, unless `is_prose`."""
    least: int = 0
    """How many characters of free text there have to be."""
    is_prose: bool = False
    """The free text may be anything, line breaks included: the answer has no form of its own."""


WORD = "\x01"
"""Stands in an item's text for any word at all: the planner puts one there that may stand in this answer."""


@dataclass(frozen=True, slots=True)
class Item:
    """Something that has to occur still: one of `texts`."""

    texts: tuple[str, ...]
    rest: str = ""
    """What completes the one that the text seems to end in the middle of; empty when it does not."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What is missing at the end of a text for one requirement. Only a proposal: whatever is made of it is checked."""

    opening: str = ""
    """Has to come next, before anything else."""
    items: tuple[Item, ...] = ()
    """Have to occur, in this order. A text that begins with a line break stands on a line of its own."""
    rank: int = 1
    """Whose items come first where the same ones are asked for by several: 0 where their order matters, 2 where they may have come
    about when all others are there."""
    closing: Item | None = None
    """Has to come last."""
    units: tuple[tuple[str, int], ...] = ()
    """(unit, how many more): words, characters, sentences, paragraphs, bullets, capitals, or `letter:x`. Negative: too many."""


NOTHING = Needs()


class Machine(Protocol):
    """One requirement, character by character. All texts are whole Unicode characters, whatever the tokens are."""

    def start(self) -> State:
        """Before the first character."""

    def step(self, state: State, text: str) -> State | None:
        """After `text`, which follows what `state` has read; None when nothing that may follow satisfies the requirement.

        Reading a text in pieces gives the same as reading it at once.
        """

    def accepts(self, state: State) -> bool:
        """Whether the answer satisfies the requirement when it ends here."""


class Part(Machine, Protocol):
    """A machine without a form of its own: the planner asks what it needs, and builds it from words."""

    def is_hopeless(self, state: State) -> bool:
        """Whether planning may be spared. Only a hint: True for what probably cannot be mended by writing on."""

    def needs(self, state: State) -> Needs:
        """What is missing if the text ended here."""


class Form(Machine, Protocol):
    """A machine that knows whole ways to end."""

    def completions(self, state: State) -> Iterator[Completion]:
        """Ways to end from here that satisfy this requirement, the shortest first; at least one where there is one."""

    # A form may also have `ending(state) -> str | None`: the first of `completions`, where it is certain without a look at the text;
    # and `fitting(state, missing, words) -> Iterator[Completion]`: ways that bring what others miss, and words.
