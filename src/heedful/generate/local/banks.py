"""BankedSearch: beam search for an answer that must hold something. It looks ahead, where a mask waits until there is no way out.

Masking refuses only what makes a promise impossible, so a likely text fills the budget and the keywords come at its very end. Here
branches compete only with those that lack as much as they do: a branch that has just paid for a keyword need not
be likelier than one that has still to pay. Such banks are those of dynamic beam allocation (Post and Vilar, arXiv:1804.06609)
and of NeuroLogic (arXiv:2010.12884). Tokens that bring nearer what is missing are candidates also where they are not among the likeliest.

What is likely is often a loop, and a search finds loops better than greedy choice does; so what repeats the answer pays for it.
What a constraint refuses stays refused: the search only chooses between answers that keep every promise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from heedful.generate.local.beams import BeamSearch, Way

_WORTH = 4.0
"""Of one thing that is no longer missing, in nats, where banks compete for the last branches. Those that lack the least would always
get them otherwise, however unlikely they are: that made answers less likely by 0.03 nats per token (`bench/concepts.py`, 80 sets)."""
_LEAST_LOGPROB = -7.0
"""Tokens that bring something nearer are looked at down to here, a thousandth; down to -9 not one answer of 40 was another."""
_REPEATED = 3
"""So many tokens that stand in the answer already are a repetition."""
_REPETITION_COST = 3.0
"""In nats, for each token that completes a repetition. With 0 a quarter of all pairs of words were repeated; 5 is like 3."""
_NUM_LIKELIEST = 3
"""The likeliest candidates that are looked at, for each branch; fewer of them may come."""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A branch and a token that may follow it."""

    parent: int
    token: int
    total: float
    missing: int
    """Things that the answer lacks behind it."""


class BankedSearch(BeamSearch):
    """For constraints that tell what is missing."""

    def _chosen(self, logits: torch.Tensor) -> tuple[list[Way], list[tuple[int, Way]]]:
        totals = self._totals(logits)
        refused: list[list[int]] = [[] for _ in self._ways]
        candidates = sorted(self._permitted(totals, refused), key=lambda one: -one.total)
        ends = [one for one in candidates if one.token in self._end_ids][: self.num_branches]
        others = self._from_all_banks([one for one in candidates if one.token not in self._end_ids])
        ended: list[Way] = []
        going: list[tuple[int, Way]] = []
        for one in (*ends, *others):
            likelier = [
                token for token in refused[one.parent] if logits[one.parent, token] > logits[one.parent, one.token]
            ]
            way = self._grown(one.parent, one.token, one.total, logits, likelier)
            if self._has_ended(way):
                ended.append(way)
            else:
                going.append((one.parent, way))
        return ended, going

    def _from_all_banks(self, candidates: Sequence[_Candidate]) -> list[_Candidate]:
        """The best of each bank, then the second of each, until all branches are taken. `candidates`: best first."""
        banks: dict[int, list[_Candidate]] = {}
        for one in candidates:
            banks.setdefault(one.missing, []).append(one)
        places = [(turn, one) for bank in banks.values() for turn, one in enumerate(bank)]
        places.sort(key=lambda place: (place[0], _WORTH * place[1].missing - place[1].total))
        return [one for _, one in places[: self.num_branches]]

    def _permitted(self, totals: torch.Tensor, refused: Sequence[list[int]]) -> Iterator[_Candidate]:
        """Candidates that may come, at least one for each branch; those that may not are put into `refused` of their branch."""
        has_any = [False] * len(self._ways)
        for parent, token, is_wanted in self._proposed(totals):
            way, total = self._ways[parent], float(totals[parent, token])
            missing = way.chooser.missing_after(token) if total > -torch.inf else None
            if missing is None:
                refused[parent].append(token)
                continue
            has_any[parent] = True
            # What is asked for may be said again.
            cost = 0.0 if is_wanted or not _repeats(way.ids, token) else _REPETITION_COST
            yield _Candidate(parent, token, total - cost, missing)
        for parent, way in enumerate(self._ways):
            for token in () if has_any[parent] else way.chooser.sure():
                missing = way.chooser.missing_after(token)
                if missing is not None:
                    yield _Candidate(parent, token, float(totals[parent, token]), missing)

    def _proposed(self, totals: torch.Tensor) -> Iterator[tuple[int, int, bool]]:
        """(branch, token, whether it brings something nearer), each once: the likeliest of all, the likeliest two of each
        branch, and what brings something nearer."""
        vocabulary = totals.shape[1]
        wanted = [
            {token for token in way.chooser.advancing() if totals[place, token] - way.total > _LEAST_LOGPROB}
            for place, way in enumerate(self._ways)
        ]
        number = min(_NUM_LIKELIEST * self.num_branches, totals.numel())
        proposed = [divmod(place, vocabulary) for place in totals.flatten().topk(number).indices.tolist()]
        proposed += [(place, token) for place, row in enumerate(totals.topk(2).indices.tolist()) for token in row]
        proposed += [(place, token) for place, tokens in enumerate(wanted) for token in sorted(tokens)]
        for parent, token in dict.fromkeys(proposed):
            yield parent, token, token in wanted[parent]


def _repeats(ids: Sequence[int], token: int) -> bool:
    """Whether the last tokens stand in `ids` already when `token` comes next."""
    last = (*ids[len(ids) - _REPEATED + 1 :], token)
    return any(ids[at : at + _REPEATED] == last for at in range(len(ids) - _REPEATED + 1))
