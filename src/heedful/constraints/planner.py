"""Planner: from what all machines of an answer need to one text that satisfies every one of them.

Nothing here has to be right. A plan is proposed, read by all machines, and believed only if all accept where it ends; what is still
missing then is added, and the plan is read again. So a clumsy proposal costs an answer that might have been found,
never one that breaks a requirement.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from heedful import text as texts
from heedful.constraints.fillers import LONGEST_WORD, Voice, between, word_lengths
from heedful.constraints.machine import Completion, Form, Needs, Part, State

_ROUNDS = 12
"""How often what is missing is added before a proposal is given up."""
_MOST_UNITS = 20_000
"""More than any budget holds; a plan that needs more is none."""
_MOST_MARKS = 10
_OVERLAP = 16
_MANNERS = ((True, 0), (False, 0), (False, 1), (False, 2))
"""Whether a word that is begun is completed first, and how characters are added (`_add_characters`)."""
_PROSE = Completion(room=None, is_prose=True)


@dataclass
class _Draft:
    """What a plan is made of, in the order in which it stands in the text."""

    opening: str = ""
    glued: str = ""
    """Completes the word that the text ends in the middle of."""
    items: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    """To fill with."""
    num_sentences: int = 0
    blocks: list[str] = field(default_factory=list)
    """Items that begin with a line break."""
    marks: str = ""
    """Characters that are no words."""
    stretched: bool = False
    """Whether it mattered how characters are added."""
    closing: str = ""

    def shrink(self) -> bool:
        """Leave something out, the least definite first; False when there is nothing more."""
        if self.num_sentences:
            self.num_sentences -= 1
        elif self.marks:
            self.marks = ""
        else:
            some = next((some for some in (self.blocks, self.words, self.items) if some), None)
            if some is None:
                return False
            some.pop()
        self.closing = ""
        return True

    @property
    def size(self) -> int:
        return len(self.items) + len(self.words) + self.num_sentences + len(self.blocks)


class Planner:
    """For one set of machines. Keeps nothing from one plan to the next."""

    def __init__(self, parts: Sequence[Part], forms: Sequence[Form], voices: Sequence[Voice]) -> None:
        self._parts, self._forms, self._voices = list(parts), list(forms), list(voices)

    def step(self, states: Sequence[State], text: str) -> tuple[State, ...] | None:
        """The states of all parts, then of all forms, after `text`; None when one of them refuses."""
        after: list[State] = []
        for machine, state in zip((*self._parts, *self._forms), states, strict=True):
            new = machine.step(state, text)
            if new is None:
                return None
            after.append(new)
        return tuple(after)

    def start(self) -> tuple[State, ...]:
        """Before the first character."""
        return tuple(machine.start() for machine in (*self._parts, *self._forms))

    def accepts(self, states: Sequence[State]) -> bool:
        """Whether all are satisfied when the answer ends here."""
        machines = (*self._parts, *self._forms)
        return all(machine.accepts(state) for machine, state in zip(machines, states, strict=True))

    def refusing(self, states: Sequence[State]) -> list[int]:
        """The places of the machines that do not accept."""
        machines = (*self._parts, *self._forms)
        return [
            n for n, (machine, state) in enumerate(zip(machines, states, strict=True)) if not machine.accepts(state)
        ]

    def num_missing(self, states: Sequence[State]) -> int:
        """How many things still have to be written: what has to occur, to come first or last, and units."""
        missing = [part.needs(state) for part, state in zip(self._parts, states, strict=False)]
        return sum(
            len(needs.items) + bool(needs.opening) + bool(needs.closing) + sum(number > 0 for _, number in needs.units)
            for needs in missing
        )

    def advancing(self, states: Sequence[State], before: str) -> Iterator[str]:
        """Texts of what still has to occur, each as it stands behind `before`; what completes the one that is begun comes first."""
        missing = [part.needs(state) for part, state in zip(self._parts, states, strict=False)]
        items = [item for needs in missing for item in needs.items]
        yield from (item.rest for item in items if item.rest)
        for text in (text for item in items for text in item.texts):
            yield between(before, text) + text

    def is_hopeless(self, states: Sequence[State]) -> bool:
        """Whether a part says that nothing can mend it."""
        return any(part.is_hopeless(state) for part, state in zip(self._parts, states, strict=False))

    def plans(
        self, states: Sequence[State], before: str, *, effort: int, least: int, depth: int = 3
    ) -> Iterator[tuple[str, ...]]:
        """Pieces of texts that lead from `states` to an end, best first. `before`: the last characters of the text.

        `effort`: how many ways to end a form are tried, and with how many voices. `least`: so many words at least, because so
        many tokens are wanted.
        """
        for completion in self._ways(states, effort):
            for voice in self._voices[:effort]:
                for glue, stretch in _MANNERS:
                    draft = _Draft(words=[voice.word(place) for place in range(least)] if completion.room != 0 else [])
                    found = self._filled(draft, states, before, completion, voice, glue, stretch)
                    if found is not None:
                        yield found
                        if effort == 1 or not draft.stretched:
                            break
                    if (glue and not draft.glued and not stretch) or (stretch and not draft.stretched):
                        continue
                if completion.room == 0:
                    break  # No voice is heard.
                if completion.room is not None and depth:
                    yield from self._chained(draft, states, completion, voice, effort, depth)

    def _ways(self, states: Sequence[State], effort: int) -> Iterator[Completion]:
        if not self._forms:
            yield _PROSE
            return
        # Of several forms the first proposes, and the others are asked like all machines.
        form, state = self._forms[0], states[len(self._parts)]
        for number, completion in enumerate(form.completions(state)):
            if number >= 4 * effort:
                return
            yield completion
            if number == 0 and hasattr(form, "fitting"):
                end = [part.step(own, completion.before) for part, own in zip(self._parts, states, strict=False)]
                missing = [part.needs(own) for part, own in zip(self._parts, end, strict=True) if own is not None]
                # What has to come first is missing from the beginning on.
                missing += [
                    part.needs(own) for part, own, new in zip(self._parts, states, end, strict=False) if new is None
                ]
                yield from form.fitting(state, missing, [voice.words[0] for voice in self._voices])

    def _chained(
        self, draft: _Draft, states: Sequence[State], completion: Completion, voice: Voice, effort: int, depth: int
    ) -> Iterator[tuple[str, ...]]:
        """Plans for what does not fit into one place: as much of it as fits, and the rest in places that follow."""
        while (pieces := self._pieces(draft, "", completion, voice)) is None:
            if not draft.shrink():
                return
        first = "".join(pieces[:-1])
        after = self.step(states, first) if draft.size else None
        if after is not None:
            for more in self.plans(after, first[-_OVERLAP:], effort=effort, least=0, depth=depth - 1):
                yield (first, *more)

    def _filled(
        self,
        draft: _Draft,
        states: Sequence[State],
        before: str,
        completion: Completion,
        voice: Voice,
        glue: bool,
        stretch: int,
    ) -> tuple[str, ...] | None:
        """The pieces of one proposal after all has been added that was missing; None when that leads nowhere."""
        for turn in range(_ROUNDS):
            pieces = self._pieces(draft, before, completion, voice)
            if pieces is None or draft.size > _MOST_UNITS:
                return None
            after: tuple[State, ...] | None = self.step(states, "".join(pieces))
            if after is None:
                return None
            if self.accepts(after):
                return tuple(piece for piece in pieces if piece)
            if completion.room == 0:
                return None
            if not self._add(draft, after, voice, completion, is_first=turn == 0, glue=glue, stretch=stretch):
                return None
        return None

    def _pieces(self, draft: _Draft, before: str, completion: Completion, voice: Voice) -> list[str] | None:
        """The draft as text; None when it has no room."""
        pieces = [completion.before + draft.opening + draft.glued]
        last = (before + pieces[0])[-_OVERLAP:]

        def put(piece: str) -> None:
            nonlocal last
            if piece:
                pieces.append(between(last, piece) + piece[_shared(last, piece) :])
                last = (last + pieces[-1])[-_OVERLAP:]

        for item in (*draft.items, *draft.words):
            put(item)
        for _ in range(draft.num_sentences):
            put(voice.ender)
            put(voice.opener)
        for block in draft.blocks:
            put(block)
        put(draft.marks)
        put(draft.closing)
        free = sum(map(len, pieces)) - len(completion.before)
        if completion.room is not None and free > completion.room:
            return None
        if free < completion.least:
            # In a string, where nothing is said of what stands there.
            put(
                voice.of_length(completion.least - free)
                if free == 0
                else voice.words[0][-1] * (completion.least - free - 1)
            )
            free = sum(map(len, pieces)) - len(completion.before)
            pieces.append(voice.words[0][-1] * max(completion.least - free, 0))
        return [*pieces, completion.after]

    def _add(
        self,
        draft: _Draft,
        states: Sequence[State],
        voice: Voice,
        completion: Completion,
        *,
        is_first: bool,
        glue: bool,
        stretch: int,
    ) -> bool:
        """Put into the draft what parts miss at its end, the most definite first; False when nothing could be added."""
        missing = [part.needs(state) for part, state in zip(self._parts, states, strict=False)]
        # One kind of thing at a time: an opening brings keywords with it, and all of them bring words.
        if is_first and (opening := "".join(needs.opening for needs in missing)):
            draft.opening = opening
            return True
        if self._add_items(draft, missing, completion, glue=glue and not draft.items and not draft.opening):
            return True
        closing = next((needs.closing for needs in missing if needs.closing is not None), None)
        if closing is not None and not draft.closing:
            draft.closing = closing.texts[0]
            return True
        units = [unit for needs in missing for unit in needs.units]
        for only in ("others", "words", "characters"):
            wanted = [one for one in units if (one[0] if one[0] in ("words", "characters") else "others") == only]
            if only == "characters" and wanted:
                return _add_characters(draft, wanted[0][1], voice, stretch)
            # One at a time: a new paragraph is a new sentence, too.
            if any(_add_units(draft, unit, number, voice, completion) for unit, number in wanted if number):
                return True
        return False

    def _add_items(self, draft: _Draft, missing: Sequence[Needs], completion: Completion, *, glue: bool) -> bool:
        """What has to occur. What several ask for is written once."""
        before: Counter[str] = Counter()
        changed = False
        for needs in sorted(missing, key=lambda needs: needs.rank):
            if needs.rank == 2 and changed:
                break
            own: Counter[str] = Counter()
            for item in needs.items:
                text = item.texts[0]
                own[text] += 1
                if own[text] <= before[text]:
                    continue
                before[text] += 1
                if item.rest and glue and not draft.glued:
                    draft.glued, changed = item.rest, True
                elif not text.startswith("\n"):
                    draft.items.append(text)
                    changed = True
                elif completion.is_prose:
                    draft.blocks.append(text)
                    changed = True
        return changed


def _add_units(draft: _Draft, unit: str, number: int, voice: Voice, completion: Completion) -> bool:
    """So many more of a unit, or fewer where `number` is negative."""
    if number < 0:
        if unit != "words" or len(draft.words) < -number:
            return False
        del draft.words[number:]
        return True
    number = min(number, _MOST_UNITS + 1)
    if unit == "words":
        start = len(draft.words)
        draft.words += [voice.word(start + place) for place in range(number)]
    elif unit == "sentences":
        if not voice.ender:
            return False
        draft.num_sentences += number
    elif unit == "capitals":
        draft.items += [voice.word(place).upper() for place in range(number)]
    elif unit.startswith("letter:"):
        letter = unit.partition(":")[2]
        draft.items += [voice.changed(letter * min(12, number - start)) for start in range(0, number, 12)]
    elif unit in ("paragraphs", "bullets") and completion.is_prose:
        mark = "\n\n" if unit == "paragraphs" else "\n- "
        draft.blocks += [mark + voice.word(place) for place in range(number)]
    else:
        return False
    return True


def _add_characters(draft: _Draft, number: int, voice: Voice, stretch: int) -> bool:
    """So many more characters, or fewer. `stretch`: 0 by more words of the usual length, 1 by the fewest words that are long,
    2 without more words, where there are any to change, and with marks where there are none."""
    draft.stretched = True
    wanted = sum(map(len, draft.words)) + number
    there = len(draft.words)
    usual = 4 if voice.is_spaced else 1
    num_words = {0: -(-wanted // usual), 1: max(there, -(-wanted // LONGEST_WORD)), 2: there}[stretch]
    by_words = voice.is_spaced or stretch < 2
    if by_words and (lengths := word_lengths(num_words, wanted)) is not None:
        draft.words = [voice.of_length(length) for length in lengths]
        return True
    if 0 < number <= _MOST_MARKS:
        draft.marks += voice.mark * number
        return True
    return False


def _shared(text: str, piece: str) -> int:
    """How many characters of `piece` stand at the end of `text` already; in scripts without spaces only, where words may overlap."""
    if not piece or not texts.is_unspaced(piece):
        return 0
    return next((n for n in range(min(len(piece) - 1, len(text)), 0, -1) if text.endswith(piece[:n])), 0)
