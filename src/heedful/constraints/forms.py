"""Answers that have a form of their own: one of a few options, a text that a regular expression describes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from heedful import text as texts
from heedful.constraints.fillers import between
from heedful.constraints.machine import NOTHING, Completion, Item, Needs, State
from heedful.constraints.regular import Regular, regular

_NUM_WAYS = 6
"""Ways to end a regular expression that are told, beside the shortest."""
_MOST_SEEN = 40_000
"""States that are looked through for a way to a text."""
_MOST_LED = 80
_LONGER = (1, 2, 4, 8, 16, 32, 64)
"""Characters by which longer ways are longer."""


_RUN = re.compile(r"([^a]|^)(a{3,13})(?![a-z])")
_WORDS = "and also still indeed however moreover otherwise everywhere essentially nevertheless international"
_WORDS_BY_LENGTH = {len(word): word for word in _WORDS.split()}

Missing = Callable[[str], Sequence[Needs]]
"""What is missing behind a text that is written next."""


@dataclass
class _Work:
    """States that may still be looked through for one request."""

    left: int


class ChoiceForm:
    """The whole answer is one of the options, letter for letter."""

    def __init__(self, options: Sequence[str]) -> None:
        self._options = tuple(sorted(options, key=len))

    def start(self) -> str:
        return ""

    def step(self, state: str, text: str) -> str | None:
        written = state + text
        return written if any(option.startswith(written) for option in self._options) else None

    def accepts(self, state: str) -> bool:
        return state in self._options

    def completions(self, state: str) -> Iterator[Completion]:
        for option in self._options:
            if option.startswith(state):
                yield Completion(option[len(state) :])


class RegexForm:
    """The whole answer matches a regular expression. Raises ValueError, in words, for one that cannot be followed."""

    def __init__(self, pattern: str) -> None:
        self._regular = regular(pattern, "full")

    def start(self) -> State:
        return self._regular.start()

    def step(self, state: State, text: str) -> State | None:
        return self._regular.step(state, text)

    def accepts(self, state: State) -> bool:
        return self._regular.accepts(state)

    def completions(self, state: State) -> Iterator[Completion]:
        shortest = self._regular.shortest_rest(state)
        if shortest is None:
            return
        # Real words are fewer tokens than runs of one letter.
        if (worded := self._worded(state, shortest)) is not None:
            yield Completion(worded)
        yield Completion(shortest)
        yield from (Completion(rest) for rest in islice(self._regular.rests(state), _NUM_WAYS) if rest != shortest)
        # Where something else asks for more: words, a minimum of characters.
        for more in _LONGER:
            if (rest := self._regular.shortest_rest(state, len(shortest) + more)) is not None:
                yield Completion(rest)

    def _worded(self, state: State, rest: str) -> str | None:
        """`rest` with words in place of runs of one letter, where the pattern takes them; None where there are none."""
        words = _RUN.sub(lambda run: run[1] + _WORDS_BY_LENGTH.get(len(run[2]), run[2]), rest)
        after = self._regular.step(state, words) if words != rest else None
        return words if after is not None and self._regular.accepts(after) else None

    def fitting(self, state: State, missing: Missing, words: Sequence[str]) -> Iterator[Completion]:
        """Ways that also bring what others miss: texts are led through the pattern one by one, letters changed, lengths met.

        `missing` tells what is missing behind a text; `words` are to fill with, in several languages.
        """
        led, tried, work = "", set[str](), _Work(_MOST_SEEN)
        words = list({(texts.is_unspaced(word), word.isdecimal()): word for word in reversed(words)}.values())
        for _ in range(_MOST_LED):
            needs = missing(led + (self._regular.shortest_rest(state) or ""))
            asked = [text for text in _asked(needs) if text not in tried]
            if not asked and dict(unit for one in needs for unit in one.units).get("words", 0) <= 0:
                break
            ways = (self._through(state, text, led, work) for text in (asked[:1] or words))
            way = next((way for way in ways if way is not None), None)
            if way is not None:
                state, led = self._regular.step(state, way), led + way
            elif asked:
                tried.add(asked[0])
            else:
                break
        yield from self._ended(state, led, missing, work)

    def _ended(self, state: State, led: str, missing: Missing, work: _Work) -> Iterator[Completion]:
        """Ways to end after `led`, with what may only be told of a whole text: how it ends, how long it is, its letters."""
        rest = self._regular.shortest_rest(state) or ""
        needs = missing(led + rest)
        units = dict(unit for one in needs for unit in one.units)
        # None: however many there are. White space does not count.
        lacking = len("".join(rest.split())) + units["characters"] if "characters" in units else None
        for closing in (one.closing.texts[0] for one in needs if one.closing):
            for more in range(_NUM_WAYS):
                least = max((lacking or 0) - len(closing), 0) + more
                if (way := self._through(state, closing, led, work, least=least, is_last=True)) is not None:
                    yield Completion(led + way)
        letters = [unit.partition(":")[2] for unit in units if unit.startswith("letter:")]
        apart = self._regular.step(state, " ")
        for joint, after in (("", state), (" ", apart)) if apart is not None else (("", state),):
            rests = islice(self._regular.rests(after, lacking or 0), _NUM_WAYS * (1 if lacking is None else 20))
            for rest in rests:
                if lacking is None or len("".join(rest.split())) == lacking:
                    if (worded := self._worded(after, rest)) is not None:
                        yield Completion(led + joint + worded)
                    yield Completion(led + joint + rest)
                    for letter in letters:
                        yield from self._with_letter(after, led + joint, rest, letter, units[f"letter:{letter}"])

    def _through(
        self, state: State, text: str, before: str, work: _Work, *, least: int = 0, is_last: bool = False
    ) -> str | None:
        """The shortest text found that ends with `text`, a word of its own behind `before` and `least` characters or more, and
        can be completed, or with `is_last` is complete."""
        layer, length = {state: ""}, 0
        while layer and work.left > 0:
            following: dict[State, str] = {}
            for found, way in layer.items():
                apart = between(before + way, text) + text
                for said in dict.fromkeys((apart, text)) if length >= least else ():
                    after = self._regular.step(found, said)
                    if after is not None and (not is_last or self._regular.accepts(after)):
                        return way + said
                for sample in self._regular.samples():
                    work.left -= 1
                    after = self._regular.step(found, sample)
                    if after is not None:
                        following.setdefault(after, way + sample)
            layer, length = following, length + 1
        return None

    def _with_letter(self, state: State, led: str, rest: str, letter: str, number: int) -> Iterator[Completion]:
        """`rest` with some of its characters changed to `letter`, so far as the pattern allows."""
        for place in range(len(rest)):
            if number <= 0:
                break
            changed = rest[:place] + letter + rest[place + 1 :]
            after = None if rest[place].lower() == letter else self._regular.step(state, changed)
            if after is not None and self._regular.accepts(after):
                rest, number = changed, number - 1
        yield Completion(led + rest)


def _asked(missing: Sequence[Needs]) -> list[str]:
    openings = [needs.opening for needs in missing if needs.opening]
    items = [item for needs in sorted(missing, key=lambda one: one.rank) for item in needs.items]
    return openings or [item.rest or item.texts[0] for item in items]


class ContainsPart:
    """Somewhere in the answer is a match of a regular expression. Raises ValueError, in words, as `RegexForm` does."""

    def __init__(self, pattern: str) -> None:
        self._regular = regular(pattern, "search")
        self._is_last = pattern.endswith(("$", r"\Z"))
        whole = regular(pattern, "full")
        example = whole.shortest_rest(whole.start()) or ""
        # Where any character fits, one of each kind: not all may occur in every answer.
        changed = (
            "".join(_fitting(whole, example, place, letter) for place in range(len(example))) for letter in "A的1"
        )
        self._examples = tuple(dict.fromkeys(text for text in (example, *changed) if text and _matches(whole, text)))

    def start(self) -> State:
        return self._regular.start()

    def step(self, state: State, text: str) -> State | None:
        return self._regular.step(state, text)

    def accepts(self, state: State) -> bool:
        return self._regular.accepts(state)

    def is_hopeless(self, state: State) -> bool:
        return False

    def needs(self, state: State) -> Needs:
        if self.accepts(state):
            return NOTHING
        rest = self._regular.shortest_rest(state) or ""
        item = Item(self._examples or (rest,), rest)
        return Needs(closing=item, rank=2) if self._is_last else Needs(items=(item,), rank=2)


def _fitting(whole: Regular, example: str, place: int, letter: str) -> str:
    """`letter`, where the pattern takes it in place of the character there."""
    return letter if _matches(whole, example[:place] + letter + example[place + 1 :]) else example[place]


def _matches(whole: Regular, text: str) -> bool:
    state = whole.step(whole.start(), text)
    return state is not None and whole.accepts(state)
