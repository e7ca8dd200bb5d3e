"""How the two kinds of models read: decoder-only ones, and encoder-decoders of the T5 family. And what they remember of it.

A batch asks its reader to read prompts and to go on by a token; rows of the `Memory` that comes of it join, change places and
leave without anyone knowing which kind of model it is. Rows are padded on the left, so that all of them write their next
token into the same column.

Legend: B rows, T columns of what is written, S columns of what an encoder has read, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicCache, EncoderDecoderCache

from heedful.errors import ModelError
from heedful.generate.local import cache as kv
from heedful.models.virtual import embedded_behind, embedded_virtual, num_virtual, prefix_cache, virtual_kind

TOKENS_PER_PASS = 2048
"""Padded tokens in one forward pass: enough to keep the cores busy, small enough for the activations."""

Item = tuple[Sequence[int], int]
"""Ids, and how many of the last ones are scored; what comes before them is the prompt."""


class Columns:
    """Keys and values of rows side by side, and which of them are real."""

    def __init__(self, cache: DynamicCache, mask: torch.Tensor) -> None:
        self.cache, self.mask = cache, mask

    @property
    def width(self) -> int:
        """Columns in use."""
        return int(self.mask.shape[1])

    def grow(self) -> None:
        """One more column, real in every row."""
        self.mask = pad(self.mask, (0, 1), value=1)

    def append(self, other: Columns) -> None:
        """The rows of `other` follow ours."""
        width = max(self.width, other.width)
        self.mask = torch.cat([pad(mask, (width - mask.shape[1], 0)) for mask in (self.mask, other.mask)])
        self.cache = kv.joined([self.cache, other.cache])

    def select(self, rows: torch.Tensor) -> None:
        """These rows from now on; columns that are padding for all of them go where that can be."""
        mask = self.mask[rows]
        first_column = int(mask.any(dim=0).int().argmax())
        self.mask = mask[:, kv.select(self.cache, rows, first_column) :]


class Memory:
    """What a model has read of the rows of a batch."""

    def __init__(self, written: Columns, source: Columns | None = None) -> None:
        """`written` grows by a column with every token; `source` is what an encoder has read, and stays."""
        self.written, self.source = written, source
        self._parts = [written] if source is None else [written, source]

    @property
    def num_rows(self) -> int:
        return int(self.written.mask.shape[0])

    @property
    def width(self) -> int:
        """Tokens that a row has room for, padding included."""
        return sum(part.width for part in self._parts)

    @property
    def can_be_joined(self) -> bool:
        """False where columns cannot be shifted (sliding windows)."""
        return all(kv.is_growing(part.cache) for part in self._parts)

    def append(self, other: Memory) -> None:
        """The rows of `other` follow ours."""
        for part, other_part in zip(self._parts, other._parts, strict=True):
            part.append(other_part)

    def select(self, rows: Sequence[int]) -> None:
        """These rows from now on, in this order; one that is named several times goes on as several."""
        places = torch.tensor(rows, dtype=torch.long, device=self.written.mask.device)
        for part in self._parts:
            part.select(places)


class Reader(Protocol):
    """Runs a model on rows of token ids. Holds no state between calls."""

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[Memory, torch.Tensor]:
        """A memory of `prompts`, and the logits of each one's first token, (B, V)."""

    def advance(self, memory: Memory, tokens: Sequence[int]) -> torch.Tensor:
        """Read one more token of each row; logits of the next one, (B, V)."""

    def num_columns(self, memory: Memory | None, longest_prompt: int) -> int:
        """The width of `memory` when a prompt of this length joins it."""

    def predictions(self, items: Sequence[Item]) -> Iterator[torch.Tensor]:
        """For each item the logits that predict its scored ids, (number scored, V)."""


def reader_for(model: Any, pad_id: int) -> Reader:
    """The reader of the model's kind; raises ModelError for an encoder-decoder that does not say how answers begin."""
    if model.config.is_encoder_decoder:
        return EncoderDecoder(model, pad_id)
    return BehindVirtual(model, pad_id) if virtual_kind(model) else DecoderOnly(model, pad_id)


class DecoderOnly:
    """Prompt and answer are one text."""

    def __init__(self, model: Any, pad_id: int) -> None:
        self._model, self._pad_id = model, pad_id

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[Memory, torch.Tensor]:
        ids, mask = pad_left(prompts, self._pad_id)
        cache = kv.new_cache(self._model.config)
        if kv.is_growing(cache):
            logits = _read_in_groups(prompts, self._pad_id, [cache], self._read_group)
        else:
            logits = self._forward(ids, mask, cache)
        return Memory(Columns(cache, mask.to(self._model.device))), logits

    def advance(self, memory: Memory, tokens: Sequence[int]) -> torch.Tensor:
        written = memory.written
        written.grow()
        positions = written.mask.sum(dim=1, keepdim=True) - 1
        return self._forward(torch.tensor(tokens)[:, None], written.mask, written.cache, positions)

    def num_columns(self, memory: Memory | None, longest_prompt: int) -> int:
        return max(memory.written.width if memory else 0, longest_prompt)

    def predictions(self, items: Sequence[Item]) -> Iterator[torch.Tensor]:
        ids, mask = pad_left([ids for ids, _ in items], self._pad_id)
        # One more than is scored: the logits that predict a token stand one place before it.
        num_last = max(num_scored for _, num_scored in items) + 1
        logits = self._model(**self._inputs(ids, mask), use_cache=False, logits_to_keep=num_last).logits
        for row, (_, num_scored) in enumerate(items):
            yield logits[row, -num_scored - 1 : -1]

    def _read_group(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, list[DynamicCache]]:
        cache = kv.new_cache(self._model.config)
        return self._forward(ids, mask, cache), [cache]

    def _forward(
        self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache, positions: torch.Tensor | None = None
    ) -> torch.Tensor:
        inputs = self._inputs(ids, mask, positions)
        logits: torch.Tensor = self._model(
            **inputs, past_key_values=cache, use_cache=True, logits_to_keep=1
        ).logits  # (B, 1, V); models that know no `logits_to_keep` give all of them
        return logits[:, -1]

    def _inputs(
        self, ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """Position ids count real tokens, so that a row sees the same positions with padding and without."""
        if positions is None:
            positions = (mask.cumsum(1) - 1).clamp(min=0)
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        return {name: value.to(self._model.device) for name, value in inputs.items()}


class BehindVirtual(DecoderOnly):
    """A model that carries a prefix or a prompt: V virtual tokens stand in the first columns of every row."""

    def __init__(self, model: Any, pad_id: int) -> None:
        super().__init__(model.get_base_model(), pad_id)
        self._carrier, self._num = model, num_virtual(model)

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[Memory, torch.Tensor]:
        ids, mask = pad_left(prompts, self._pad_id)
        cache = kv.new_cache(self._model.config)
        inputs = self._first_inputs(ids, mask, cache)
        logits = self._model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
        return Memory(Columns(cache, inputs["attention_mask"])), logits[:, -1]

    def num_columns(self, memory: Memory | None, longest_prompt: int) -> int:
        return super().num_columns(memory, longest_prompt + self._num)

    def predictions(self, items: Sequence[Item]) -> Iterator[torch.Tensor]:
        ids, mask = pad_left([ids for ids, _ in items], self._pad_id)
        cache = kv.new_cache(self._model.config)
        inputs = self._first_inputs(ids, mask, cache)
        num_last = max(num_scored for _, num_scored in items) + 1
        logits = self._model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=num_last).logits
        for row, (_, num_scored) in enumerate(items):
            yield logits[row, -num_scored - 1 : -1]

    def _first_inputs(self, ids: torch.Tensor, mask: torch.Tensor, cache: DynamicCache) -> dict[str, Any]:
        """For rows of which nothing is read yet; a prefix is put into `cache`."""
        inputs: dict[str, Any] = self._inputs(ids, pad(mask, (self._num, 0), value=1))
        if virtual_kind(self._carrier) == "prefix":
            prefix_cache(self._carrier, len(ids), cache)
            return {**inputs, "position_ids": inputs["position_ids"][:, self._num :]}
        return {**inputs, "input_ids": None, "inputs_embeds": embedded_behind(self._carrier, inputs["input_ids"])}


class EncoderDecoder:
    """An encoder reads the prompt, once; a decoder writes the answer. Positions are relative, so rows may be shifted.

    Where the model carries a trained prompt, its V virtual tokens come right before what a row reads.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self._carrier, self._num = model, num_virtual(model)
        self._model = model.get_base_model() if self._num else model
        self._pad_id, self._start_id = pad_id, start_id(model)

    def read(self, prompts: Sequence[Sequence[int]]) -> tuple[Memory, torch.Tensor]:
        prompts = [self._behind_virtual(prompt) for prompt in prompts]
        _, mask = pad_left(prompts, self._pad_id)
        written, source = self._new_caches()
        logits = _read_in_groups(prompts, self._pad_id, [written, source], self._read_group)
        source_mask = mask.to(self._model.device)  # (B, S)
        return Memory(Columns(written, source_mask.new_ones(len(prompts), 1)), Columns(source, source_mask)), logits

    def advance(self, memory: Memory, tokens: Sequence[int]) -> torch.Tensor:
        written, source = memory.written, memory.source
        assert source is not None, "a memory of an encoder-decoder"
        written.grow()
        # Its keys and values are kept; of what the encoder said only the shape is looked at.
        said = torch.zeros(1, 1, 1, dtype=self._model.dtype, device=self._model.device)
        logits: torch.Tensor = self._model(
            encoder_outputs=(said.expand(*source.mask.shape, 1),),
            attention_mask=source.mask,
            decoder_input_ids=torch.tensor(tokens, device=self._model.device)[:, None],
            decoder_attention_mask=written.mask,
            past_key_values=EncoderDecoderCache(written.cache, source.cache),
            use_cache=True,
        ).logits  # (B, 1, V)
        return logits[:, -1]

    def num_columns(self, memory: Memory | None, longest_prompt: int) -> int:
        if memory is None or memory.source is None:
            return 1 + self._num + longest_prompt
        return memory.written.width + max(memory.source.width, self._num + longest_prompt)

    def predictions(self, items: Sequence[Item]) -> Iterator[torch.Tensor]:
        sources, mask = pad_left([self._behind_virtual(ids[:-num]) for ids, num in items], self._pad_id)
        # Padded on the right: the decoder looks at nothing that comes after.
        longest = max(num_scored for _, num_scored in items)
        targets = torch.tensor(
            [
                [self._start_id, *ids[-num_scored:-1], *[self._pad_id] * (longest - num_scored)]
                for ids, num_scored in items
            ]
        )
        logits = self._model(
            **self._source(sources, mask),
            decoder_input_ids=targets.to(self._model.device),
            use_cache=False,
        ).logits  # (B, longest, V)
        for row, (_, num_scored) in enumerate(items):
            yield logits[row, :num_scored]

    def _read_group(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, list[DynamicCache]]:
        caches = self._new_caches()
        logits: torch.Tensor = self._model(
            **self._source(ids, mask),
            decoder_input_ids=torch.full((len(ids), 1), self._start_id, device=self._model.device),
            past_key_values=EncoderDecoderCache(*caches),
            use_cache=True,
        ).logits  # (B, 1, V)
        return logits[:, -1], caches

    def _behind_virtual(self, ids: Sequence[int]) -> list[int]:
        """With room for the virtual tokens, whatever stands there."""
        return [*[self._pad_id] * self._num, *ids]

    def _source(self, ids: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the encoder takes; the first V real columns of each row become the virtual tokens."""
        ids, mask = ids.to(self._model.device), mask.to(self._model.device)
        if not self._num:
            return {"input_ids": ids, "attention_mask": mask}
        embedded = self._model.get_input_embeddings()(ids)  # (B, S, H)
        is_virtual = mask.bool() & (mask.cumsum(1) <= self._num)  # (B, S)
        virtual = embedded_virtual(self._carrier).repeat(len(ids), 1)  # (B V, H)
        return {"inputs_embeds": embedded.masked_scatter(is_virtual[:, :, None], virtual), "attention_mask": mask}

    def _new_caches(self) -> list[DynamicCache]:
        """Of what is written, and of what was read, which never grows."""
        config = decoder_config(self._model)
        return [kv.new_cache(config), kv.new_cache(config, headroom=0)]


def decoder_config(model: Any) -> Any:
    """The configuration of what writes answers: an encoder may have another number of layers."""
    return model.get_decoder().config if model.config.is_encoder_decoder else model.config.get_text_config()


def token_bytes(model: Any) -> int:
    """Keys and values of one token in all layers, in bytes. What an encoder has read costs a decoder as much."""
    config = decoder_config(model)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * head_dim * model.dtype.itemsize)


def pad_left(rows: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and attention mask, both (B, T)."""
    width = max(map(len, rows))
    ids = torch.tensor([[pad_id] * (width - len(row)) + list(row) for row in rows])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in rows])
    return ids, mask


def start_id(model: Any) -> int:
    """The token with which an encoder-decoder's answers begin, in training and in use."""
    configs = (model.generation_config, model.config)
    found = [getattr(config, "decoder_start_token_id", None) for config in configs]
    start_id = next((token for token in found if token is not None), None)
    if start_id is None:
        raise ModelError(
            "the model does not say with which token an answer begins: add decoder_start_token_id to its config.json "
            "(T5 models begin with their padding token)"
        )
    return int(start_id)


def _read_in_groups(
    prompts: Sequence[Sequence[int]],
    pad_id: int,
    caches: Sequence[DynamicCache],
    read_group: Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, list[DynamicCache]]],
) -> torch.Tensor:
    """Fill `caches`; logits after each prompt, (B, V). Prompts of similar length are read together: padding costs like
    reading."""
    logits: dict[int, torch.Tensor] = {}
    for group in _groups(prompts):
        group_logits, parts = read_group(*pad_left([prompts[place] for place in group], pad_id))
        logits.update(zip(group, group_logits, strict=True))
        for cache, part in zip(caches, parts, strict=True):
            kv.place(cache, part, group, len(prompts))
    return torch.stack([logits[place] for place in range(len(prompts))])


def _groups(prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """Places of `prompts` by falling length, as many together as one pass should read."""
    group: list[int] = []
    for place in sorted(range(len(prompts)), key=lambda place: -len(prompts[place])):
        if group and (len(group) + 1) * len(prompts[group[0]]) > TOKENS_PER_PASS:
            yield group
            group = []
        group.append(place)
    yield group
