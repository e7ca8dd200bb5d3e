"""Draft: a text in the making, to which what is still missing is added until nothing is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from heedful import text as texts
from heedful.constraints.fillers import LONGEST_WORD, Voice, between, word_lengths
from heedful.constraints.machine import WORD, Completion, Needs

OVERLAP = 16
"""Last characters of what stands before that matter for what follows."""
MOST_UNITS = 20_000
"""More than any budget holds; a plan that needs more is none."""
_MOST_MARKS = 5
_BEHIND = ("sentences", "paragraphs")
"""Units of which the first comes with the first word."""
_LONGEST_RUN = 12
"""Letters of a word that is made of one letter."""


@dataclass(frozen=True, slots=True)
class Manner:
    """How a draft is filled."""

    voice: Voice
    completion: Completion
    """What stands around it."""
    glue: bool = True
    """Whether a word that the text ends in the middle of is completed first."""
    stretch: int = 0
    """How characters are added: 0 by more words of the usual length, 1 by the fewest words that are long, 2 without more words,
    where there are any to change, and with marks where there are none."""


@dataclass
class Draft:
    """What a plan is made of, in the order in which it stands in the text."""

    manner: Manner
    opening: str = ""
    glued: str = ""
    """Completes the word that the text ends in the middle of."""
    items: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """To fill with."""
    num_sentences: int = 0
    blocks: list[str] = field(default_factory=list)
    """Items that begin with a line break."""
    num_marks: int = 0
    """Characters that are no words."""
    closing: str = ""
    stretched: bool = False
    """Whether it mattered how characters are added."""

    @property
    def size(self) -> int:
        """How many things it holds."""
        return len(self.items) + len(self.words) + self.num_sentences + len(self.blocks)

    # -- as text -----------------------------------------------------------------------------------------------------

    def pieces(self, before: str) -> list[str] | None:
        """The text behind `before`, in pieces that are spelled one by one; None when it does not fit where it stands."""
        voice, around = self.manner.voice, self.manner.completion
        pieces = [around.before + self.opening + self.glued]
        last = (before + pieces[0])[-OVERLAP:]

        def put(piece: str) -> None:
            nonlocal last
            if piece:
                pieces.append(between(last, piece) + piece[_shared(last, piece) :])
                last = (last + pieces[-1])[-OVERLAP:]

        for item in self.items:
            put(item)
        num_marks = self.num_marks
        for number, word in enumerate(self.words):
            if number and voice.is_spaced:
                # Between two such words is a space: plans may have hundreds.
                pieces.append(f" {word}")
                last = word
                continue
            put(word)
            # Between words, where they look least like noise.
            if num_marks and not voice.is_spaced:
                put(voice.mark)
                num_marks -= 1
        for number in range(self.num_sentences):
            put(voice.ender)
            put(voice.opener(number))
        for block in self.blocks:
            put(block)
        put(voice.mark * num_marks)
        put(self.closing)
        free = sum(map(len, pieces)) - len(around.before)
        if around.room is not None and free > around.room:
            return None
        return [*pieces, *_padding(voice, last, around.least - free), around.after]

    def shrink(self) -> bool:
        """Leave something out, the least definite first; False when there is nothing more."""
        self.closing = ""
        if self.num_sentences:
            self.num_sentences -= 1
            return True
        if self.num_marks:
            self.num_marks = 0
            return True
        some = next((some for some in (self.blocks, self.words, self.items) if some), None)
        if some is None:
            return False
        some.pop()
        return True

    # -- more of it --------------------------------------------------------------------------------------------------

    def add(self, missing: Sequence[Needs], *, is_first: bool, is_blank: bool) -> bool:
        """Put in what is missing at its end, the most definite first; False when nothing could be added.

        `is_first`: nothing was added yet; `is_blank`: there is no text before it.
        """
        # One kind of thing at a time: an opening brings keywords with it, and all of them bring words.
        if is_first and (opening := "".join(needs.opening for needs in missing)):
            self.opening = opening
            return True
        by_rank = sorted(missing, key=lambda needs: needs.rank)
        closing = next((needs.closing for needs in by_rank if needs.closing is not None), None)
        if closing is not None and not self.closing:
            self.closing = self._said(closing.texts)
            return True
        if self._add_items(by_rank):
            return True
        units = [(unit, number) for needs in missing for unit, number in needs.units if number]
        others = [(unit, number) for unit, number in units if unit not in ("words", "characters")]
        is_blank = is_blank and not (self.opening or self.glued or self.items or self.words)
        if is_blank and any(number > 0 and unit in _BEHIND for unit, number in others):
            self.words.append(self.manner.voice.word(0))
            return True
        # One at a time: a new paragraph is a new sentence, too.
        if any(self._add_unit(unit, number) for unit, number in others):
            return True
        for unit, number in units:
            if unit == "words":
                return self._add_words(number)
        return any(self._add_characters(number) for unit, number in units if unit == "characters")

    def _add_items(self, missing: Sequence[Needs]) -> bool:
        """What has to occur. What several ask for, or what is part of something else that is missing, is written once."""
        glue = self.manner.glue and not self.items and not self.opening
        folded = {item.texts[0].casefold() for needs in missing for item in needs.items if needs.rank < 2}
        before: Counter[str] = Counter()
        changed = False
        for needs in missing:
            if needs.rank == 2 and changed:
                break
            own: Counter[str] = Counter()
            for item in needs.items:
                text = item.texts[0]
                own[text] += 1
                is_part = (
                    needs.rank == 1
                    and WORD not in text
                    and any(text.casefold() in other != text.casefold() for other in folded)
                )
                if own[text] <= before[text] or is_part:
                    continue
                before[text] += 1
                changed = True
                if item.rest and glue and not self.glued and self._may_stand(item.rest):
                    self.glued = item.rest.replace(WORD, self.manner.voice.opener())
                else:
                    self._add_item(self._said(item.texts))
        return changed

    def _may_stand(self, text: str) -> bool:
        return self.manner.voice.may_stand(text.replace(WORD, self.manner.voice.opener()))

    def _said(self, several: Sequence[str]) -> str:
        """One of several texts, in the voice's own case where nothing else may stand."""
        change = self.manner.voice.changed
        candidates = [*several, *(text if WORD in text else change(text) for text in several)]
        return next((text for text in candidates if self._may_stand(text)), several[0])

    def _add_item(self, text: str) -> None:
        # Each with another word: where several are wanted they may have to differ.
        text = text.replace(WORD, self.manner.voice.word(len(self.items) + len(self.blocks)))
        if text.startswith("\n") and self.manner.completion.is_prose:
            self.blocks.append(text)
        else:
            self.items.append(" ".join(text.split()))

    def _add_words(self, number: int) -> bool:
        """So many more, or fewer where `number` is negative."""
        if number < 0:
            if len(self.words) < -number:
                return False
            del self.words[number:]
            return True
        there = len(self.words)
        self.words += [self.manner.voice.word(there + place) for place in range(min(number, MOST_UNITS + 1))]
        return True

    def _add_unit(self, unit: str, number: int) -> bool:
        voice, number = self.manner.voice, min(number, MOST_UNITS + 1)
        if number < 0:
            return False
        if unit == "sentences":
            self.num_sentences += number if voice.ender else 0
            return bool(voice.ender)
        if unit == "capitals":
            self.items += [voice.word(place).upper() for place in range(number)]
            return True
        if unit.startswith("letter:"):
            letter = unit.partition(":")[2]
            runs = range(0, number, _LONGEST_RUN)
            self.items += [voice.changed(letter * min(_LONGEST_RUN, number - start)) for start in runs]
            return True
        if unit in ("paragraphs", "bullets") and self.manner.completion.is_prose:
            mark = "\n\n" if unit == "paragraphs" else "\n- "
            self.blocks += [mark + voice.word(place) for place in range(number)]
            return True
        return False

    def _add_characters(self, number: int) -> bool:
        """So many more characters, or fewer."""
        self.stretched = True
        voice, stretch, there = self.manner.voice, self.manner.stretch, len(self.words)
        wanted = sum(map(len, self.words)) + number
        if wanted > MOST_UNITS:
            return False
        usual = 4 if voice.is_spaced else 1
        num_words = (-(-wanted // usual), max(there, -(-wanted // LONGEST_WORD)), there)[stretch]
        # In scripts without spaces a longer word is more words.
        lengths = word_lengths(num_words, wanted) if voice.is_spaced or stretch < 2 else None
        if lengths is not None:
            self.words = [voice.of_length(length) for length in lengths]
            return True
        if 0 < number <= _MOST_MARKS + (0 if voice.is_spaced else there):
            self.num_marks += number
            return True
        return False


def _padding(voice: Voice, last: str, lacking: int) -> list[str]:
    """So many characters, where nothing is said of what stands in a string, only how long it is."""
    if lacking <= 0:
        return []
    joint = between(last, voice.words[0])
    return [joint + voice.of_length(lacking - len(joint))] if lacking > len(joint) else [voice.words[0][-1] * lacking]


def _shared(text: str, piece: str) -> int:
    """How many characters of `piece` stand at the end of `text` already; in scripts without spaces only, where words may overlap."""
    if not texts.is_unspaced(piece):
        return 0
    return next((n for n in range(min(len(piece) - 1, len(text)), 0, -1) if text.endswith(piece[:n])), 0)
