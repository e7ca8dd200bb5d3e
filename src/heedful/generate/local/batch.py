"""Answers that are decoded together, one token each per step. They join between steps and finish on their own.

Legend: B slots, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch

from heedful.generate.local.beams import BeamSearch
from heedful.generate.local.choosing import choose
from heedful.generate.local.reading import Reader
from heedful.generate.local.rows import Answer, Row

# Copying what is read to leave finished rows out costs about one step; below this share of live rows it has paid soon.
_COMPACT_BELOW = 0.75


class Batch:
    """A running batch. `rows` are the live ones."""

    @torch.inference_mode()
    def __init__(self, reader: Reader, rows: Sequence[Answer]) -> None:
        """Reads the prompts; first tokens come with the next step."""
        self._reader = reader
        self._slots: list[Answer | None] = list(rows)
        self.memory, self._logits = reader.read([row.prompt_ids for row in rows])  # (B, V), of the next tokens

    @property
    def rows(self) -> list[Answer]:
        """The answers that are still being written."""
        return list(dict.fromkeys(row for row in self._slots if row is not None and not row.finished))

    @torch.inference_mode()
    def join(self, rows: Sequence[Answer]) -> None:
        """Take `rows` in; their prompts are read now, and their first tokens come with the next step."""
        # All is copied anyhow: nobody who has finished comes along.
        self._keep(self._live())
        new = Batch(self._reader, rows)
        self.memory.append(new.memory)
        self._logits = torch.cat([self._logits, new._logits])
        self._slots += new._slots

    @torch.inference_mode()
    def step(self) -> None:
        """Give every live row its next token, and every branch of a beam search."""
        live = self._live()
        if not live:
            return
        logits = self._logits[live].float().cpu()
        answers = [answer for answer in self._slots if answer is not None]
        chosen = choose(logits, [answer.chooser if isinstance(answer, Row) else None for answer in answers])
        going: list[tuple[int, int]] = []
        for answer, group in groupby(range(len(live)), key=answers.__getitem__):
            places = list(group)  # Branches stand side by side.
            if isinstance(answer, BeamSearch):
                new = answer.advance(logits[places])
                going += [(live[places[parent]], token) for parent, token in new]
            elif isinstance(answer, Row):
                answer.accept(chosen[places[0]], logits[places[0]])
                going.append((live[places[0]], chosen[places[0]]))
        unfinished = set(self._live())
        self._advance([(slot, token) for slot, token in going if slot in unfinished])

    def _advance(self, going: Sequence[tuple[int, int]]) -> None:
        """Read the token of each (slot, token); a slot may go on as several."""
        if not going:
            return
        slots = [slot for slot, _ in going]
        tokens = dict(going)
        if slots == sorted(tokens) and len(slots) > _COMPACT_BELOW * len(self._slots):
            # All stay where they are. Slots that go on no more are read along; nobody looks at what comes of them.
            self._slots = [answer if slot in tokens else None for slot, answer in enumerate(self._slots)]
            self._logits = self._reader.advance(self.memory, [tokens.get(slot, 0) for slot in range(len(self._slots))])
        else:
            self._keep(slots)
            self._logits = self._reader.advance(self.memory, [token for _, token in going])

    def _live(self) -> list[int]:
        """Slots of rows that are still being written; the others are let go."""
        self._slots = [row if row is not None and not row.finished else None for row in self._slots]
        return [slot for slot, row in enumerate(self._slots) if row is not None]

    def _keep(self, slots: Sequence[int]) -> None:
        """These slots from now on, in this order; one that is named several times goes on as several."""
        if list(slots) == list(range(len(self._slots))):
            return
        self.memory.select(slots)
        self._logits = self._logits[list(slots)]
        self._slots = [self._slots[slot] for slot in slots]
