"""The Transformer, to be read: encoder, decoder and encoder-decoder in one file, with the shape of every tensor beside it.

The defaults are the model of Vaswani et al. 2017, "Attention is all you need" (arXiv:1706.03762). With other settings it is
a Llama, a T5 or a BERT, and with their weights (`transformer_weights.py`) gives their logits. docs/theory.md has the formulas.

    model = Transformer(TransformerConfig(vocabulary_size=1000, num_encoder_layers=0), seed=0)    # a language model
    logits = model(ids)                                                                           # (B, T) -> (B, T, V)

It trains like any module of torch. It is written for the eye: all T x S scores are in memory at once, and a cache grows by
copying. Fast paths are elsewhere: transformers with torch's fused attention (train/), kernels (generate/local/).

Letters in shapes: B rows, T queries (tokens that are computed), S keys (tokens that are looked at), D width, V vocabulary,
H heads of the queries, K heads of keys and values, d width of a head, F width of the feed-forward layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from heedful.errors import InputError, SettingsError
from heedful.project.settings import nearest

Positions = Literal["sinusoidal", "learned", "rotary", "relative", "none"]
Norm = Literal["layer", "rms"]
NormPlace = Literal["before", "after"]
FeedForwardKind = Literal["relu", "gelu", "tanh_gelu", "swiglu", "gated_gelu"]


@dataclass(frozen=True)
class TransformerConfig:
    """What a Transformer is made of; raises SettingsError where the parts do not fit together."""

    vocabulary_size: int
    width: int = 512
    """D, of the vector that stands for a token between layers."""
    num_encoder_layers: int = 6
    """0: there is no encoder, and the model is a language model."""
    num_decoder_layers: int = 6
    """0: there is no decoder, and logits come from the encoder, as a BERT's do."""
    num_heads: int = 8
    num_key_value_heads: int | None = None
    """Fewer than `num_heads`: groups of queries share keys and values (Ainslie et al. 2023, arXiv:2305.13245). None: as many."""
    head_width: int | None = None
    """None: width / num_heads."""
    scaled_scores: bool = True
    """Divide scores by sqrt(head width). T5 does not: it folds the factor into its first weights."""
    attention_bias: bool = False
    feed_forward: FeedForwardKind = "relu"
    feed_forward_width: int = 2048
    feed_forward_bias: bool = True
    norm: Norm = "layer"
    norm_place: NormPlace = "after"
    """Of each sublayer: x + f(norm(x)) or norm(x + f(x)). "before" adds a norm after the last layer."""
    norm_epsilon: float = 1e-5
    positions: Positions = "sinusoidal"
    max_positions: int = 512
    """How many learned positions there are; nothing to the other kinds."""
    rotary_base: float = 10000.0
    num_buckets: int = 32
    """Of relative positions."""
    max_distance: int = 128
    """In tokens; relative positions that are further away share the last bucket."""
    scaled_embeddings: bool = True
    """Multiply embeddings by sqrt(width), so that positions do not drown them."""
    num_segments: int = 0
    """Embeddings of "first sentence, second sentence", as in BERT."""
    normed_embeddings: bool = False
    tied_head: bool = True
    """The output layer's matrix is the embeddings' (Press & Wolf 2017, arXiv:1608.05859)."""
    scaled_logits: bool = False
    """Divide what the head sees by sqrt(width), as T5 1.0 does."""
    head_transform: bool = False
    """A layer, GELU and a norm before the head, and a bias in it, as in BERT."""
    dropout: float = 0.0

    def __post_init__(self) -> None:
        for field, kinds in (
            ("positions", Positions),
            ("norm", Norm),
            ("norm_place", NormPlace),
            ("feed_forward", FeedForwardKind),
        ):
            if getattr(self, field) not in get_args(kinds):
                raise SettingsError(
                    f"{field} = {getattr(self, field)!r}: {nearest(getattr(self, field), list(get_args(kinds)))}"
                )
        if not (self.num_encoder_layers or self.num_decoder_layers):
            raise SettingsError(
                "there are neither encoder nor decoder layers; set num_encoder_layers or num_decoder_layers"
            )
        if self.head_width is None and self.width % self.num_heads:
            raise SettingsError(
                f"width {self.width} cannot be cut into {self.num_heads} heads; use a multiple, or set head_width"
            )
        if self.num_heads % self.kv_heads:
            raise SettingsError(
                f"{self.num_heads} heads cannot share {self.kv_heads} heads of keys and values; use a divisor"
            )
        if self.positions == "rotary" and self.width_of_head % 2:
            raise SettingsError(
                f"rotary positions turn pairs, and a head has {self.width_of_head} numbers; use an even head_width"
            )
        if self.positions == "sinusoidal" and self.width % 2:
            raise SettingsError(
                f"sinusoidal positions are pairs of sine and cosine, and width is {self.width}; use an even width"
            )

    @property
    def kv_heads(self) -> int:
        return self.num_heads if self.num_key_value_heads is None else self.num_key_value_heads

    @property
    def width_of_head(self) -> int:
        return self.width // self.num_heads if self.head_width is None else self.head_width


# -- attention ---------------------------------------------------------------------------------------------------------


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    visible: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q k^T / sqrt(d)) v: for every query a mean of the values, weighted by how well their keys fit.

    query (B, H, T, d), key and value (B, H, S, d) -> (B, H, T, d). `visible` (broadcast to B, H, T, S) is True where a query
    may look; one that may look nowhere gets zeros. `bias` (same) is added to the scores; `scale` replaces 1 / sqrt(d).
    """
    scores = query @ key.transpose(-2, -1)  # (B, H, T, S)
    # The product of two random vectors has variance d; dividing by its root keeps softmax where it has a gradient.
    scores = scores * (query.shape[-1] ** -0.5 if scale is None else scale)
    if bias is not None:
        scores = scores + bias
    if visible is not None:
        # Not minus infinity: a row of nothing else would become not-a-number, and its gradient too.
        scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
    weights = scores.softmax(dim=-1)  # (B, H, T, S), each row sums to 1
    if visible is not None:
        weights = weights.masked_fill(~visible, 0.0)
    return functional.dropout(weights, dropout, training=dropout > 0) @ value  # (B, H, T, d)


def causal_mask(num_queries: int, num_keys: int, device: torch.device | None = None) -> Tensor:
    """(T, S), True where a query may look: at itself and what came before. The last query is the last key's token."""
    query_positions = torch.arange(num_keys - num_queries, num_keys, device=device)
    return torch.arange(num_keys, device=device) <= query_positions.unsqueeze(1)


@dataclass
class KeyValueCache:
    """Keys and values (B, K, S, d) that one block computed for earlier tokens: what comes later cannot change them."""

    key: Tensor | None = None
    value: Tensor | None = None

    @property
    def num_positions(self) -> int:
        return 0 if self.key is None else self.key.shape[2]

    def extend(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Keep those of new tokens (B, K, T, d); returns all, (B, K, S + T, d)."""
        self.key = key if self.key is None else torch.cat((self.key, key), dim=2)
        self.value = value if self.value is None else torch.cat((self.value, value), dim=2)
        return self.key, self.value


class MultiHeadAttention(nn.Module):
    """H attentions side by side, each in a space of d dimensions of its own, and one matrix that joins what they found."""

    def __init__(self, config: TransformerConfig, *, rotary: bool) -> None:
        super().__init__()
        self.head_width = config.width_of_head
        self.scale = self.head_width**-0.5 if config.scaled_scores else 1.0
        self.rotary_base = config.rotary_base if rotary else None
        self.dropout = config.dropout
        inner, shared, bias = (
            config.num_heads * self.head_width,
            config.kv_heads * self.head_width,
            config.attention_bias,
        )
        self.query = nn.Linear(config.width, inner, bias=bias)
        self.key = nn.Linear(config.width, shared, bias=bias)
        self.value = nn.Linear(config.width, shared, bias=bias)
        self.output = nn.Linear(inner, config.width, bias=bias)

    def forward(
        self,
        x: Tensor,
        *,
        memory: Tensor | None = None,
        visible: Tensor | None = None,
        bias: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D). Keys and values come from x itself, or in cross attention from `memory` (B, S, D)."""
        source = x if memory is None else memory
        query = self._heads(self.query(x))  # (B, H, T, d)
        key = self._heads(self.key(source))  # (B, K, S, d)
        value = self._heads(self.value(source))  # (B, K, S, d)
        if self.rotary_base is not None:
            start = 0 if cache is None else cache.num_positions
            positions = torch.arange(start, start + x.shape[1], device=x.device)
            query, key = (rotate(vectors, positions, base=self.rotary_base) for vectors in (query, key))
        if cache is not None:
            key, value = cache.extend(key, value)
        # Query heads 0 .. H/K - 1 share the first head of keys and values, and so on.
        key, value = (shared.repeat_interleave(query.shape[1] // shared.shape[1], dim=1) for shared in (key, value))
        dropout = self.dropout if self.training else 0.0
        found = scaled_dot_product_attention(
            query, key, value, visible=visible, bias=bias, scale=self.scale, dropout=dropout
        )  # (B, H, T, d)
        joined: Tensor = self.output(found.transpose(1, 2).flatten(2))  # (B, T, H d) -> (B, T, D)
        return joined

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, heads x d) -> (B, heads, T, d)"""
        return x.reshape(*x.shape[:2], -1, self.head_width).transpose(1, 2)


# -- positions ---------------------------------------------------------------------------------------------------------


def sinusoids(positions: Tensor, width: int) -> Tensor:
    """Sine and cosine of p / 10000^(2i/D) at 2i and 2i + 1: positions (T,) -> (T, D). Vaswani et al. 2017, section 3.5."""
    rates = 10000.0 ** (-torch.arange(0, width, 2, device=positions.device) / width)  # (D/2,)
    angles = positions.unsqueeze(-1) * rates  # (T, D/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(-2)


def rotate(vectors: Tensor, positions: Tensor, *, base: float) -> Tensor:
    """Turn pair i of each vector (..., T, d) by p / base^(2i/d): scores then depend on the distance of positions alone.

    Su et al. 2021, arXiv:2104.09864. As in Llama, a pair is one number of the first half and its like in the second half.
    """
    width = vectors.shape[-1]
    rates = 1.0 / base ** (torch.arange(0, width, 2, device=vectors.device) / width)  # (d/2,)
    angles = positions.unsqueeze(-1) * rates  # (T, d/2)
    cosine, sine = angles.cos().to(vectors.dtype), angles.sin().to(vectors.dtype)
    first, second = vectors.chunk(2, dim=-1)  # (..., T, d/2) each
    return torch.cat((first * cosine - second * sine, second * cosine + first * sine), dim=-1)


def distance_buckets(distances: Tensor, *, num_buckets: int, max_distance: int, both_ways: bool) -> Tensor:
    """Which bucket the distance "key's position - query's position" falls into: near ones have one each, far ones share.

    Raffel et al. 2020, arXiv:1910.10683: the first half of the buckets are single distances, the rest grow by a constant
    factor up to `max_distance`. With `both_ways` half of all are for later keys; otherwise a later key counts as distance 0.
    """
    if both_ways:
        num_buckets //= 2
        later = torch.where(distances > 0, num_buckets, 0)
        apart = distances.abs()
    else:
        later = torch.zeros_like(distances)
        apart = (-distances).clamp(min=0)
    num_single = num_buckets // 2
    growth = (apart.clamp(min=1).float() / num_single).log() / math.log(max_distance / num_single)  # 0 .. 1 and beyond
    shared = num_single + (growth * (num_buckets - num_single)).long()
    return later + torch.where(apart < num_single, apart, shared.clamp(max=num_buckets - 1))


class RelativePositions(nn.Module):
    """A learned number for each bucket of distances and head, added to the scores (Raffel et al. 2020, section 2.1)."""

    def __init__(self, config: TransformerConfig, *, both_ways: bool) -> None:
        super().__init__()
        self.bucket = partial(
            distance_buckets, num_buckets=config.num_buckets, max_distance=config.max_distance, both_ways=both_ways
        )
        self.weight = nn.Parameter(torch.empty(config.num_buckets, config.num_heads))

    def forward(self, num_queries: int, num_keys: int) -> Tensor:
        """(1, H, T, S); the last query is the last key's token."""
        keys = torch.arange(num_keys, device=self.weight.device)
        distances = keys - keys[num_keys - num_queries :].unsqueeze(1)  # (T, S)
        return self.weight[self.bucket(distances)].permute(2, 0, 1).unsqueeze(0)


# -- norms, feed-forward layers ----------------------------------------------------------------------------------------


class RMSNorm(nn.Module):
    """x / sqrt(mean(x^2) + epsilon) times a learned factor per number (Zhang & Sennrich 2019, arXiv:1910.07467)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))  # squares of half precision overflow
        scaled = exact * (exact.square().mean(-1, keepdim=True) + self.epsilon).rsqrt()
        return self.weight * scaled.to(x.dtype)


class LayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + epsilon), times a learned factor, plus a learned shift (Ba et al. 2016, arXiv:1607.06450)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        exact = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = exact - exact.mean(-1, keepdim=True)
        scaled = centred * (centred.square().mean(-1, keepdim=True) + self.epsilon).rsqrt()
        return self.weight * scaled.to(x.dtype) + self.bias


NORMS: dict[Norm, type[RMSNorm] | type[LayerNorm]] = {"rms": RMSNorm, "layer": LayerNorm}


@dataclass(frozen=True)
class Activation:
    function: Callable[[Tensor], Tensor]
    gated: bool = False
    """Multiply by a second projection (Shazeer 2020, arXiv:2002.05202)."""


tanh_gelu = partial(functional.gelu, approximate="tanh")
ACTIVATIONS: dict[FeedForwardKind, Activation] = {
    "relu": Activation(functional.relu),
    "gelu": Activation(functional.gelu),
    "tanh_gelu": Activation(tanh_gelu),
    "swiglu": Activation(functional.silu, gated=True),
    "gated_gelu": Activation(tanh_gelu, gated=True),
}


class FeedForward(nn.Module):
    """f(x W_up) W_down, or gated (f(x W_gate) * x W_up) W_down: what a layer does to each token by itself."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.feed_forward]
        bias = config.feed_forward_bias
        if self.activation.gated:
            self.gate = nn.Linear(config.width, config.feed_forward_width, bias=bias)
        self.up = nn.Linear(config.width, config.feed_forward_width, bias=bias)
        self.down = nn.Linear(config.feed_forward_width, config.width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, D)"""
        if self.activation.gated:
            hidden = self.activation.function(self.gate(x)) * self.up(x)  # (B, T, F)
        else:
            hidden = self.activation.function(self.up(x))  # (B, T, F)
        lowered: Tensor = self.down(hidden)
        return lowered


# -- layers and stacks of them -----------------------------------------------------------------------------------------


class Block(nn.Module):
    """One layer: self attention, in a decoder with an encoder cross attention, and a feed-forward layer."""

    def __init__(self, config: TransformerConfig, *, crosses: bool) -> None:
        super().__init__()
        self.norms_first = config.norm_place == "before"
        self.dropout = nn.Dropout(config.dropout)
        norm = partial(NORMS[config.norm], config.width, config.norm_epsilon)
        self.self_attention = MultiHeadAttention(config, rotary=config.positions == "rotary")
        self.self_attention_norm = norm()
        # Positions of two different texts have no distance, so nothing is rotated between them.
        self.cross_attention = MultiHeadAttention(config, rotary=False) if crosses else None
        self.cross_attention_norm = norm() if crosses else None
        self.feed_forward = FeedForward(config)
        self.feed_forward_norm = norm()

    def forward(
        self,
        x: Tensor,
        *,
        visible: Tensor | None = None,
        bias: Tensor | None = None,
        memory: Tensor | None = None,
        memory_visible: Tensor | None = None,
        cache: KeyValueCache | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D); `memory` (B, S, D) is what the encoder made of the source."""
        look = partial(self.self_attention, visible=visible, bias=bias, cache=cache)
        x = self._residual(x, look, self.self_attention_norm)
        if self.cross_attention is not None and self.cross_attention_norm is not None:
            look_across = partial(self.cross_attention, memory=memory, visible=memory_visible)
            x = self._residual(x, look_across, self.cross_attention_norm)
        return self._residual(x, self.feed_forward, self.feed_forward_norm)

    def _residual(self, x: Tensor, sublayer: Callable[[Tensor], Tensor], norm: nn.Module) -> Tensor:
        """A sublayer adds to x, so that gradients reach the first layer unchanged. (B, T, D) -> (B, T, D)"""
        passed: Tensor = (
            x + self.dropout(sublayer(norm(x))) if self.norms_first else norm(x + self.dropout(sublayer(x)))
        )
        return passed


class Stack(nn.Module):
    """The blocks of an encoder, where every token sees every other, or of a decoder, where it sees none that comes later."""

    def __init__(self, config: TransformerConfig, num_layers: int, *, causal: bool, crosses: bool) -> None:
        super().__init__()
        self.causal = causal
        self.blocks = nn.ModuleList(Block(config, crosses=crosses) for _ in range(num_layers))
        # One table of relative positions for all blocks.
        self.relative = RelativePositions(config, both_ways=not causal) if config.positions == "relative" else None
        norms_first = config.norm_place == "before"
        self.final_norm = NORMS[config.norm](config.width, config.norm_epsilon) if norms_first else None
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        *,
        present: Tensor | None = None,
        memory: Tensor | None = None,
        memory_present: Tensor | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Tensor:
        """x (B, T, D) -> (B, T, D). `present` (B, S) is True at tokens and False at padding, cached tokens first."""
        num_queries = x.shape[1]
        num_keys = num_queries + (caches[0].num_positions if caches else 0)
        visible = _visible(present)  # (B, 1, 1, S)
        if self.causal:
            earlier = causal_mask(num_queries, num_keys, x.device)  # (T, S)
            visible = earlier if visible is None else earlier & visible  # (B, 1, T, S)
        bias = None if self.relative is None else self.relative(num_queries, num_keys)  # (1, H, T, S)
        x = self.dropout(x)
        for index, block in enumerate(self.blocks):
            x = block(
                x,
                visible=visible,
                bias=bias,
                memory=memory,
                memory_visible=_visible(memory_present),
                cache=caches[index] if caches else None,
            )
        states: Tensor = x if self.final_norm is None else self.dropout(self.final_norm(x))
        return states


def _visible(present: Tensor | None) -> Tensor | None:
    """(B, S) -> (B, 1, 1, S): the same for all heads and queries."""
    return None if present is None else present.bool()[:, None, None, :]


# -- the whole model ---------------------------------------------------------------------------------------------------


class Embedding(nn.Module):
    """Ids -> vectors, with what is known of their places added."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.Embedding(config.vocabulary_size, config.width)
        learned = config.positions == "learned"
        self.positions = nn.Embedding(config.max_positions, config.width) if learned else None
        self.segments = nn.Embedding(config.num_segments, config.width) if config.num_segments else None
        self.norm = NORMS[config.norm](config.width, config.norm_epsilon) if config.normed_embeddings else None

    def forward(self, ids: Tensor, *, segments: Tensor | None = None, start: int = 0) -> Tensor:
        """ids (B, T) -> (B, T, D); `segments` (B, T) are 0 where not given; the first token's position is `start`."""
        x: Tensor = self.tokens(ids)  # (B, T, D)
        if self.config.scaled_embeddings:
            x = x * self.config.width**0.5
        places = torch.arange(start, start + ids.shape[1], device=ids.device)  # (T,)
        if self.config.positions == "sinusoidal":
            x = x + sinusoids(places, self.config.width).to(x.dtype)
        if self.positions is not None:
            if start + ids.shape[1] > self.config.max_positions:
                raise InputError(
                    f"{start + ids.shape[1]} tokens, and there are learned positions for {self.config.max_positions}; shorten the text"
                )
            x = x + self.positions(places)
        if self.segments is not None:
            x = x + self.segments(torch.zeros_like(ids) if segments is None else segments)
        elif segments is not None:
            raise InputError("segments were given to a model without them; leave them out, or set num_segments")
        return x if self.norm is None else self.norm(x)


class Head(nn.Module):
    """Vectors -> a score for each token of the vocabulary."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.scale = config.width**-0.5 if config.scaled_logits else 1.0
        self.transform = nn.Linear(config.width, config.width) if config.head_transform else None
        self.norm = NORMS[config.norm](config.width, config.norm_epsilon) if config.head_transform else None
        self.weight = None if config.tied_head else nn.Parameter(torch.empty(config.vocabulary_size, config.width))
        self.bias = nn.Parameter(torch.zeros(config.vocabulary_size)) if config.head_transform else None

    def forward(self, x: Tensor, embeddings: Tensor) -> Tensor:
        """x (B, T, D) -> (B, T, V), by the matrix of its own or, where tied, by the embeddings (V, D)."""
        if self.transform is not None and self.norm is not None:
            x = self.norm(functional.gelu(self.transform(x)))
        return functional.linear(x * self.scale, embeddings if self.weight is None else self.weight, self.bias)


class Transformer(nn.Module):
    """Encoder, decoder or both, after what `config` says. Equal seeds give equal weights; global randomness stays as it was."""

    def __init__(self, config: TransformerConfig, *, seed: int) -> None:
        super().__init__()
        self.config = config
        has_encoder, has_decoder = config.num_encoder_layers > 0, config.num_decoder_layers > 0
        with torch.random.fork_rng(devices=[]):
            # Source and target share their embeddings.
            self.embedding = Embedding(config)
            self.encoder = (
                Stack(config, config.num_encoder_layers, causal=False, crosses=False) if has_encoder else None
            )
            self.decoder = (
                Stack(config, config.num_decoder_layers, causal=True, crosses=has_encoder) if has_decoder else None
            )
            self.head = Head(config)
        self._fill(seed)

    def _fill(self, seed: int) -> None:
        """Matrices (out, in) from a normal distribution of variance 1 / in, which keeps the size of what passes through them."""
        device = self.embedding.tokens.weight.device
        if device.type == "meta":  # weights will be copied in
            return
        generator = torch.Generator(device).manual_seed(seed)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                deviation = parameter.shape[1] ** -0.5
                if name.endswith("query.weight") and not self.config.scaled_scores:
                    deviation *= self.config.width_of_head**-0.5
                nn.init.normal_(parameter, std=deviation, generator=generator)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def forward(
        self,
        ids: Tensor,
        *,
        present: Tensor | None = None,
        source_ids: Tensor | None = None,
        source_present: Tensor | None = None,
        segments: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, T, V) at the tokens `ids` (B, T); an encoder-decoder also reads `source_ids` (B, S).

        `present` and `source_present` are True at tokens and False at padding. A decoder's logits at t are about token t + 1,
        those of an encoder alone about token t itself.
        """
        if source_ids is not None and (self.encoder is None or self.decoder is None):
            raise InputError("source_ids were given to a model that reads and writes one text; leave them out")
        if self.decoder is None:
            return self.logits(self.encode(ids, present=present, segments=segments))
        if self.encoder is None:
            return self.logits(self.decode(ids, present=present, segments=segments))
        if source_ids is None:
            raise InputError("an encoder-decoder answers to a source; give source_ids")
        memory = self.encode(source_ids, present=source_present, segments=segments)
        return self.logits(self.decode(ids, present=present, memory=memory, memory_present=source_present))

    def encode(self, ids: Tensor, *, present: Tensor | None = None, segments: Tensor | None = None) -> Tensor:
        """(B, S) -> (B, S, D)"""
        if self.encoder is None:
            raise InputError("this model has no encoder; call decode, or set num_encoder_layers")
        states: Tensor = self.encoder(self.embedding(ids, segments=segments), present=present)
        return states

    def decode(
        self,
        ids: Tensor,
        *,
        present: Tensor | None = None,
        memory: Tensor | None = None,
        memory_present: Tensor | None = None,
        segments: Tensor | None = None,
        caches: Sequence[KeyValueCache] | None = None,
    ) -> Tensor:
        """(B, T) -> (B, T, D). `memory` (B, S, D) comes from `encode`. With `caches`, which grow, `ids` are only the new tokens."""
        if self.decoder is None:
            raise InputError("this model has no decoder; call encode, or set num_decoder_layers")
        if (memory is None) != (self.encoder is None):
            raise InputError("an encoder-decoder needs the memory that encode returns, and a decoder alone takes none")
        x = self.embedding(ids, segments=segments, start=caches[0].num_positions if caches else 0)
        states: Tensor = self.decoder(x, present=present, memory=memory, memory_present=memory_present, caches=caches)
        return states

    def caches(self) -> list[KeyValueCache]:
        """Empty ones, for `decode` to fill: one for each block of the decoder."""
        return [KeyValueCache() for _ in range(self.config.num_decoder_layers)]

    def logits(self, states: Tensor) -> Tensor:
        """(B, T, D) -> (B, T, V)"""
        scores: Tensor = self.head(states, self.embedding.tokens.weight)
        return scores


def log_likelihoods(logits: Tensor, ids: Tensor) -> Tensor:
    """log p(x_t | x_<t) in nats for t = 1 .. T - 1, whose sum is log p(x | x_0): (B, T, V) and (B, T) -> (B, T - 1)."""
    log_probabilities = logits[:, :-1].log_softmax(dim=-1)  # (B, T - 1, V)
    return log_probabilities.gather(-1, ids[:, 1:].unsqueeze(-1)).squeeze(-1)
