"""dev"""
from __future__ import annotations
import os
from collections.abc import Sequence
import torch
from heedful.generate.local.beams import BeamSearch, _Way

P = dict(lam=0.0, rho=3.0, prune=-7.0, mode="banks", ngram=3, early=False)
for kv in filter(None, os.environ.get("BANKS", "").split(",")):
    k, v = kv.split("=")
    P[k] = type(P[k])(float(v)) if not isinstance(P[k], str) else v


class BankedSearch(BeamSearch):
    def advance(self, logits: torch.Tensor) -> list[tuple[int, int]]:
        length = len(self._ways[0].ids) + 1
        norm = length**self._length_penalty
        found = self._found(logits)
        going, done = [], []
        for parent, way in found:
            (done if self._has_ended(way) else going).append((parent, way))
        done.sort(key=lambda pair: -pair[1].total)
        self._finished += [(way.total / norm, way) for _, way in done[: self.num_branches]]
        self._finished = sorted(self._finished, key=lambda pair: -pair[0])[: self.num_branches]
        going = self._kept(going)
        if going:
            best = max(way.total for _, way in going) / norm
            if not (self._is_decided(best) or (P["early"] and len(self._finished) == self.num_branches)):
                self._ways = [way for _, way in going]
                return [(parent, way.ids[-1]) for parent, way in going]
        self._tell([way for _, way in self._finished] + [way for _, way in going])
        return []

    def _found(self, logits):
        logprobs = torch.log_softmax(logits.float(), dim=-1)
        for place, way in enumerate(self._ways):
            if way.chooser.adjusts:
                logprobs[place] = way.chooser.adjusted(logprobs[place])
        totals = logprobs + torch.tensor([way.total for way in self._ways])[:, None]
        V = totals.shape[1]
        k = self.num_branches
        found = {}
        values, places = totals.flatten().topk(3 * k)
        wanted = list(zip(values.tolist(), places.tolist()))
        for place, way in enumerate(self._ways):
            v, t = totals[place].topk(2)
            wanted += [(x, place * V + y) for x, y in zip(v.tolist(), t.tolist())]
            c = way.chooser
            if P["mode"] != "none":
                for token in c._lazy.advancing(c._state):
                    if logprobs[place, token] > P["prune"]:
                        wanted.append((float(totals[place, token]), place * V + token))
        kept_of = set()
        for value, at in wanted:
            if at in found or value == -torch.inf:
                continue
            place, token = divmod(at, V)
            way = self._ways[place]
            if way.chooser._lazy.permits(way.chooser._state, token):
                found[at] = (place, self._grown(place, token, value - P["rho"] * self._repeats(way.ids, token), logits))
                kept_of.add(place)
        for place, way in enumerate(self._ways):
            if place not in kept_of:
                for token in way.chooser._lazy.sure(way.chooser._state):
                    value = float(totals[place, token])
                    way.chooser._lazy.permits(way.chooser._state, token)
                    found[place * V + token] = (place, self._grown(place, token, value, logits))
        return list(found.values())

    def _repeats(self, ids, token):
        n = int(P["ngram"])
        if len(ids) < n:
            return 0
        last = (*ids[len(ids) - n + 1 :], token)
        return sum(ids[i : i + n] == last for i in range(len(ids) - n + 1)) > 0

    def _kept(self, going):
        k = self.num_branches
        miss = {id(way): way.chooser._lazy.num_missing(way.chooser._state) for _, way in going}
        if P["mode"] in ("pen", "none"):
            going.sort(key=lambda pair: -(pair[1].total - P["lam"] * miss[id(pair[1])]))
            return going[:k]
        banks = {}
        for pair in sorted(going, key=lambda pair: -pair[1].total):
            banks.setdefault(miss[id(pair[1])], []).append(pair)
        kept = []
        turn = 0
        order = sorted(banks)
        while len(kept) < k and any(len(b) > turn for b in banks.values()):
            layer = [banks[m][turn] for m in order if len(banks[m]) > turn]
            if P["lam"]:
                layer.sort(key=lambda pair: -(pair[1].total - P["lam"] * miss[id(pair[1])]))
            kept += layer
            turn += 1
        return kept[:k]
