"""Endings that bring what other requirements still miss: keywords, words, characters, letters.

First what has to occur is put in place. Then the rest is filled with words, where that comes out even; where it does not, with more
members, more items, longer numbers. All of it is a guess: what is missing is asked again behind every whole text, and only what is
valid is told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import get_args

from heedful import text as texts
from heedful.constraints.forms import Missing
from heedful.constraints.json.asking import Goals, Manner, is_met
from heedful.constraints.json.fields import MARK, Field, Sketch, Text
from heedful.constraints.json.filling import Lexicon, Place, Wanted, filled
from heedful.constraints.json.placing import Placer, Rest, cost
from heedful.constraints.machine import Completion

_MAX_FOUND = 8
_MAX_READY = 12
"""Sketches of which is asked whether anything is missing, for each order of what has to occur."""
_MAX_TOLD = 2
_MAX_GROWN = 40
_MAX_PAIRS = 120
_MAX_LENGTH = 2000
"""Of the shortest ending; longer ones take too long to change."""


def fitting(
    fields: Sequence[Field], missing: Missing, words: Sequence[str], is_good: Callable[[str], bool]
) -> Iterator[Completion]:
    """`fields`: what is still to be written; `missing` tells what others miss behind a text; `words` are to fill with."""
    rest = Rest(fields)
    example = rest.text({})
    if len(example) <= _MAX_LENGTH:
        search = _Search(rest, missing, Goals(missing, example), Lexicon.of(words), is_good)
        yield from islice(search.found(), _MAX_FOUND)


class _Search:
    def __init__(
        self, rest: Rest, missing: Missing, goals: Goals, lexicon: Lexicon, is_good: Callable[[str], bool]
    ) -> None:
        self._rest, self._missing, self._goals, self._lexicon, self._is_good = rest, missing, goals, lexicon, is_good
        self._told: set[str] = set()
        """Whole texts that are dealt with."""

    def found(self) -> Iterator[Completion]:
        """Endings, the best first."""
        placer = Placer(self._rest, self._missing)
        started: set[str] = set()
        for manner in get_args(Manner):
            sketch = placer.placed(manner)
            text = self._rest.text(sketch)
            if text in started:
                continue
            started.add(text)
            # What needs nothing but words comes first, at once: looking for others takes ten times as long.
            plain = (self._filled(sketch, spaced) for spaced in self._manners(text))
            yield from islice(self._checked(one for one in plain if one is not None), 1)
            ready = sorted(self._candidates(sketch), key=lambda pair: pair[0])
            yield from islice(self._checked(candidate for _, candidate in ready[:_MAX_READY]), _MAX_TOLD)
            yield from self._slot(sketch)

    # -- how much of it ----------------------------------------------------------------------------------------------

    def _candidates(self, sketch: Sketch) -> Iterator[tuple[float, Sketch]]:
        """(what it costs, a sketch that should have as much of everything as is wanted)."""
        for spaced in self._manners(self._rest.text(sketch)):
            first = list(self._rest.moves(sketch))
            if (grown := self._grown(sketch, spaced)) is not sketch:
                first += [grown, *self._rest.moves(grown)]
            num_found = 0
            for number, move in enumerate((sketch, *first)):
                if (found := self._filled(move, spaced)) is not None:
                    num_found += 1
                    # Of equal ones the one that is changed least.
                    yield cost(self._rest.text(found)) + number / 1000, found
            if not num_found:
                pairs = (second for move in first for second in self._rest.moves(move))
                for move in islice(pairs, _MAX_PAIRS):
                    if (found := self._filled(move, spaced)) is not None:
                        yield cost(self._rest.text(found)), found

    def _grown(self, sketch: Sketch, spaced: bool) -> Sketch:
        """With so many more strings that there is room for all that is lacking."""
        for _ in range(_MAX_GROWN):
            lacking = self._lack_of_room(sketch, spaced)
            if lacking <= 0:
                break
            size = cost(self._rest.text(sketch))
            best, most = None, 0.0
            for move in self._rest.moves(sketch):
                gain = min(lacking - self._lack_of_room(move, spaced), lacking)
                gain_per_token = gain / max(cost(self._rest.text(move)) - size, 1)
                if gain_per_token > most:
                    best, most = move, gain_per_token
            if best is None:
                break
            sketch = best
        return sketch

    def _lack_of_room(self, sketch: Sketch, spaced: bool) -> int:
        """Characters for which there is no room."""
        text = self._rest.text(sketch, pads=False)
        rooms = [max(place.room - place.joint, 0) for place in self._places(sketch)]
        num_words = sum((room + 1) // 2 for room in rooms) if spaced else sum(rooms)
        lack_of_words = self._goals.lacking("words", text) - num_words
        return max(self._goals.lacking("characters", text) - sum(rooms), (1 + spaced) * lack_of_words)

    def _places(self, sketch: Sketch) -> list[Place]:
        strings = self._fillable(sketch)
        return [Place(one.lacking(sketch), one.spare(sketch), int(one.is_begun(sketch))) for one in strings]

    def _fillable(self, sketch: Sketch) -> list[Text]:
        return [one for one in self._rest.strings(sketch) if not one.is_distinct]

    def _filled(self, sketch: Sketch, spaced: bool) -> Sketch | None:
        """`sketch` filled with words, as many as are wanted; None where that is not found."""
        text = self._rest.text(sketch, pads=False)
        letters = self._goals.letters(text, _MAX_LENGTH)
        strings, places = self._fillable(sketch), self._places(sketch)
        for exact_words, exact_characters in ((True, True), (False, True), (True, False)):
            words = self._wanted("words", text, is_exact=exact_words)
            characters = self._wanted("characters", text, is_exact=exact_characters)
            pieces = filled(places, words, characters, self._lexicon, spaced=spaced, letters=letters)
            if pieces is not None:
                pairs = zip(strings, pieces, strict=True)
                return {**sketch, **{one: (*sketch.get(one, ()), *some) for one, some in pairs if some}}
        return None

    def _wanted(self, unit: str, text: str, *, is_exact: bool) -> Wanted:
        return Wanted(self._goals.lacking(unit, text), is_exact and self._goals.is_capped(unit))

    def _manners(self, text: str) -> tuple[bool, ...]:
        """Whether words have spaces between them: first as in `text`."""
        if not self._lexicon.spaced or not self._lexicon.unspaced:
            return (bool(self._lexicon.spaced),)
        is_unspaced = any(texts.is_unspaced(character) for character in text if character > "\x7f")
        return (False, True) if is_unspaced else (True, False)

    # -- what is told ------------------------------------------------------------------------------------------------

    def _checked(self, candidates: Iterable[Sketch]) -> Iterator[Completion]:
        """Those behind which nothing is missing."""
        for sketch in candidates:
            text = self._rest.text(sketch)
            if text in self._told:
                continue
            self._told.add(text)
            if is_met(self._missing(text)) and self._is_good(text):
                yield Completion(text)

    def _slot(self, sketch: Sketch) -> Iterator[Completion]:
        """With a place for words where there is most room: others know more words."""
        strings = self._rest.strings(sketch)
        if not strings:
            return
        one = max(strings, key=lambda one: one.spare(sketch))
        room, least = one.spare(sketch), max(one.lacking(sketch), 0)
        before, _, after = self._rest.text(sketch, slot=one).partition(MARK)
        if room > 0 and self._is_good(before + "a" * least + after):
            yield Completion(before, after, None if one.most is None else room, least=least)
