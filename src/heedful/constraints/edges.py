"""How an answer begins and ends, and what no answer needs: runs of blanks, of line breaks, of marks; invisible characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence

import regex

from heedful.constraints.machine import NOTHING, Item, Needs
from heedful.requirements import Requirement
from heedful.requirements.keywords import within_word

_CONTEXT = 64
"""Characters before the last ones that are kept: more than any rule about where words end looks at."""


class StartsPart:
    """The answer begins with exactly `text`, and the last word of it ends there."""

    def __init__(self, text: str, *, whole_word: bool = True) -> None:
        self._text, self._whole_word = text, whole_word

    def start(self) -> str:
        return ""

    def step(self, state: str | bool, text: str) -> str | bool | None:
        """The state is what is written so far, or True when the beginning stands."""
        if state is True:
            return True
        written = f"{state}{text}"
        if len(written) <= len(self._text):
            return written if self._text.startswith(written) else None
        if not written.startswith(self._text):
            return None
        # Two characters more tell for good whether the word goes on.
        if len(written) < len(self._text) + 2:
            return written
        return None if self._breaks(written) else True

    def accepts(self, state: str | bool) -> bool:
        return state is True or (isinstance(state, str) and state.startswith(self._text) and not self._breaks(state))

    def _breaks(self, written: str) -> bool:
        return self._whole_word and within_word(written, len(self._text))

    def is_hopeless(self, state: str | bool) -> bool:
        return False

    def needs(self, state: str | bool) -> Needs:
        if isinstance(state, str) and len(state) < len(self._text):
            return Needs(opening=self._text[len(state) :])
        return NOTHING


class EndsPart:
    """The answer ends with `text`, as `check` sees it."""

    def __init__(self, requirement: Requirement, text: str) -> None:
        self._requirement, self._text = requirement, text

    def start(self) -> str:
        return ""

    def step(self, state: str, text: str) -> str | None:
        return (state + text)[-len(self._text) - _CONTEXT :]

    def accepts(self, state: str) -> bool:
        return self._requirement.check(state).satisfied

    def is_hopeless(self, state: str) -> bool:
        return False

    def needs(self, state: str) -> Needs:
        if self.accepts(state):
            return NOTHING
        rest = next((self._text[n:] for n in range(len(self._text) - 1, 0, -1) if state.endswith(self._text[:n])), "")
        return Needs(closing=Item((self._text,), rest))


class CheckedPart:
    """Any requirement at all: the whole text is kept, and `check` is asked. `needs_of` says what a text still needs."""

    def __init__(self, requirement: Requirement, needs_of: Callable[[str], Needs]) -> None:
        self._requirement = requirement
        self._needs_of = needs_of

    def start(self) -> str:
        return ""

    def step(self, state: str, text: str) -> str | None:
        return state + text

    def accepts(self, state: str) -> bool:
        return self._requirement.check(state).satisfied

    def is_hopeless(self, state: str) -> bool:
        return False

    def needs(self, state: str) -> Needs:
        return NOTHING if self.accepts(state) else self._needs_of(state)


class AlphabetPart:
    """Only some characters may occur (a script, a case, no commas); `wanted` ones at least once, where that is asked for."""

    def __init__(self, may_stand: Callable[[str], bool], wanted: Callable[[str], bool] | None = None) -> None:
        """`may_stand` for one character; `wanted` too."""
        self._may_stand, self._wanted = may_stand, wanted

    def start(self) -> bool:
        return self._wanted is None

    def step(self, state: bool, text: str) -> bool | None:
        """The state is whether a wanted character has come."""
        if not all(map(self._may_stand, text)):
            return None
        return state or (self._wanted is not None and any(map(self._wanted, text)))

    def accepts(self, state: bool) -> bool:
        return state

    def is_hopeless(self, state: bool) -> bool:
        return False

    def needs(self, state: bool) -> Needs:
        return NOTHING if state else Needs(units=(("words", 1),))


class NeverPart:
    """None of some texts occurs, letter for letter."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts, self._kept = tuple(texts), max(map(len, texts)) - 1

    def start(self) -> str:
        return ""

    def step(self, state: str, text: str) -> str | None:
        text = state + text
        if any(one in text for one in self._texts):
            return None
        return text[-self._kept :] if self._kept else ""

    def accepts(self, state: str) -> bool:
        return True

    def is_hopeless(self, state: str) -> bool:
        return False

    def needs(self, state: str) -> Needs:
        return NOTHING


_NOISE = regex.compile(r"[^\p{L}\p{N}\s]")
_HIDDEN = regex.compile(r"[\p{Cc}--\n]|[\p{Cf}--[\u200c\u200d]]|[\p{Cs}\p{Co}\p{Cn}\ufffd\u2028\u2029]", regex.VERSION1)

_ONLY_WORDS = re.compile(r" ?[^\W_]+(?: [^\W_]+)*")
"""Nothing between words but single spaces: most texts."""
_Runs = tuple[int, int, int]
_MOST_BLANKS = 24
_COMBINING = 8
"""Characters: more marks on one letter than anybody writes."""


class PlainPart:
    """No invisible characters, and composed ones only: so that the text is counted as it stands, however it is checked."""

    def start(self) -> str:
        return ""

    def step(self, state: str, text: str) -> str | None:
        """The state is the last few characters, with which a mark may combine."""
        if text.isascii() and text.isprintable():
            return text[-_COMBINING:]
        text = state + text
        if _HIDDEN.search(text) or not unicodedata.is_normalized("NFC", text):
            return None
        return text[-_COMBINING:]

    def accepts(self, state: str) -> bool:
        return True

    def is_hopeless(self, state: str) -> bool:
        return False

    def needs(self, state: str) -> Needs:
        return NOTHING


class Restraint:
    """Keeps what is enforced from being filled with nothing: blanks, line breaks, marks without words."""

    def __init__(self, longest_noise: int) -> None:
        """`longest_noise`: so many marks in a row, blanks between them not counted, some requirement asks for."""
        self._most = max(longest_noise + 3, 6)

    def start(self) -> _Runs:
        return 0, 0, 0

    def step(self, state: _Runs, text: str) -> _Runs | None:
        """(blanks, line breaks, marks) in a row."""
        blanks, breaks, marks = state
        if blanks < _MOST_BLANKS and _ONLY_WORDS.fullmatch(text):
            return 0, 0, 0
        for character in text:
            if character.isalnum():
                blanks = breaks = marks = 0
            elif character == "\n":
                blanks, breaks = 0, breaks + 1
            elif character.isspace():
                blanks += 1
            else:
                blanks, breaks, marks = 0, 0, marks + 1
            if blanks > _MOST_BLANKS or breaks > 2 or marks > self._most:
                return None
        return blanks, breaks, marks

    def accepts(self, state: _Runs) -> bool:
        return True

    def is_hopeless(self, state: _Runs) -> bool:
        return False

    def needs(self, state: _Runs) -> Needs:
        return NOTHING


_LIST_MARKS = frozenset("*-–—•·#")
_LONE_MARKS = _LIST_MARKS | frozenset("\"'“”‘’.,:;!?。，、；：！？…")


class LoneMarksPart:
    """No line that consists of one mark: an item of a list in which nothing stands, quotation marks around nothing."""

    def __init__(self, *, lists_only: bool = False) -> None:
        """`lists_only`: no empty items of lists, and none at the end either."""
        self._marks = _LIST_MARKS if lists_only else _LONE_MARKS
        self._ends = _LIST_MARKS if lists_only else frozenset()

    def start(self) -> str:
        return ""

    def step(self, state: str, text: str) -> str | None:
        """The state is what the line has so far, as far as that matters: nothing, one such mark, or a letter for all else."""
        if state == "a" and "\n" not in text:
            return state
        lines = text.split("\n")
        for number, line in enumerate(lines):
            shown = state + line.strip()
            is_lone = shown in self._marks
            if number < len(lines) - 1:
                if is_lone:
                    return None
                state = ""
            else:
                state = shown if is_lone or not shown else "a"
        return state

    def accepts(self, state: str) -> bool:
        return state not in self._ends

    def is_hopeless(self, state: str) -> bool:
        return False

    def needs(self, state: str) -> Needs:
        return NOTHING if self.accepts(state) else Needs(units=(("words", 1),))


PLAIN, LONE_MARKS = PlainPart(), LoneMarksPart()
"""Neither has anything to do with what is required: the same ones serve all answers."""


def has_lone_marks(text: str) -> bool:
    """Whether some line of `text` consists of one mark."""
    return LONE_MARKS.step("", text + "\n") is None


class BlocksPart:
    """A word in everything that stands between blank lines: so that all ways to count paragraphs agree."""

    def start(self) -> tuple[bool, bool, int]:
        return False, False, 0

    def step(self, state: tuple[bool, bool, int], text: str) -> tuple[bool, bool, int] | None:
        """(something stands in this block, a word among it, line breaks at its end)."""
        has_marks, has_word, breaks = state
        for character in text:
            if character == "\n":
                breaks += 1
                if breaks == 2:
                    if has_marks and not has_word:
                        return None
                    has_marks = has_word = False
            elif not character.isspace():
                has_marks, has_word, breaks = True, has_word or character.isalnum(), 0
        return has_marks, has_word, min(breaks, 2)

    def accepts(self, state: tuple[bool, bool, int]) -> bool:
        has_marks, has_word, _ = state
        return has_word or not has_marks

    def is_hopeless(self, state: tuple[bool, bool, int]) -> bool:
        return False

    def needs(self, state: tuple[bool, bool, int]) -> Needs:
        return NOTHING if self.accepts(state) else Needs(units=(("words", 1),))


def longest_noise(text: str) -> int:
    """The most marks in a row, blanks not counted, that `text` holds."""
    runs = regex.findall(r"(?:[^\p{L}\p{N}\s]\s*)+", text)
    return max((len(_NOISE.findall(run)) for run in runs), default=0)
