"""The output layer and its cross entropy in one piece: no logits are kept, and none are computed that nothing is trained on.

With 49,152 words a token's logits take as much memory as a thousand of its hidden states. Here they exist for a few hundred
tokens at a time: their gradients are known at once, since the loss is a sum, and are multiplied into those of the hidden
states and of the weights before the next few hundred are computed. (The idea is that of Liger Kernel, arXiv:2410.10989, and
of Cut Cross-Entropy, arXiv:2411.09009.)
"""

from __future__ import annotations

from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import cross_entropy

from heedful.train.computing.forward import inner_of
from heedful.train.computing.head_rows import is_ours, softmax_into

_ROWS, _PART = 1024, 64
"""Tokens whose products are taken together, and of which the softmax is: what of it lies in the processor's cache."""


class _HeadLoss(torch.autograd.Function):
    """(M, H) hidden states, (V, H) weights -> (M,) cross entropies, (M,) whether the likeliest was right."""

    @staticmethod
    def forward(
        ctx: Any, hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        num = len(hidden)
        losses = torch.empty(num, dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        correct = torch.empty(num, dtype=torch.bool, device=hidden.device)
        of_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # The first product sets what the others add to.
        fresh = torch.empty_like if num else torch.zeros_like
        of_weight = fresh(weight) if ctx.needs_input_grad[1] else None
        for start in range(0, num, _ROWS):
            rows = slice(start, min(start + _ROWS, num))
            logits = hidden[rows] @ weight.T
            losses[rows], correct[rows] = _softmax_into(logits, targets[rows], factors[rows])
            if of_hidden is not None:
                of_hidden[rows] = logits @ weight
            if of_weight is not None:
                of_weight.addmm_(logits.T, hidden[rows], beta=1 if start else 0)
        ctx.save_for_backward(of_hidden, of_weight)
        total = (losses * factors).sum()
        ctx.mark_non_differentiable(losses, correct)
        return total, losses, correct

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_total: torch.Tensor, *_: Any) -> tuple[torch.Tensor | None, ...]:
        of_hidden, of_weight = ctx.saved_tensors
        return (
            None if of_hidden is None else of_hidden * of_total.to(of_hidden.dtype),
            None if of_weight is None else of_weight.mul_(of_total.to(of_weight.dtype)),
            None,
            None,
        )


def _softmax_into(
    logits: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropies of rows, and whether the likeliest was right; `logits` become the gradient of their sum, weighted by `factors`."""
    if is_ours(logits):
        return softmax_into(logits, targets, factors)
    pieces = zip(*(torch.split(rows, _PART) for rows in (logits, targets, factors)), strict=True)
    losses, correct = zip(*(_softmax_of_few(*piece) for piece in pieces), strict=True)
    return torch.cat(losses), torch.cat(correct)


def _softmax_of_few(
    logits: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    precise = torch.promote_types(logits.dtype, torch.float32)
    log_probs = logits.to(precise).log_softmax(-1)
    places = targets[:, None]
    losses = -log_probs.gather(1, places)[:, 0]
    correct = log_probs.argmax(-1) == targets
    probs = log_probs.exp_()
    probs.scatter_add_(1, places, torch.full_like(places, -1, dtype=precise))
    logits.copy_(probs.mul_(factors.to(precise)[:, None]))
    return losses, correct


def head_loss(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sum of weighted cross entropies in nats, and for each of M tokens its own (no gradient) and whether it was right.

    hidden (M, H), weight (V, H), targets (M,), factors (M,).
    """
    total, losses, correct = _HeadLoss.apply(hidden, weight, targets, factors)  # type: ignore[no-untyped-call]
    return total, losses, correct


def loss_of_states(
    hidden: torch.Tensor, weight: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """`head_loss` as objectives return it: the sum, and how many tokens the model had right (weighted)."""
    total, _, correct = head_loss(hidden, weight, targets, factors)
    return total, {"token_accuracy": float((correct * factors).sum())}


def loss_of_logits(
    logits: torch.Tensor, targets: torch.Tensor, factors: torch.Tensor
) -> tuple[torch.Tensor, dict[str, float]]:
    """The same of logits (M, V), where the model computes them itself."""
    # Half precision is too coarse for the sum over a vocabulary.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    losses = cross_entropy(logits, targets, reduction="none")
    correct = logits.detach().argmax(-1) == targets
    return (losses * factors).sum(), {"token_accuracy": float((correct * factors).sum())}


def why_not_head_loss(model: Any) -> str:
    """Why `head_loss` is not what `model` computes; empty when it is. It is tried on a few tokens, not assumed."""
    inner = inner_of(model)
    head: Any = inner.get_output_embeddings()
    if type(head) is not torch.nn.Linear or getattr(head, "bias", None) is not None:
        return f"its output layer is no plain product ({type(head).__name__})"
    config = inner.config.get_text_config()
    if getattr(config, "final_logit_softcapping", None) is not None:
        return "it caps its logits after the output layer"
    ids = torch.arange(1, 5, device=head.weight.device)[None] % config.vocab_size
    was_training = inner.training
    inner.eval()
    with torch.no_grad():
        expected = inner(input_ids=ids, use_cache=False).logits
        found = inner.base_model(input_ids=ids, use_cache=False).last_hidden_state @ head.weight.T
    inner.train(was_training)
    is_equal = torch.allclose(found.float(), expected.float(), rtol=1e-2, atol=1e-2 * float(expected.abs().max()))
    return "" if is_equal else "it changes its logits after the output layer"
