"""Answers that have a form of their own: one of a few options, a text that a regular expression describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from heedful.constraints.fillers import between
from heedful.constraints.machine import NOTHING, Completion, Item, Needs, State
from heedful.constraints.regular import regular

_NUM_WAYS = 6
"""Ways to end a regular expression that are told, beside the shortest."""
_MOST_SEEN = 3000
"""States that are looked through for a way to a text."""
_MOST_WORDS, _REPLACED = 60, 4
_LONGER = (1, 2, 4, 8, 16, 32, 64)
"""Characters by which longer ways are longer."""


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
        yield Completion(shortest)
        yield from (Completion(rest) for rest in islice(self._regular.rests(state), _NUM_WAYS) if rest != shortest)
        # Where something else asks for more: words, a minimum of characters.
        for more in _LONGER:
            if (rest := self._regular.shortest_rest(state, len(shortest) + more)) is not None:
                yield Completion(rest)

    def fitting(self, state: State, missing: Sequence[Needs], words: Sequence[str]) -> Iterator[Completion]:
        """Ways that may also bring what others miss at the end of the shortest: texts are led through, letters changed.
        `words` to fill with, in several languages."""
        units = dict(unit for needs in missing for unit in needs.units)
        shortest = self._regular.shortest_rest(state) or ""
        # None: however many there are. White space does not count.
        size = len("".join(shortest.split())) + units["characters"] if "characters" in units else None
        led = ""
        for text in self._asked(missing):
            if (way := self._through(state, text, led)) is not None:
                state, led = self._regular.step(state, way), led + way
        closings = [needs.closing.texts[0] for needs in missing if needs.closing]
        num_words = min(units.get("words", 0), _MOST_WORDS)
        # What is led through stands where the shortest way had words of its own, so a few more may be needed.
        for number in range(num_words + _REPLACED if num_words > 0 else 1):
            if number >= num_words:
                yield from self._ended(state, led, size, closings, units)
            ways = (self._through(state, word, led) for word in words)
            if (way := next((way for way in ways if way is not None), None)) is None:
                break
            state, led = self._regular.step(state, way), led + way

    def _ended(
        self, state: State, led: str, size: int | None, closings: Sequence[str], units: Mapping[str, int]
    ) -> Iterator[Completion]:
        """Ways to end after `led`, `size` characters long together, where that is given."""
        lacking = 0 if size is None else max(size - len("".join(led.split())), 0)
        for closing in closings:
            for more in range(6):
                way = self._through(state, closing, led, least=max(lacking - len(closing), 0) + more, is_last=True)
                if way is not None:
                    yield Completion(led + way)
        letters = [unit.partition(":")[2] for unit in units if unit.startswith("letter:")]
        rests = islice(self._regular.rests(state, lacking), _NUM_WAYS if size is None else 20 * _NUM_WAYS)
        for rest in rests:
            if size is not None and len("".join(rest.split())) != lacking:
                continue
            yield Completion(led + rest)
            for letter in letters:
                yield from self._with_letter(state, led, rest, letter, units[f"letter:{letter}"])

    @staticmethod
    def _asked(missing: Sequence[Needs]) -> list[str]:
        items = dict.fromkeys(item for needs in sorted(missing, key=lambda one: one.rank) for item in needs.items)
        openings = [needs.opening for needs in missing if needs.opening]
        return openings + [item.rest or item.texts[0] for item in items]

    def _through(self, state: State, text: str, before: str, *, least: int = 0, is_last: bool = False) -> str | None:
        """The shortest text found that ends with `text`, a word of its own behind `before` and `least` characters or more, and
        can be completed, or with `is_last` is complete."""
        layer, num_seen, length = {state: ""}, 0, 0
        while layer and num_seen < _MOST_SEEN:
            following: dict[State, str] = {}
            for found, way in layer.items():
                apart = between(before + way, text) + text
                for said in dict.fromkeys((apart, text)) if length >= least else ():
                    after = self._regular.step(found, said)
                    if after is not None and (not is_last or self._regular.accepts(after)):
                        return way + said
                for sample in self._regular.samples():
                    num_seen += 1
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


class ContainsPart:
    """Somewhere in the answer is a match of a regular expression. Raises ValueError, in words, as `RegexForm` does."""

    def __init__(self, pattern: str) -> None:
        self._regular = regular(pattern, "search")
        self._is_last = pattern.endswith(("$", r"\Z"))
        self._example = regular(pattern, "full").shortest_rest(regular(pattern, "full").start()) or ""

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
        item = Item((self._example or rest,), rest)
        return Needs(closing=item) if self._is_last else Needs(items=(item,), rank=2)
