"""Planner: from what all machines of an answer need to one text that satisfies every one of them.

Nothing here has to be right. A plan is proposed, read by all machines, and believed only if all accept where it ends; what is still
missing then is added, and the plan is read again. So a clumsy proposal costs an answer that might have been found,
never one that breaks a requirement.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from heedful.constraints.drafting import MOST_UNITS, OVERLAP, Draft, Manner
from heedful.constraints.fillers import Voice, between
from heedful.constraints.machine import Completion, Form, Needs, Part, State

_ROUNDS = 12
"""How often what is missing is added before a proposal is given up."""
_MANNERS = ((True, 0), (False, 0), (False, 1), (False, 2))
"""`glue` and `stretch` of a Manner, in the order in which they are tried."""
_WAYS_PER_EFFORT = 4
_TRIES_PER_EFFORT = 40
"""Proposals that are made before it is given up."""
_PROSE = Completion(room=None, is_prose=True)


@dataclass
class _Tries:
    left: int


class Planner:
    """For one set of machines. Keeps nothing from one plan to the next."""

    def __init__(self, parts: Sequence[Part], forms: Sequence[Form], voices: Sequence[Voice]) -> None:
        self._parts, self._forms, self._voices = list(parts), list(forms), list(voices)

    @property
    def ender(self) -> str:
        """What ends a sentence of the words to fill with; empty when nothing may."""
        return self._voices[0].ender if self._voices else ""

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

    def num_missing(self, states: Sequence[State]) -> int:
        """How many things still have to be written: what has to occur, to come first or last, and units."""
        return sum(
            len(needs.items) + bool(needs.opening) + bool(needs.closing) + sum(number > 0 for _, number in needs.units)
            for needs in self._missing(states)
        )

    def advancing(self, states: Sequence[State], before: str) -> Iterator[str]:
        """Texts of what still has to occur, each as it stands behind `before`; what completes the one that is begun comes first."""
        items = [item for needs in self._missing(states) for item in needs.items]
        yield from (item.rest for item in items if item.rest)
        for text in (text for item in items for text in item.texts):
            yield between(before, text) + text

    def settled(self, states: Sequence[State]) -> str | None:
        """A text that ends the answer with all satisfied, where that is known without a search; None where it is not."""
        if len(self._forms) != 1 or not hasattr(self._forms[0], "ending"):
            return None
        rest: str | None = self._forms[0].ending(states[-1])
        if rest is None:
            return None
        for part, state in zip(self._parts, states, strict=False):
            after = part.step(state, rest)
            if after is None or not part.accepts(after):
                return None
        return rest

    def is_hopeless(self, states: Sequence[State]) -> bool:
        """Whether a part says that nothing can mend it."""
        return any(part.is_hopeless(state) for part, state in zip(self._parts, states, strict=False))

    def plans(
        self,
        states: Sequence[State],
        before: str,
        *,
        effort: int,
        least: int,
        depth: int = 3,
        tries: _Tries | None = None,
    ) -> Iterator[tuple[str, ...]]:
        """Pieces of texts that lead from `states` to an end, best first. `before`: the last characters of the text.

        `effort`: how many ways to end a form are tried, and with how many voices. `least`: so many words at least, because so
        many tokens are wanted. `depth`: in so many places of a form more can stand than fits into one. `tries`: what is left of
        the proposals that may be made.
        """
        tries = tries or _Tries(_TRIES_PER_EFFORT * effort)
        for completion in self._ways(states, effort):
            for voice in self._voices[:effort]:
                draft = Draft(Manner(voice, completion))
                for glue, stretch in _MANNERS:
                    if stretch and not draft.stretched:
                        break  # Nothing would be different.
                    if not tries.left:
                        return
                    tries.left -= 1
                    draft = Draft(Manner(voice, completion, glue, stretch))
                    if completion.room != 0:
                        draft.words = [voice.word(place) for place in range(least)]
                    if (found := self._filled(draft, states, before)) is not None:
                        yield found
                        if effort == 1 or not draft.stretched:
                            break
                if completion.room == 0:
                    break  # No voice is heard.
                if completion.room is not None and depth:
                    yield from self._chained(draft, states, effort, depth, tries)

    def _ways(self, states: Sequence[State], effort: int) -> Iterator[Completion]:
        if not self._forms:
            yield _PROSE
            return
        # Of several forms the first proposes, and the others are asked like all machines.
        form, state = self._forms[0], states[len(self._parts)]
        for number, completion in enumerate(form.completions(state)):
            if number >= _WAYS_PER_EFFORT * effort:
                return
            yield completion
            if number == 0 and hasattr(form, "fitting"):
                words = [word for voice in self._voices for word in voice.words]
                yield from form.fitting(state, partial(self._missing_behind, states), words)

    def _missing(self, states: Sequence[State]) -> list[Needs]:
        return [part.needs(state) for part, state in zip(self._parts, states, strict=False)]

    def _missing_behind(self, states: Sequence[State], text: str) -> list[Needs]:
        """What is missing behind `text`; of a part that refuses it, what was missing before."""
        missing = []
        for part, state in zip(self._parts, states, strict=False):
            after = part.step(state, text)
            missing.append(part.needs(state if after is None else after))
        return missing

    def _filled(self, draft: Draft, states: Sequence[State], before: str) -> tuple[str, ...] | None:
        """The pieces of one proposal after all has been added that was missing; None when that leads nowhere."""
        for turn in range(_ROUNDS):
            pieces = draft.pieces(before)
            if pieces is None or draft.size > MOST_UNITS:
                return None
            text = "".join(pieces)
            after: tuple[State, ...] | None = self.step(states, text)
            if after is None:
                return None
            if self.accepts(after):
                return tuple(piece for piece in pieces if piece)
            if draft.manner.completion.room == 0:
                return None
            if not draft.add(self._missing(after), is_first=turn == 0, is_blank=not before.strip()):
                return None
        return None

    def _chained(
        self, draft: Draft, states: Sequence[State], effort: int, depth: int, tries: _Tries
    ) -> Iterator[tuple[str, ...]]:
        """Plans for what does not fit into one place: as much of it as fits, and the rest in places that follow."""
        while (pieces := draft.pieces("")) is None:
            if not draft.shrink():
                return
        first = "".join(pieces[:-1])
        after = self.step(states, first) if draft.size else None
        if after is not None:
            for more in self.plans(after, first[-OVERLAP:], effort=effort, least=0, depth=depth - 1, tries=tries):
                yield (first, *more)
