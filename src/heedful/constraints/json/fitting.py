"""Endings that bring what other requirements still miss: keywords, words, characters, letters.

First what has to occur is put in place: as a key, as a listed value, else into strings, as many as it takes. Then the rest is filled
with words, where that comes out even; where it does not, with more members, more items, longer numbers. All of it is a guess: what is
missing is asked again behind every whole text, and only what is valid is told.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, get_args

from heedful import text as texts
from heedful.constraints.json.fields import MARK, Field, Sketch, Text, overlap
from heedful.constraints.json.filling import Lexicon, Place, Wanted, filled
from heedful.constraints.machine import Completion, Needs

Missing = Callable[[str], Sequence[Needs]]
Manner = Literal["firm first", "all", "longest first"]

_MAX_ASKED = 60
"""How often it is asked what is missing."""
_MAX_FOUND = 9
_MAX_READY = 16
_MAX_TOLD = 2
_MAX_TURNS = 8
_MAX_GROWN = 40
_MAX_MOVES = 40
_MAX_PAIRS = 120
_MAX_TEXTS = 64
_MAX_LINKED = 24
_MAX_LENGTH = 4000
"""Of the shortest ending; what is longer takes too long."""
_TOKENS = re.compile(r"[0-9]|[A-Za-z]{1,7}|[^\x00-\x7f]|[^A-Za-z0-9\s\x80-\U0010ffff]{1,3}")
_RUN = re.compile(r"\w+")


def fitting(
    fields: Sequence[Field], missing: Missing, words: Sequence[str], is_good: Callable[[str], bool]
) -> Iterator[Completion]:
    """`fields`: what is still to be written; `missing` tells what others miss behind a text; `words` are to fill with."""
    rest = Rest(fields)
    if len(rest.text({})) > _MAX_LENGTH:
        return
    yield from islice(_Search(rest, missing, Lexicon.of(words), is_good).found(), _MAX_FOUND)


@dataclass(frozen=True)
class Rest:
    """What is still to be written."""

    fields: Sequence[Field]

    def text(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        return "".join(one.render(sketch, pads=pads, slot=slot) for one in self.fields)

    def active(self, sketch: Sketch) -> Iterator[Field]:
        """All places in use, in the order in which they stand."""
        stack = list(reversed(self.fields))
        while stack:
            one = stack.pop()
            yield one
            stack += reversed(list(one.inside(sketch)))

    def strings(self, sketch: Sketch) -> list[Text]:
        return list(islice((one for one in self.active(sketch) if isinstance(one, Text)), _MAX_TEXTS))

    def moves(self, sketch: Sketch) -> Iterator[Sketch]:
        """Sketches that differ in one place, of which each is changed once before another is changed twice."""
        sources = [(one, one.moves(sketch)) for one in islice(self.active(sketch), 200)]
        while sources:
            for source in list(sources):
                one, values = source
                value = next(values, None)
                if value is None:
                    sources.remove(source)
                else:
                    yield {**sketch, one: value}


@dataclass
class _Search:
    rest: Rest
    missing: Missing
    lexicon: Lexicon
    is_good: Callable[[str], bool]
    num_asked: int = 0
    goals: dict[str, int] = field(default_factory=dict)
    """Units that an ending has to have, as many at least."""
    capped: set[str] = field(default_factory=set)
    """Units of which there may be too many."""
    count_words: Callable[[str], int] = texts.num_words
    told: set[str] = field(default_factory=set)

    def found(self) -> Iterator[Completion]:
        """Endings, the best first."""
        self._learn_goals()
        for sketch in self._started():
            # What needs nothing but words comes first, at once: looking for others takes ten times as long.
            plain = (self._filled(sketch, spaced) for spaced in self._manners(self.rest.text(sketch)))
            yield from islice(self._checked(one for one in plain if one is not None), 1)
            ready = sorted(self._candidates(sketch), key=lambda pair: pair[0])
            yield from islice(self._checked(candidate for _, candidate in ready[:_MAX_READY]), _MAX_TOLD)
            yield from self._slots(sketch)

    # -- what is wanted ----------------------------------------------------------------------------------------------

    def _ask(self, text: str) -> Sequence[Needs]:
        self.num_asked += 1
        return self.missing(text)

    def _learn_goals(self) -> None:
        before = self._ask("")
        self.goals = {unit: number for needs in before for unit, number in needs.units if number > 0}
        text = self.rest.text({})
        if (number := self.goals.get("words")) is not None:
            behind = _units(self._ask(text)).get("words", 0)
            if behind > 0 and number - behind == len(_RUN.findall(text)) != texts.num_words(text):
                self.count_words = lambda text: len(_RUN.findall(text))
        # Of far too much it is told whether it is too much: a part that refuses says what it said before.
        much = " ".join(["so"] * (20 + 2 * max(self.goals.values(), default=0)))
        behind_much = _units(self._ask(much[:20_000]))
        self.capped = {unit for unit in self.goals if behind_much.get(unit, 0)}

    def _count(self, unit: str, text: str) -> int:
        if unit == "words":
            return self.count_words(text)
        if unit == "characters":
            return texts.num_characters(text)
        return text.lower().count(unit.partition(":")[2]) if unit.startswith("letter:") else 0

    def _lacking(self, unit: str, text: str) -> int:
        return max(self.goals.get(unit, 0) - self._count(unit, text), 0)

    # -- what has to occur -------------------------------------------------------------------------------------------

    def _started(self) -> Iterator[Sketch]:
        """Sketches that hold all that has to occur, as far as there is room."""
        seen = set()
        for manner in get_args(Manner):
            sketch = self._placed(manner)
            text = self.rest.text(sketch)
            if text not in seen:
                seen.add(text)
                yield sketch

    def _placed(self, manner: Manner) -> Sketch:
        sketch: Sketch = {}
        tried: dict[str, int] = {}
        for _ in range(_MAX_TURNS):
            needs = self._ask(self.rest.text(sketch))
            asked = [text for text in _asked(needs, manner) if tried.get(text, 0) < 2]
            if not asked or self.num_asked > _MAX_ASKED:
                break
            last: Text | None = None
            for text in asked:
                turn = tried[text] = tried.get(text, 0) + 1
                named = self._named(sketch, text) if turn == 1 else None
                if named is not None:
                    sketch = named
                elif (put := self._put(sketch, text, last, short_first=manner == "longest first")) is not None:
                    sketch, last = put
        return sketch

    def _named(self, sketch: Sketch, text: str) -> Sketch | None:
        """With `text` as a key or a listed value."""
        wanted = text.casefold()
        first = list(islice(self.rest.moves(sketch), _MAX_MOVES))
        strings = {one: ("",) for one in self.rest.strings(sketch)}
        there = self.rest.text({**sketch, **strings}).casefold().count(wanted)
        found = [move for move in first if self.rest.text(move).casefold().count(wanted) > there]
        return min(found, key=lambda move: _cost(self.rest.text(move)), default=None)

    def _put(
        self, sketch: Sketch, text: str, last: Text | None, *, short_first: bool
    ) -> tuple[Sketch, Text] | None:
        """With `text` in a string, `last` or one behind it, where there is room; None where there is none.

        `short_first`: strings that have to be longer come first.
        """
        strings = self.rest.strings(sketch)
        if short_first:
            strings.sort(key=lambda one: one.least <= len(one.body(sketch.get(one, ()))))
            last = None
        at = strings.index(last) if last in strings else 0
        for one in (*strings[at:], *strings[:at]):
            if (put := _with_piece(sketch, one, text)) is not None:
                return put, one
        grown = sorted(islice(self.rest.moves(sketch), _MAX_MOVES), key=lambda move: _cost(self.rest.text(move)))
        for move in grown:
            for one in self.rest.strings(move):
                if one not in strings and (put := _with_piece(move, one, text)) is not None:
                    return put, one
        return None

    # -- how much of it ----------------------------------------------------------------------------------------------

    def _candidates(self, sketch: Sketch) -> Iterator[tuple[float, Sketch]]:
        """(what it costs, a sketch that should have as much of everything as is wanted)."""
        for spaced in self._manners(self.rest.text(sketch)):
            start = self._grown(sketch, spaced)
            first = list(islice(self.rest.moves(start), _MAX_MOVES))
            pairs = islice((second for move in first for second in self.rest.moves(move)), _MAX_PAIRS)
            num_found = 0
            for number, move in enumerate((start, *first)):
                if (found := self._filled(move, spaced)) is not None:
                    num_found += 1
                    yield _cost(self.rest.text(found)) + number / 1000, found
            for move in pairs if not num_found else ():
                if (found := self._filled(move, spaced)) is not None:
                    yield _cost(self.rest.text(found)), found

    def _grown(self, sketch: Sketch, spaced: bool) -> Sketch:
        """With so many more strings that there is room for all that is lacking."""
        for _ in range(_MAX_GROWN):
            lacking = self._lack_of_room(sketch, spaced)
            if lacking <= 0:
                break
            size = _cost(self.rest.text(sketch))
            best, gain = None, 0.0
            for move in islice(self.rest.moves(sketch), _MAX_MOVES):
                gained = min(lacking - self._lack_of_room(move, spaced), lacking)
                cost = max(_cost(self.rest.text(move)) - size, 1)
                if gained / cost > gain:
                    best, gain = move, gained / cost
            if best is None:
                break
            sketch = best
        return sketch

    def _lack_of_room(self, sketch: Sketch, spaced: bool) -> int:
        text = self.rest.text(sketch, pads=False)
        rooms = [max(place.room - place.joint, 0) for place in self._places(sketch, self.rest.strings(sketch))]
        lacking = self._lacking("characters", text) - sum(rooms)
        num_words = sum((room + 1) // 2 for room in rooms) if spaced else sum(rooms)
        return max(lacking, (1 + spaced) * (self._lacking("words", text) - num_words))

    def _places(self, sketch: Sketch, strings: Sequence[Text]) -> list[Place]:
        found = []
        for one in strings:
            pieces = sketch.get(one, ())
            body = one.body(pieces)
            joint = int(bool(body) or not one.before.endswith(('"', " ")))
            found.append(Place(one.least - len(body), one.spare(pieces), joint))
        return found

    def _wanted(self, unit: str, text: str, *, exact: bool) -> Wanted:
        return Wanted(self._lacking(unit, text), exact and unit in self.capped)

    def _filled(self, sketch: Sketch, spaced: bool) -> Sketch | None:
        """`sketch` filled with words."""
        text = self.rest.text(sketch, pads=False)
        strings = self.rest.strings(sketch)
        places = self._places(sketch, strings)
        letters = "".join(
            unit.partition(":")[2] * min(self._lacking(unit, text), _MAX_LENGTH)
            for unit in self.goals
            if unit.startswith("letter:")
        )
        for exact_words, exact_characters in ((True, True), (False, True), (True, False)):
            words = self._wanted("words", text, exact=exact_words)
            characters = self._wanted("characters", text, exact=exact_characters)
            pieces = filled(places, words, characters, self.lexicon, spaced=spaced, letters=letters)
            if pieces is not None:
                pairs = zip(strings, pieces, strict=True)
                return {**sketch, **{one: (*sketch.get(one, ()), *some) for one, some in pairs if some}}
        return None

    def _manners(self, text: str) -> tuple[bool, ...]:
        """With spaces between words or without: as in the text, first."""
        both = bool(self.lexicon.spaced) and bool(self.lexicon.unspaced)
        if not both:
            return (bool(self.lexicon.spaced),)
        is_unspaced = any(texts.is_unspaced(character) for character in text if character > "\x7f")
        return (False, True) if is_unspaced else (True, False)

    # -- what is told ------------------------------------------------------------------------------------------------

    def _checked(self, candidates: Iterable[Sketch]) -> Iterator[Completion]:
        """Those that nothing is missing from, as far as they say, corrected where they were wrong by a little."""
        for sketch in candidates:
            text = self.rest.text(sketch)
            if text in self.told or self.num_asked > _MAX_ASKED:
                continue
            self.told.add(text)
            needs = self._ask(text)
            if not _asked(needs) and not any(_units(needs).values()) and self.is_good(text):
                yield Completion(text)

    def _slots(self, sketch: Sketch) -> Iterator[Completion]:
        """With room where there is most: others know more words."""
        for one in sorted(self.rest.strings(sketch), key=lambda one: -one.spare(sketch.get(one, ())))[:1]:
            pieces = sketch.get(one, ())
            room = None if one.most is None else one.spare(pieces)
            before, _, after = self.rest.text(sketch, slot=one).partition(MARK)
            if room != 0 and before + after not in self.told:
                self.told.add(before + after)
                yield Completion(before, after, room, least=max(one.least - len(one.body(pieces)), 0))


def _with_piece(sketch: Sketch, one: Text, text: str) -> Sketch | None:
    pieces = (*sketch.get(one, ()), text)
    return None if one.spare(pieces) < 0 else {**sketch, one: pieces}


def _cost(text: str) -> int:
    """About how many tokens it takes."""
    return len(_TOKENS.findall(text))


def _units(missing: Sequence[Needs]) -> dict[str, int]:
    found: dict[str, int] = {}
    for needs in missing:
        for unit, number in needs.units:
            found[unit] = max(found.get(unit, number), number)
    return found


def _asked(missing: Sequence[Needs], manner: Manner = "firm first") -> list[str]:
    """What has to occur, in order: what may come about by itself when nothing else is missing, or first of all."""
    firm, loose = _different(missing, lambda rank: rank < 2), _different(missing, lambda rank: rank >= 2)
    if manner == "all":
        return _linked([*loose, *(text for text in firm if not any(text in other for other in loose))])
    if not firm:
        return loose
    if manner == "longest first":
        return sorted(firm, key=len, reverse=True)
    # In the order in which they may make up what comes about by itself.
    joined = "\n".join(loose)
    return sorted(firm, key=lambda text: joined.find(text) if text in joined else len(joined))


def _linked(several: Sequence[str]) -> list[str]:
    """In an order in which those that overlap stand behind each other."""
    found: list[str] = []
    left = list(several)
    while left and len(several) <= _MAX_LINKED:
        following = max(left, key=lambda text: overlap(found[-1], text) if found else 0)
        if not found or not overlap(found[-1], following):
            following = next((text for text in left if any(overlap(text, other) for other in left)), left[0])
        left.remove(following)
        found.append(following)
    return found + left


def _different(missing: Sequence[Needs], has_rank: Callable[[int], bool]) -> list[str]:
    """Each text as often as the one asks for it that asks most often."""
    asked = [needs for needs in sorted(missing, key=lambda needs: needs.rank) if has_rank(needs.rank)]
    said = {item.texts[0] for needs in asked for item in needs.items if len(item.texts) == 1}
    counts: Counter[str] = Counter()
    found = []
    for needs in asked:
        own: Counter[str] = Counter()
        for item in needs.items:
            text = min(item.texts, key=len)
            if len(item.texts) > 1 and any(one in other for one in item.texts for other in said):
                continue  # It comes with the others.
            own[text] += 1
            if own[text] > counts[text]:
                counts[text] += 1
                found.append(text)
    return found
