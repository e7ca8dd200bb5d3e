"""Words to fill with: in which language, how long, and how several become a text."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from heedful import text as texts

_OPENING_MARKS = "([{<“‘«「『（《【\"'`*_#"
_CLOSING_MARKS = ".,;:!?)]}>”’»」』）》】。，、；：！？…-～"
LONGEST_WORD = 14


@dataclass(frozen=True, slots=True)
class Voice:
    """How filling sounds: words that may stand in this answer, and what ends a sentence."""

    name: str
    words: tuple[str, ...]
    openers: tuple[str, ...]
    """Words that a sentence may consist of, or begin with; at least one."""
    ender: str
    may_stand: Callable[[str], bool] = bool
    """Whether a text may occur in this answer at all."""
    changed: Callable[[str], str] = str
    """Applied to everything that the planner may change: to capitals, for example."""

    @property
    def mark(self) -> str:
        """A character that is no word and ends no sentence."""
        return "-" if self.is_spaced else "～"

    @property
    def is_spaced(self) -> bool:
        """Whether words have spaces between them."""
        return not texts.is_unspaced(self.words[0])

    def opener(self, number: int = 0) -> str:
        """The `number`th of them: they take turns."""
        return self.openers[number % len(self.openers)]

    def word(self, number: int) -> str:
        """The `number`th word to fill with: they take turns, so that none repeats at once."""
        return self.words[number % min(len(self.words), 8)]

    def of_length(self, length: int) -> str:
        """A word of `length` characters: a real one where there is one."""
        found = next((word for word in self.words if len(word) == length), None)
        return found or (self.words[0] + self.words[0][-1] * length)[:length]


@cache
def _known() -> dict[str, dict[str, object]]:
    return tomllib.loads(files("heedful.constraints").joinpath("fillers.toml").read_text(encoding="utf-8"))


def voices(may_stand: Callable[[str], bool], languages: Sequence[str], cost: Callable[[str], int] = len) -> list[Voice]:
    """Those of whose words some may stand, as they are, in small letters or in capitals; `languages` first, in their order.
    Words of lower `cost` (in tokens) come first."""
    known = _known()
    order = [name for name in dict.fromkeys([*languages, *known]) if name in known]
    changes: list[Callable[[str], str]] = [str, str.lower, str.upper]
    found: list[Voice] = []
    for name in order:
        for change in changes:
            entry = known[name]
            words = tuple(dict.fromkeys(change(str(word)) for word in _listed(entry["words"])))
            words = tuple(sorted((word for word in words if may_stand(word)), key=cost))
            if not words or (found and found[-1].name == name and found[-1].words == words):
                continue
            openers = [change(str(word)) for word in _listed(entry["openers"]) if may_stand(change(str(word)))]
            cheapest = min(map(cost, openers), default=0)
            openers = [word for word in openers if cost(word) == cheapest] or [words[0]]
            ender = str(entry["ender"])
            found.append(Voice(name, words, tuple(openers), ender if may_stand(ender) else "", may_stand, change))
            if len(words) == len(_listed(entry["words"])):
                break
    return found


def _listed(value: object) -> list[object]:
    assert isinstance(value, list)
    return value


def between(before: str, piece: str) -> str:
    """What stands between a text that ends with `before` and a piece that follows as a word of its own."""
    if not before or not piece or before[-1].isspace() or piece[0].isspace():
        return ""
    if before[-1] in _OPENING_MARKS or piece[0] in _CLOSING_MARKS:
        return ""
    is_unspaced = texts.is_unspaced(before[-1]) or before[-1] in "。，、；：！？”’」』）》】"
    return "" if is_unspaced and (texts.is_unspaced(piece) or piece[0] in "“‘「『（《【") else " "


def word_lengths(num_words: int, num_characters: int) -> list[int] | None:
    """Lengths of `num_words` words that have `num_characters` together; None where there are none."""
    if num_words <= 0 or not num_words <= num_characters <= num_words * LONGEST_WORD:
        return None
    least, more = divmod(num_characters, num_words)
    return [least + (number < more) for number in range(num_words)]
