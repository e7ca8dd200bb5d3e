"""What each token of a vocabulary does to a place in a JSON answer: texts in their order, so that what begins alike is read once.

Inside a string nearly every token only makes it longer, and so it is in a key that may be any: these tokens are told apart once for each
vocabulary, and the few with a quotation mark, a backslash or a line break in them are read from there on. Outside few characters
may come.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterable, Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from heedful.constraints.composition import NEVER
from heedful.constraints.json.arrays import ArrayCursor
from heedful.constraints.json.literals import LiteralCursor
from heedful.constraints.json.machine import advance
from heedful.constraints.json.numbers import NumberCursor
from heedful.constraints.json.objects import ObjectCursor
from heedful.constraints.json.root import FenceCursor, RootCursor
from heedful.constraints.json.shape import Cursor
from heedful.constraints.json.strings import StringCursor, num_plain
from heedful.constraints.json.value import Node, ValueCursor
from heedful.constraints.masks.texts import Batch, TokenTexts

Places = NDArray[np.int64]
Cursors = tuple[Cursor, ...]

_MOST_WORK = 1000
"""Characters read for one place, a few microseconds each."""
_MOST_LACKING = 64
"""Characters that a string may lack where tokens are read in it: what may follow depends on each."""
_IN_OBJECTS = {"first": ' \n}"', "comma": ' \n"', "colon": ":", "after": " \n,}", "inside": ""}


class TooHardError(Exception):
    """A place is not read: it depends on checks, or would take long."""


class Lexicon:
    """The texts of a batch of tokens in their order; places are places in it."""

    def __init__(self, batch: Batch, tokens: TokenTexts) -> None:
        order = sorted(range(len(batch.texts)), key=batch.texts.__getitem__)
        self.texts = [batch.texts[place] for place in order]
        self.ids = batch.ids[order]
        self.extra = tokens.columns[batch.classes[order], 3] if order else np.zeros(0, np.int64)
        """Tokens that complete a token's last character."""
        sizes = [num_plain(text, 0) for text in self.texts]
        is_plain = np.array([size == len(text) for size, text in zip(sizes, self.texts, strict=True)], bool)
        self.plain = np.flatnonzero(is_plain)
        """Those that only make a string longer."""
        self.others = [(place, sizes[place]) for place in np.flatnonzero(~is_plain).tolist()]
        """All others, with the number of characters that do so."""
        # With a backslash it is not so simple how many characters a string gets; never more than there are.
        some = (len(text) if "\\" in text else size for size, text in zip(sizes, self.texts, strict=True))
        self.added = np.fromiter(some, np.int64, len(self.texts))
        """Characters that each adds to a string it stands in."""
        self.plain_costs: NDArray[np.int32] = np.full(tokens.size, NEVER, np.int32)
        """(vocabulary,): `extra` of the plain ones, NEVER for others."""
        self.plain_costs[self.ids[self.plain]] = self.extra[self.plain]
        self.all_added = np.zeros(tokens.size, np.int64)
        """(vocabulary,): `added`; 0 for tokens that are not here."""
        self.all_added[self.ids] = self.added
        self.dearest = int(self.extra.max(initial=0))
        self.longest = max(map(len, self.texts), default=0)

    @lru_cache(maxsize=_MOST_LACKING + 1)  # noqa: B019 - lives as long as a vocabulary
    def suffixes(self, most: int) -> list[tuple[int, list[str], list[list[int]]]]:
        """What the others are behind their plain characters: (number of these, `most` for more; texts; the places of each)."""
        found: dict[int, dict[str, list[int]]] = {}
        for place, size in self.others:
            found.setdefault(min(size, most), {}).setdefault(self.texts[place][size:], []).append(place)
        return [(size, sorted(some), [some[text] for text in sorted(some)]) for size, some in sorted(found.items())]

    def places_of(self, text: str) -> range:
        """Those of the tokens that are `text`."""
        first = last = bisect_left(self.texts, text)
        while last < len(self.texts) and self.texts[last] == text:
            last += 1
        return range(first, last)


@lru_cache(maxsize=64)
def lexicon_of(batch: Batch, tokens: TokenTexts) -> Lexicon:
    """Made once for each batch."""
    return Lexicon(batch, tokens)


class Reading:
    """From one place; made for one use."""

    def __init__(self, lexicon: Lexicon) -> None:
        self._lexicon, self._work = lexicon, _MOST_WORK
        self._ends: dict[Hashable, tuple[Cursors, list[Sequence[int]]]] = {}
        self.plain_end: Cursors | None = None
        """Where all plain tokens lead to, but those `apart`; None where that differs, and they are told one by one."""
        self.apart: list[int] = []

    def read(self, cursors: Cursors) -> Iterator[tuple[Cursors, Places]]:
        """Cursors behind tokens, and which tokens lead there; those that may not come are left out. Raises TooHardError.

        A string is taken for the shortest that is the same place: longer ones may have no room for a token's `added` characters.
        """
        if (string := open_string(cursors)) is not None:
            self._read_in_string(string)
        elif (key := _open_key(cursors)) is not None:
            self._read_in_key(key)
        else:
            self._walk(cursors, self._lexicon.texts, (), 0, 0, len(self._lexicon.texts))
        for end, places in self._ends.values():
            yield end, np.array([place for some in places for place in some], np.int64)

    # -- outside of strings, and behind them ---------------------------------------------------------------------------------

    def _walk(
        self, cursors: Cursors, texts: Sequence[str], places: Sequence[Sequence[int]], depth: int, low: int, high: int
    ) -> None:
        """Texts from `low` to before `high` have led to `cursors` with their first `depth` characters, which they share.
        `places` has those of each; none where a text's own number is its place."""
        while low < high and len(texts[low]) == depth:
            self._reach(cursors, places[low] if places else (low,))
            low += 1
        if low == high:
            return
        if open_string(cursors) is not None or _open_key(cursors) is not None:
            for number in range(low, high):
                after = self._through(cursors, texts[number], depth)
                if after:
                    self._reach(after, places[number] if places else (number,))
            return
        self._branch(cursors, texts, places, depth, low, high)

    def _branch(
        self, cursors: Cursors, texts: Sequence[str], places: Sequence[Sequence[int]], depth: int, low: int, high: int
    ) -> None:
        """As `_walk`, of texts that all go on; also from a string or a key, by each character that they go on with."""
        begun = texts[low][:depth]
        for character in _ahead(cursors) or _following(texts, depth, low, high):
            first = bisect_left(texts, begun + character, low, high)
            if first == high or texts[first][depth] != character:
                continue
            after = self._advanced(cursors, character)
            if after:
                last = bisect_left(texts, begun + chr(ord(character) + 1), first, high)
                self._walk(after, texts, places, depth + 1, first, last)

    def _through(self, cursors: Cursors, text: str, depth: int) -> Cursors:
        """Behind all of `text` from `depth` on."""
        while cursors and depth < len(text):
            more = num_plain(text, depth)
            if more and (string := open_string(cursors)) is not None:
                if not string.shape.may_hold(string.length + more):
                    return ()
                cursors, depth = (string.of_length(string.length + more),), depth + more
            elif more and (key := _open_key(cursors)) is not None:
                key = key.with_key(key.key + text[depth : depth + more])
                self._spend(10)
                cursors, depth = (key,) if key.may_have_key() else (), depth + more
            else:
                cursors, depth = self._advanced(cursors, text[depth]), depth + 1
        return cursors

    def _advanced(self, cursors: Cursors, character: str) -> Cursors:
        self._spend(1)
        after = advance(cursors, character, "", 0)
        if any(cursor.is_checked for cursor in after):
            raise TooHardError
        return after

    def _spend(self, work: int) -> None:
        self._work -= work
        if self._work < 0:
            raise TooHardError

    def _reach(self, cursors: Cursors, places: Sequence[int]) -> None:
        key = tuple([cursor.place() for cursor in cursors])
        self._ends.setdefault(key, (cursors, []))[1].append(places)

    # -- in a string ------------------------------------------------------------------------------------------------

    def _read_in_string(self, string: StringCursor) -> None:
        """Tokens that only make it longer, then what others do once they have made it longer."""
        plain, added = self._lexicon.plain, self._lexicon.added
        lacking = max(string.shape.least - string.length, 0)
        if lacking > _MOST_LACKING:
            raise TooHardError
        if lacking <= 1 and string.shape.may_hold(string.length + 1):
            self.plain_end = (string.of_length(string.length + 1),)
        for more in range(1, lacking + 1) if lacking > 1 else ():
            some = plain[added[plain] >= more if more == lacking else added[plain] == more]
            if len(some) and string.shape.may_hold(string.length + more):
                self._reach((string.of_length(string.length + more),), some.tolist())
        for more, texts, places in self._lexicon.suffixes(lacking):
            if string.shape.may_hold(string.length + more):
                self._branch((string.of_length(string.length + more),), texts, places, 0, 0, len(texts))

    # -- in a key that may be any -------------------------------------------------------------------------------------

    def _read_in_key(self, cursor: ObjectCursor) -> None:
        """As in a string; tokens that make a part of a key that is not like all others are read one by one."""
        lexicon, keys = self._lexicon, cursor.shape.keys
        rests = [key[len(cursor.key) :] for key in keys.special(cursor.keys) if key.startswith(cursor.key)]
        parts = {rest[:size] for rest in rests for size in range(1, min(len(rest), lexicon.longest) + 1)}
        singly = [place for part in parts for place in lexicon.places_of(part)]
        singly += [place for place, size in lexicon.others if lexicon.texts[place][:size] in parts]
        for place in singly:
            after = self._through((cursor,), lexicon.texts[place], 0)
            if after:
                self._reach(after, (place,))
        known = set(singly)
        sample = next((place for place in lexicon.plain if place not in known), None)
        free = cursor if sample is None else cursor.with_key(cursor.key + lexicon.texts[sample])
        may_be_free = sample is not None and free.may_have_key()
        if may_be_free:
            self.plain_end, self.apart = (free,), singly
        for more, texts, places in lexicon.suffixes(1):
            if not more:
                self._branch((cursor,), texts, places, 0, 0, len(texts))
            elif may_be_free:
                others = [[place for place in some if place not in known] for some in places]
                self._branch((free,), texts, others, 0, 0, len(texts))


def open_string(cursors: Cursors) -> StringCursor | None:
    """The only cursor, where any characters make it longer."""
    cursor = cursors[0]
    if len(cursors) > 1 or not isinstance(cursor, StringCursor):
        return None
    return cursor if cursor.shape.pattern is None and not cursor.pending else None


def _open_key(cursors: Cursors) -> ObjectCursor | None:
    """The only cursor, where nearly any characters make a key longer."""
    cursor = cursors[0]
    if len(cursors) > 1 or not isinstance(cursor, ObjectCursor):
        return None
    return cursor if cursor.phase == "key" and cursor.shape.keys.are_alike else None


def _following(texts: Sequence[str], depth: int, low: int, high: int) -> Iterable[str]:
    """The characters at `depth` of the texts from `low` to before `high`."""
    while low < high:
        character = texts[low][depth]
        yield character
        low = bisect_left(texts, texts[low][:depth] + chr(ord(character) + 1), low, high)


def _ahead(cursors: Cursors) -> str | None:
    """Characters that may come next, and perhaps others; None where nothing is known."""
    found = [_ahead_of(cursor) for cursor in cursors]
    known = [one for one in found if one is not None]
    return "".join(sorted(set("".join(known)))) if len(known) == len(found) else None


def _ahead_of(cursor: Cursor) -> str | None:
    if isinstance(cursor, ObjectCursor):
        if cursor.phase != "key":
            return _IN_OBJECTS[cursor.phase]
        rests = cursor.shape.keys.listed_rests(cursor.key)
        return '"' + "".join(rest[:1] for rest in rests) if cursor.shape.keys.are_listed else None
    if isinstance(cursor, ArrayCursor):
        return " \n,]" if cursor.phase == "after" else " \n]" + _opening(cursor.shape.node(cursor.count))
    if isinstance(cursor, ValueCursor):
        return " \n" + _opening(cursor.shape)
    if isinstance(cursor, FenceCursor):
        return "".join(spelling[cursor.offset] for spelling in cursor.spellings)
    if isinstance(cursor, RootCursor):
        return "\n`"
    if isinstance(cursor, LiteralCursor | NumberCursor):
        own = "0123456789.-+eE" if isinstance(cursor, NumberCursor) else ""
        if isinstance(cursor, LiteralCursor):
            own = "".join(spelling[cursor.offset : cursor.offset + 1] for spelling in cursor.spellings)
        behind = _ahead_of(cursor.parent.after())
        return None if behind is None else own + behind
    return None


def _opening(node: Node) -> str:
    return "".join(character for shape in node.shapes for character in shape.opening)
