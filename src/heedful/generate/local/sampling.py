"""Draw a token from logits with temperature, top-k, top-p and min-p."""

from __future__ import annotations

import torch

from heedful.generate.engine import Sampling

# Sorting a vocabulary of 49 thousand takes milliseconds; the likeliest few nearly always hold all of `top_p`.
_SHORTLIST = 512


def draw(logits: torch.Tensor, sampling: Sampling, generator: torch.Generator) -> int:
    """Sample one token: temperature first, then the `top_k` likeliest, then the fewest that hold `top_p` of those, then
    those that are at least `min_p` times as likely as the likeliest.

    Uses exactly one number of `generator`, so streams stay in step whatever the limits are.
    """
    uniform = torch.rand((), generator=generator, dtype=torch.float64)
    probabilities = torch.softmax(logits.double().cpu() / sampling.temperature, dim=-1)
    if sampling.top_k == 0 and sampling.top_p >= 1:
        return _invert(probabilities * (probabilities >= sampling.min_p * probabilities.max()), uniform)
    size = probabilities.numel()
    top_k = min(sampling.top_k or size, size)
    values, ids = probabilities.topk(min(top_k, _SHORTLIST))
    # With top_k the limit is a share of what the top_k hold, which the shortlist alone may not tell.
    total = float(values.sum()) if top_k <= _SHORTLIST else None
    if top_k > _SHORTLIST and (top_k < size or float(values.sum()) < sampling.top_p):
        values, ids = probabilities.topk(top_k)
        total = float(values.sum())
    before = values.cumsum(0) - values
    is_kept = (before < sampling.top_p * (1.0 if total is None else total)) & (values >= sampling.min_p * values[0])
    kept = int(is_kept.sum())
    return int(ids[_invert(values[: max(kept, 1)], uniform)])


def _invert(weights: torch.Tensor, uniform: torch.Tensor) -> int:
    """Where `uniform` in [0, 1) falls among `weights`, which need not sum to 1."""
    cumulative = weights.cumsum(0)
    place = int(torch.searchsorted(cumulative, uniform * cumulative[-1], right=True))
    # Rounding may put the point at the very end, or on tokens of no weight there.
    return min(place, int(weights.nonzero()[-1]))
