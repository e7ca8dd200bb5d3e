"""BeamSearch: one request's likeliest answers, sought along `num_beams` branches at a time.

The rules are those of transformers with `early_stopping=False`, so that answers can be compared: of the best continuations of all
branches, those that end go to the finished ones when they are among the first `num_beams`, and the first `num_beams` of the others
go on. A finished branch's score is its log-likelihood divided by its length to the power `length_penalty`; the search ends
when the best branch, with its length so far, is no better than the worst of `num_beams` finished ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from heedful.generate.engine import TokenLogprob
from heedful.generate.local.choosing import Chooser
from heedful.generate.local.rows import Row, reported
from heedful.generate.local.writer import TextWriter
from heedful.records import FinishReason
from heedful.render import Renderer


@dataclass(frozen=True, slots=True)
class Way:
    """One way to begin the answer."""

    ids: tuple[int, ...]
    total: float
    """Sum of log-probabilities, biases and penalties included."""
    chooser: Chooser
    writer: TextWriter | None
    """Only where stop strings have to be found."""
    reports: tuple[TokenLogprob, ...]


class BeamSearch:
    """All answers of one request. What it writes comes at the end, in one event for each answer."""

    def __init__(self, rows: Sequence[Row], renderer: Renderer) -> None:
        """`rows` of the one request, as many as answers are wanted."""
        first = rows[0]
        self.rows, self.request, self.prompt_ids = list(rows), first.request, first.prompt_ids
        sampling = self.request.sampling
        self.num_branches, self._length_penalty = sampling.num_beams, sampling.length_penalty
        self._end_ids = frozenset(renderer.end_of_turn_ids)
        self._num_candidates = max(2, 1 + len(self._end_ids)) * self.num_branches
        self._room = first.num_left
        writer = TextWriter(first.decode, sampling.stop) if sampling.stop else None
        self._ways = [Way((), 0.0, first.chooser, writer, ())]
        self._finished: list[tuple[float, Way]] = []

    @property
    def num_left(self) -> int:
        """Tokens that each branch may still write."""
        return self._room - len(self._ways[0].ids)

    @property
    def finished(self) -> bool:
        """Nothing more will be written."""
        return all(row.finished for row in self.rows)

    def finish(self, reason: FinishReason) -> None:
        """End all answers, without a text: none is the best yet."""
        for row in self.rows:
            row.finish(reason)

    def advance(self, logits: torch.Tensor) -> list[tuple[int, int]]:
        """Take the logits after each branch, (branches, vocabulary); returns the new branches, each as the place of the one
        that it continues, and its token. None are left when the search has ended; the rows hold the answers then."""
        ended, going = self._chosen(logits)
        norm = (len(self._ways[0].ids) + 1) ** self._length_penalty
        self._finished += [(way.total / norm, way) for way in ended]
        self._finished = sorted(self._finished, key=lambda pair: -pair[0])[: self.num_branches]
        if going and not self._is_decided(max(way.total for _, way in going) / norm):
            self._ways = [way for _, way in going]
            return [(parent, way.ids[-1]) for parent, way in going]
        found = [way for _, way in self._finished]
        if found and self.rows[0].chooser.distortion is not None:
            # Only finished answers keep a constraint's promise. It may leave fewer of them than are wanted: they are told again.
            self._tell([found[place % len(found)] for place in range(len(self.rows))])
        else:
            self._tell(found + [way for _, way in going])
        return []

    def _chosen(self, logits: torch.Tensor) -> tuple[list[Way], list[tuple[int, Way]]]:
        """The branches that end here, and those that go on, each with the place of the one that it continues."""
        candidates = self._candidates(logits)
        ended = [way for _, way in candidates[: self.num_branches] if self._has_ended(way)]
        going = [(parent, way) for parent, way in candidates if not self._has_ended(way)]
        return ended, going[: self.num_branches]

    def _candidates(self, logits: torch.Tensor) -> list[tuple[int, Way]]:
        """The best continuations of all branches, best first, each with the place of the branch that it continues."""
        totals = self._totals(logits)
        for place, way in enumerate(self._ways):
            totals[place] = way.chooser.only_permitted(totals[place], self._num_candidates)
        vocabulary = totals.shape[1]
        values, places = totals.flatten().topk(min(self._num_candidates, totals.numel()))
        return [
            (place // vocabulary, self._grown(place // vocabulary, place % vocabulary, value, logits))
            for value, place in zip(values.tolist(), places.tolist(), strict=True)
            if value > -torch.inf
        ]

    def _totals(self, logits: torch.Tensor) -> torch.Tensor:
        """What each branch would add up to with each token, (branches, vocabulary)."""
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        for place, way in enumerate(self._ways):
            if way.chooser.adjusts:
                logprobs[place] = way.chooser.adjusted(logprobs[place])
        return logprobs + torch.tensor([way.total for way in self._ways])[:, None]

    def _grown(self, parent: int, token: int, total: float, logits: torch.Tensor, refused: Sequence[int] = ()) -> Way:
        """`refused`: likelier tokens that might not come."""
        way = self._ways[parent]
        chooser, writer = way.chooser.twin(), way.writer.twin() if way.writer else None
        chooser.accept(token)
        if chooser.distortion is not None:
            chooser.distortion.add(logits[parent], token, refused)
        if writer is not None and token not in self._end_ids:
            writer.push(token)
        report = reported(self.request, token, logits[parent])
        return Way((*way.ids, token), total, chooser, writer, (*way.reports, report) if report else ())

    def _has_ended(self, way: Way) -> bool:
        is_stopped = way.writer is not None and way.writer.stopped
        return is_stopped or way.ids[-1] in self._end_ids or len(way.ids) >= self._room

    def _is_decided(self, best: float) -> bool:
        return len(self._finished) == self.num_branches and best <= self._finished[-1][0]

    def _tell(self, ways: Sequence[Way]) -> None:
        for row, way in zip(self.rows, ways, strict=False):
            row.chooser = way.chooser
            for place, token in enumerate(way.ids):
                row.write(token, way.reports[place] if way.reports else None)
            # An answer that was cut short by the end of the search, where too few have ended.
            row.finish("length")
        self.finish("length")
