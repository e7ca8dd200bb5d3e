"""Placing what has to occur into an ending: as a key, as a listed value, else into strings, as many as it takes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from heedful.constraints.forms import Missing
from heedful.constraints.json.asking import Manner, asked
from heedful.constraints.json.fields import Field, Sketch, Text

MAX_MOVES = 40
"""Changes of a sketch that are looked at."""
_MAX_WORK = 250_000
"""Characters that are written to look at them, and as much for strings that are looked for: a tenth of a second or less."""
_WORK_OF_STRING = 10
_MAX_FIELDS = 200
_MAX_STRINGS = 64
_MAX_TURNS = 8
_MAX_TEXTS = 200
_TOKENS = re.compile(r"[0-9]|[A-Za-z]{1,7}|[^\x00-\x7f]|[^A-Za-z0-9\s\x80-\U0010ffff]{1,3}")


def cost(text: str) -> int:
    """About how many tokens it takes."""
    return len(_TOKENS.findall(text))


class Rest:
    """What is still to be written."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self._fields = tuple(fields)
        self._work = _MAX_WORK

    def text(self, sketch: Sketch, *, pads: bool = True, slot: Field | None = None) -> str:
        """The ending that the sketch is of."""
        text = "".join(one.render(sketch, pads=pads, slot=slot) for one in self._fields)
        self._work -= len(text)
        return text

    def strings(self, sketch: Sketch) -> list[Text]:
        """Strings in use that may hold words, in the order in which they stand."""
        found = list(islice((one for one in self._active(sketch) if isinstance(one, Text)), _MAX_STRINGS))
        self._work -= _WORK_OF_STRING * len(found)
        return found

    def moves(self, sketch: Sketch) -> Iterator[Sketch]:
        """Sketches that differ in one place, each place once before one of them comes again."""
        sources = [(one, one.moves(sketch)) for one in islice(self._active(sketch), _MAX_FIELDS)]
        number = 0
        while sources:
            for source in list(sources):
                one, values = source
                value = next(values, None)
                number += 1
                if number > MAX_MOVES or self._work < 0:
                    return
                if value is None:
                    sources.remove(source)
                else:
                    yield {**sketch, one: value}

    def _active(self, sketch: Sketch) -> Iterator[Field]:
        stack = list(reversed(self._fields))
        while stack:
            one = stack.pop()
            yield one
            stack += reversed(list(one.inside(sketch)))


class Placer:
    """Makes sketches that hold what `missing` asks for, as far as there is room."""

    def __init__(self, rest: Rest, missing: Missing) -> None:
        self._rest, self._missing = rest, missing
        self._labels: dict[tuple[object, ...], str] = {}

    def placed(self, manner: Manner) -> Sketch:
        """All that has to occur, placed in one of several orders."""
        sketch: Sketch = {}
        tried: dict[str, int] = {}
        for _ in range(_MAX_TURNS):
            needs = self._missing(self._rest.text(sketch))
            wanted = [text for text in asked(needs, manner)[:_MAX_TEXTS] if tried.get(text, 0) < 2]
            if not wanted:
                break
            last: Text | None = None
            for text in wanted:
                turn = tried[text] = tried.get(text, 0) + 1
                named = self._named(sketch, text.casefold()) if turn == 1 else None
                if named is not None:
                    sketch = named
                elif (put := self._put(sketch, text, last, short_first=manner == "longest first")) is not None:
                    sketch, last = put
        return sketch

    def _named(self, sketch: Sketch, text: str) -> Sketch | None:
        """With `text` as a key or a listed value, where that is possible."""
        structure = tuple(pair for pair in sketch.items() if not isinstance(pair[0], Text))
        if structure not in self._labels:
            moved = (self._rest.text(move) for move in self._rest.moves(sketch))
            self._labels[structure] = "\n".join(moved).casefold()
        if text not in self._labels[structure]:
            return None
        there = self._rest.text(sketch).casefold().count(text)
        found = [(self._rest.text(move), move) for move in self._rest.moves(sketch)]
        named = [(cost(written), move) for written, move in found if written.casefold().count(text) > there]
        return min(named, key=lambda pair: pair[0])[1] if named else None

    def _put(self, sketch: Sketch, text: str, last: Text | None, *, short_first: bool) -> tuple[Sketch, Text] | None:
        """With `text` in a string, `last` or one behind it, where there is room; None where there is none.

        `short_first`: strings that have to be longer come first, and nothing goes by the order.
        """
        strings = self._rest.strings(sketch)
        if short_first:
            strings.sort(key=lambda one: one.lacking(sketch) <= 0)
            last = None
        at = strings.index(last) if last in strings else 0
        for one in (*strings[at:], *strings[:at]):
            if (put := _with_piece(sketch, one, text)) is not None:
                return put, one
        for move in sorted(self._rest.moves(sketch), key=lambda move: cost(self._rest.text(move))):
            for one in self._rest.strings(move):
                if one not in strings and (put := _with_piece(move, one, text)) is not None:
                    return put, one
        return None


def _with_piece(sketch: Sketch, one: Text, text: str) -> Sketch | None:
    added = {**sketch, one: (*sketch.get(one, ()), text)}
    return None if one.spare(added) < 0 else added
