"""Answers of a model whose logits are random, under requirements that are enforced."""

from __future__ import annotations

import random
from collections.abc import Sequence

from heedful.constraints import Composition, TokenTable, compose
from heedful.records import RequirementSpec


class Walk:
    """An answer of a model whose logits are random: what it wrote, and how."""

    def __init__(self, composition: Composition, table: TokenTable, seed: int, *, num_tries: int = 6) -> None:
        rng = random.Random(seed)
        state, self.tokens = composition.start(), list[int]()
        while not state.is_over:
            assert len(self.tokens) < 5000
            token = next(
                (
                    token
                    for token in (rng.randrange(len(table.data)) for _ in range(num_tries))
                    if composition.permits(state, token)
                ),
                None,
            )
            if token is None:
                sure = composition.sure(state)
                assert sure, "a dead end"
                token = rng.choice(sure)
            left = composition.tokens_to_finish(state)
            state = composition.advance(state, token)
            self.tokens.append(token)
            assert left >= 1
        self.text = composition.shown(b"".join(table.data[token] for token in self.tokens[:-1]).decode())


def walked(specs: Sequence[RequirementSpec], table: TokenTable, *, max_tokens: int, seed: int = 0) -> Walk:
    """Compose and walk; the answer ended within `max_tokens`."""
    walk = Walk(compose(specs, table, max_tokens=max_tokens), table, seed)
    assert len(walk.tokens) <= max_tokens
    assert walk.tokens[-1] in table.end_ids
    return walk
