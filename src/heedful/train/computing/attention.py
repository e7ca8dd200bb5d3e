"""Attention over packed rows, for every transformers model that takes its attention from transformers' interface.

A span's queries meet its own keys and those of the spans that it continues; no other span's keys are ever part of a
product: nothing can leak. Spans are short (a few hundred tokens), and on processors have loops of their own; long spans,
whose scores would fill the memory, and dropout are left to torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import pad, scaled_dot_product_attention
from transformers import AttentionInterface

from heedful.train.computing.short_spans import ShortSpans, is_ours
from heedful.train.rows.packing import Span

NAME = "heedful_packed"
_LONG = 768
"""Tokens that a span may see and still have its scores kept."""


def packed_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    *,
    packed_spans: tuple[Span, ...],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """query (1, H, N, D); key, value (1, K, V + N, D), K key-value heads -> (1, N, H, D).

    V virtual tokens have keys and values only; spans count them.
    """
    assert attention_mask is None, "packed rows say by their spans what is seen"
    num_virtual = key.shape[2] - query.shape[2]
    if num_virtual:
        query = pad(query, (0, 0, num_virtual, 0))  # Nobody looks at what comes of these.
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    is_short = max(span.num_before + span.end - span.start for span in packed_spans) <= _LONG
    if is_short and not dropout and is_ours(query):
        out: torch.Tensor = ShortSpans.apply(query, key, value, factor, packed_spans)  # type: ignore[no-untyped-call]
        return out[:, num_virtual:], None
    parts = []
    for span in packed_spans:
        keys, values = (torch.cat(_seen(states, span), dim=2) for states in (key, value))
        parts.append(
            scaled_dot_product_attention(
                query[:, :, span.start : span.end],
                keys,
                values,
                attn_mask=_mask(span, query.device) if span.before else None,
                dropout_p=dropout,
                is_causal=not span.before,
                scale=factor,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(parts, dim=2).transpose(1, 2)[:, num_virtual:], None


def _seen(states: torch.Tensor, span: Span) -> list[torch.Tensor]:
    """Pieces of (..., N, D) that the span sees, in order; its own come last."""
    return [states[..., start:end, :] for start, end in (*span.before, (span.start, span.end))]


def _mask(span: Span, device: torch.device) -> torch.Tensor:
    """(own, before + own), True = seen: everything before, and causally the span's own tokens."""
    own = span.end - span.start
    return torch.ones(own, span.num_before + own, dtype=torch.bool, device=device).tril(span.num_before)


AttentionInterface.register(NAME, packed_attention)


def why_not_packed(model: Any, longest: int) -> str:
    """Why rows of up to `longest` tokens cannot be packed for `model`; empty when they can."""
    config = model.config.get_text_config()
    if config.is_encoder_decoder:
        return "an encoder-decoder reads two rows at once"
    if not getattr(model, "_supports_attention_backend", False):
        return f"{type(model).__name__} does not take its attention from transformers' interface"
    window = getattr(config, "sliding_window", None) if getattr(config, "use_sliding_window", True) else None
    if window is not None and longest > window:
        return f"its attention slides over {window} tokens, and the longest row has {longest}"
    if getattr(config, "attn_logit_softcapping", None) is not None:
        return "its attention caps its scores, which torch's does not"
    return ""


@contextmanager
def reads_packed(model: Any) -> Iterator[None]:
    """Inside, `model` is called with `packed_spans`; its attention is as it was afterwards."""
    before = model.config._attn_implementation
    model.set_attn_implementation(NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)
