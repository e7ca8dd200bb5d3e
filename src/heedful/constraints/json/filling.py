"""Filling strings with words, so that words and characters come out as wanted: how many words go where, how long they are, which.

Characters do not count white space, as requirements count them; the room of a string does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

from heedful import text as texts

_LONGEST = 14
"""Letters of a word; longer ones where there is no other way."""
_MAX_WORDS = 3000
_MAX_MARKS = 5


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many more, at least; `is_exact`: and no more."""

    number: int = 0
    is_exact: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """A string."""

    lacking: int
    """Characters that it has to have still."""
    room: int
    joint: int
    """1 where something stands in it: then a space comes before the first word."""


@dataclass
class Lexicon:
    """Words to fill with: `spaced` ones have spaces between them, `unspaced` ones are single characters."""

    spaced: list[str] = field(default_factory=list)
    unspaced: list[str] = field(default_factory=list)

    @property
    def usual(self) -> int:
        """Letters of a word that takes few tokens for what it has."""
        return 11 if max(map(len, self.spaced), default=0) > 8 else 6

    @classmethod
    def of(cls, words: Sequence[str]) -> Lexicon:
        unspaced = [word for word in words if texts.is_unspaced(word)]
        return cls([word for word in words if word not in unspaced], [word for word in unspaced if len(word) == 1])

    def word(self, length: int, turn: int) -> str:
        """A spaced word of `length` letters: a real one where there is one, each turn another."""
        found = [word for word in self.spaced if len(word) == length]
        if found:
            return found[turn % len(found)]
        # The longest that is not too long, as few letters as can be are repeated then.
        base = max((word for word in self.spaced if len(word) <= length), key=len, default=self.spaced[0])
        return (base + base[-1] * length)[:length]


def filled(
    places: Sequence[Place], words: Wanted, characters: Wanted, lexicon: Lexicon, *, spaced: bool, letters: str = ""
) -> list[tuple[str, ...]] | None:
    """What to add to each place; None where nothing was found. `letters` have to be among it."""
    if (
        words.number > _MAX_WORDS
        or characters.number > 8 * _MAX_WORDS
        or not (lexicon.spaced if spaced else lexicon.unspaced)
    ):
        return None
    if letters:
        words, characters = _at_least(words, 1), _at_least(characters, len(letters))
        if words.number < 1 or characters.number < len(letters):
            return None
    if not spaced:
        return None if letters else _filled_unspaced(places, words, characters, lexicon)
    for number in _numbers_of_words(places, words, characters, lexicon.usual):
        for spaces_first in (False, True):
            lengths = _lengths(places, number, characters, lexicon, spaces_first=spaces_first)
            if lengths is not None:
                return _spelled(lengths, lexicon, letters)
    return _with_marks(places, words, characters)


def _at_least(wanted: Wanted, number: int) -> Wanted:
    return wanted if wanted.is_exact else Wanted(max(wanted.number, number))


def _numbers_of_words(places: Sequence[Place], words: Wanted, characters: Wanted, length: int) -> Iterator[int]:
    least = max(words.number, sum(place.lacking > 0 for place in places))
    if words.is_exact:
        if least == words.number:
            yield least
        return
    lacking = sum(max(place.lacking, 0) for place in places)
    usual = max(least, -(-max(characters.number, lacking) // length))
    if characters.is_exact:
        usual = max(min(usual, characters.number), least)
    yield usual
    for away in range(1, 9):
        yield from (number for number in (usual - away, usual + away) if number >= least)
    if usual - 8 > least:
        yield least


def _lengths(
    places: Sequence[Place], number: int, characters: Wanted, lexicon: Lexicon, *, spaces_first: bool
) -> list[list[int]] | None:
    """Lengths of `number` words for each place."""
    if (numbers := _distributed(places, number, lexicon.usual, spaces_first=spaces_first)) is None:
        return None
    least, most = [], []
    for place, many in zip(places, numbers, strict=True):
        num_spaces = many - 1 + place.joint if many else 0
        least.append(max(many, place.lacking - num_spaces) if many else 0)
        most.append(place.room - num_spaces if many else 0)
    missing = characters.number - sum(least)
    if missing < 0:
        if characters.is_exact:
            return None
        missing = 0
    if not characters.is_exact:
        # Words of one letter are hardly words.
        shortest = min(map(len, lexicon.spaced)) * number
        missing = max(missing, min(shortest - sum(least), sum(most) - sum(least)))
    for longest in (_LONGEST, 10 * _LONGEST):
        for index, many in enumerate(numbers):
            more = min(missing, max(min(most[index], longest * many) - least[index], 0))
            least[index] += more
            missing -= more
    if missing or any(low > high for low, high in zip(least, most, strict=True)):
        return None
    return [_even(total, many) for total, many in zip(least, numbers, strict=True)]


def _distributed(places: Sequence[Place], number: int, length: int, *, spaces_first: bool) -> list[int] | None:
    """How many of the words go where: first where characters are lacking. `spaces_first`: as many as can be go there, because the
    spaces between them make a string longer."""
    numbers = [int(place.lacking > 0) for place in places]
    left = number - sum(numbers)
    if left < 0:
        return None
    most = [max((place.room - place.joint + 1) // 2, 0) for place in places]
    usual = [max((place.room - place.joint + 1) // (length + 1), place.room - place.joint > 3) for place in places]
    wanted = [-(-place.lacking // (length + 1)) for place in places]
    halves = [(place.lacking + 1) // 2 for place in places]
    for limits in (halves, usual, most) if spaces_first else (wanted, usual, halves, most):
        for index, limit in enumerate(limits):
            more = min(left, max(min(limit, most[index]) - numbers[index], 0))
            numbers[index] += more
            left -= more
    return None if left else numbers


def _even(total: int, number: int) -> list[int]:
    return [total // number + (turn < total % number) for turn in range(number)] if number else []


def _spelled(lengths: Sequence[Sequence[int]], lexicon: Lexicon, letters: str) -> list[tuple[str, ...]] | None:
    found, turn = [], 0
    for some in lengths:
        words = []
        for length in some:
            run, letters = letters[:length], letters[length:]
            words.append(run + lexicon.word(length - len(run), turn) if len(run) < length else run)
            turn += 1
        found.append(tuple(words))
    return None if letters else found


def _with_marks(places: Sequence[Place], words: Wanted, characters: Wanted) -> list[tuple[str, ...]] | None:
    """Characters that are no words, where no words may come."""
    if words != Wanted(0, True) or characters.number > _MAX_MARKS or any(place.lacking > 0 for place in places):
        return None
    index = next((index for index, place in enumerate(places) if place.room >= characters.number + place.joint), None)
    if index is None:
        return None
    return [
        ("-" * characters.number,) if number == index and characters.number else () for number in range(len(places))
    ]


def _filled_unspaced(
    places: Sequence[Place], words: Wanted, characters: Wanted, lexicon: Lexicon
) -> list[tuple[str, ...]] | None:
    """Each character is a word. What has to have more characters than words gets one long word, or marks, which are none."""
    number = max(words.number, sum(max(place.lacking - place.joint, 0) for place in places))
    if not words.is_exact:
        number = max(number, characters.number)
    more = max(characters.number - number, 0)
    if any(number > wanted.number and wanted.is_exact for wanted in (words, characters)):
        return None
    is_word = bool(more and number and lexicon.spaced)
    if not places or more > (_LONGEST if is_word else _MAX_MARKS):
        return None
    extra = lexicon.word(more + 1, 0) if is_word else "～" * more
    at = max(range(len(places)), key=lambda index: places[index].room) if extra else -1
    rooms = [place.room - place.joint - (index == at) * (len(extra) + 1) for index, place in enumerate(places)]
    numbers = [max(place.lacking - place.joint - (index == at) * len(extra), 0) for index, place in enumerate(places)]
    left = number - is_word - sum(numbers)
    for index, room in enumerate(rooms):
        many = max(min(left, room - numbers[index]), 0)
        numbers[index], left = numbers[index] + many, left - many
    if left or any(many > room for many, room in zip(numbers, rooms, strict=True)):
        return None
    turns = count()
    found = [tuple(lexicon.unspaced[next(turns) % len(lexicon.unspaced)] for _ in range(many)) for many in numbers]
    return [(*some, extra) if index == at else some for index, some in enumerate(found)]
