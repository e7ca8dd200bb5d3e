"""Objectives of pretraining: causal, prefix-LM, span corruption, masked, masked with next sentence prediction.

Each is a way to build a batch from plain stretches of text, and a loss. What is drawn (hidden tokens, prefixes, pairs)
comes from each row's own seed. Rows never see another document: a causal window that holds several gets a mask that ends
where they do and positions that restart; all other objectives take rows of one document each.

B rows, T tokens, N trained tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from heedful.train.computing.head import loss_of_logits, loss_of_states
from heedful.train.loop import Objective
from heedful.train.pretraining.rows import TextRow
from heedful.train.pretraining.tokenizer import SpecialIds

NOISE_DENSITY, MEAN_SPAN = 0.15, 3.0
"""Share of tokens that span corruption hides, and how many of them in a row (Raffel et al., arXiv:1910.10683)."""
MASKED_SHARE, MASK_TOKEN, RANDOM_TOKEN = 0.15, 0.8, 0.1
"""Share of tokens that are predicted; which of those become [MASK], which a random token; the rest stay as they are
(Devlin et al., arXiv:1810.04805)."""

Loss = tuple[torch.Tensor, dict[str, float]]
TextObjective = Objective[TextRow, "TextBatch"]


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Rows as their model reads them."""

    inputs: Mapping[str, torch.Tensor]
    """By the names of the model's arguments."""
    predicts: torch.Tensor  # (B, T), True where the model's last hidden state predicts
    targets: torch.Tensor  # (N,), row by row
    num_tokens: int
    """Of text, without padding."""
    weight: float
    """What a summed loss is divided by: trained tokens, or rows where the loss is a mean of rows."""
    factors: torch.Tensor = field(default_factory=lambda: torch.zeros(0))  # (N,), of each target in the loss
    follows: torch.Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.long))
    """(B,), 0 where the second segment follows the first, 1 where it does not, as transformers' BERT has it."""

    def to(self, device: torch.device) -> TextBatch:
        """The same batch on `device`."""
        moved = {name: getattr(self, name).to(device) for name in ("predicts", "targets", "factors", "follows")}
        return replace(self, inputs={name: tensor.to(device) for name, tensor in self.inputs.items()}, **moved)


def objective(name: str, special: SpecialIds, *, is_recurrent: bool = False) -> TextObjective:
    """The objective `name`; `is_recurrent` for models that know neither masks nor positions."""
    building: dict[
        str, tuple[Callable[[Sequence[TextRow], SpecialIds], TextBatch], Callable[[Any, TextBatch], Loss]]
    ] = {
        "causal": (causal_batch, recurrent_loss if is_recurrent else decoder_loss),
        "prefix": (prefix_batch, decoder_loss),
        "span_corruption": (span_corruption_batch, encoder_decoder_loss),
        "masked": (masked_batch, masked_loss),
        "masked_next_sentence": (next_sentence_batch, next_sentence_loss),
    }
    build, loss = building[name]
    return Objective(name=name, build=lambda rows: build(rows, special), loss=loss)


# -- causal and prefix ----------------------------------------------------------------------------------------------


def causal_batch(rows: Sequence[TextRow], special: SpecialIds) -> TextBatch:
    """Every token but a row's first is predicted from those before it in its document, the end of it included."""
    tokens, sizes = _padded([row.tokens for row in rows], special.pad)
    ids = tokens[:, :-1]
    inputs = {"input_ids": torch.from_numpy(ids)}
    # The end token before a document is the first that its tokens see.
    documents = np.cumsum(ids == special.end, axis=1)
    if (documents[:, 1:] != documents[:, :1]).any():
        inputs |= _kept_apart(documents)
    predicts = np.arange(ids.shape[1]) < (sizes - 1)[:, None]
    return _predicting(inputs, predicts, tokens[:, 1:][predicts], int((sizes - 1).sum()))


def _kept_apart(documents: np.ndarray) -> dict[str, torch.Tensor]:
    """Mask (B, 1, T, T), True = seen, and positions (B, T) for rows whose tokens belong to numbered `documents` (B, T)."""
    num = documents.shape[1]
    seen = (documents[:, :, None] == documents[:, None, :]) & np.tri(num, dtype=bool)
    is_first = np.diff(documents, axis=1, prepend=documents[:, :1] - 1) > 0
    firsts = np.maximum.accumulate(np.where(is_first, np.arange(num), 0), axis=1)
    return {
        "attention_mask": torch.from_numpy(seen[:, None]),
        "position_ids": torch.from_numpy(np.arange(num) - firsts),
    }


def prefix_batch(rows: Sequence[TextRow], special: SpecialIds) -> TextBatch:
    """A prefix of random length sees itself in both directions; what comes after it is predicted (arXiv:1910.10683, 3.2.1)."""
    tokens, sizes = _padded([row.tokens for row in rows], special.pad)
    ids = tokens[:, :-1]
    num = ids.shape[1]
    prefixes = np.array([_random(row).integers(1, size) for row, size in zip(rows, sizes, strict=True)])[:, None]
    places = np.arange(num)
    seen = np.tri(num, dtype=bool) | (places < prefixes)[:, None, :]
    # The last token of the prefix predicts the first after it.
    predicts = (places >= prefixes - 1) & (places < (sizes - 1)[:, None])
    inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(seen[:, None])}
    return _predicting(inputs, predicts, tokens[:, 1:][predicts], int((sizes - 1).sum()))


def decoder_loss(model: Any, batch: TextBatch) -> Loss:
    """Of a decoder with a plain output layer."""
    hidden = model.base_model(**batch.inputs, use_cache=False).last_hidden_state
    weight = model.get_output_embeddings().weight
    return loss_of_states(hidden[batch.predicts], weight, batch.targets, batch.factors)


def recurrent_loss(model: Any, batch: TextBatch) -> Loss:
    """Of a model that keeps its own state; rows must be of one document each."""
    logits = model(batch.inputs["input_ids"]).logits[batch.predicts]  # (N, V)
    return loss_of_logits(logits, batch.targets, batch.factors)


# -- span corruption ------------------------------------------------------------------------------------------------


def span_corruption_batch(rows: Sequence[TextRow], special: SpecialIds) -> TextBatch:
    """The encoder reads a text with spans left out, the decoder writes them, each after the sentinel in its place."""
    pairs = [corrupted(np.asarray(row.tokens, dtype=np.int64), special, _random(row)) for row in rows]
    given, num_given = _padded([one for one, _ in pairs], special.pad)
    wanted, num_wanted = _padded([other for _, other in pairs], special.pad)
    # A decoder starts from padding, as T5's do.
    before = np.concatenate([np.full((len(rows), 1), special.pad), wanted[:, :-1]], axis=1)
    predicts = np.arange(wanted.shape[1]) < num_wanted[:, None]
    inputs = {
        "input_ids": torch.from_numpy(given),
        "attention_mask": torch.from_numpy((np.arange(given.shape[1]) < num_given[:, None]).astype(np.int64)),
        "decoder_input_ids": torch.from_numpy(before),
    }
    return _predicting(inputs, predicts, wanted[predicts], sum(row.num_tokens for row in rows))


def corrupted(tokens: np.ndarray, special: SpecialIds, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(input, target) of at least two tokens; both end with the end token.

    Input and target together give the text back: where the input has a sentinel stands what follows it in the target.
    """
    hidden = noise_spans(len(tokens), len(special.sentinels), random)
    starts = hidden & ~np.concatenate([[False], hidden[:-1]])
    sentinels = np.array(special.sentinels)[np.maximum(np.cumsum(starts) - 1, 0)]
    given = np.where(starts, sentinels, tokens)[~hidden | starts]
    places = np.flatnonzero(starts)
    # Before the first token of each span goes its sentinel.
    wanted = np.insert(tokens[hidden], np.searchsorted(np.flatnonzero(hidden), places), sentinels[places])
    return np.append(given, special.end), np.append(wanted, special.end)


def noise_spans(length: int, most: int, random: np.random.Generator) -> np.ndarray:
    """(length,) True = left out: NOISE_DENSITY of the tokens, in at most `most` spans of MEAN_SPAN tokens on average.

    As in T5, spans are apart, the first tokens are kept and the last are left out.
    """
    num_hidden = min(max(round(length * NOISE_DENSITY), 1), length - 1)
    num_spans = min(max(round(num_hidden / MEAN_SPAN), 1), length - num_hidden, most)
    lengths = np.stack([_parts(length - num_hidden, num_spans, random), _parts(num_hidden, num_spans, random)], axis=1)
    return np.repeat(np.tile([False, True], num_spans), lengths.reshape(-1))


def _parts(total: int, number: int, random: np.random.Generator) -> np.ndarray:
    """`number` lengths of at least one that add up to `total`, every way equally likely."""
    cuts = np.sort(random.choice(total - 1, number - 1, replace=False)) + 1
    return np.diff(cuts, prepend=0, append=total)


def corrupted_lengths(length: int) -> tuple[int, int]:
    """How long input and target of `length` tokens become, where there are sentinels enough."""
    num_hidden = min(max(round(length * NOISE_DENSITY), 1), length - 1)
    num_spans = min(max(round(num_hidden / MEAN_SPAN), 1), length - num_hidden)
    return length - num_hidden + num_spans + 1, num_hidden + num_spans + 1


def encoder_decoder_loss(model: Any, batch: TextBatch) -> Loss:
    """Of a T5."""
    mask = batch.inputs["attention_mask"]
    read = model.encoder(input_ids=batch.inputs["input_ids"], attention_mask=mask).last_hidden_state
    written = model.decoder(
        input_ids=batch.inputs["decoder_input_ids"],
        encoder_hidden_states=read,
        encoder_attention_mask=mask,
        use_cache=False,
    ).last_hidden_state[batch.predicts]
    if model.config.scale_decoder_outputs:
        written = written * model.config.d_model**-0.5
    return loss_of_states(written, model.get_output_embeddings().weight, batch.targets, batch.factors)


# -- masked ---------------------------------------------------------------------------------------------------------


def masked_batch(rows: Sequence[TextRow], special: SpecialIds) -> TextBatch:
    """[CLS] text [SEP], of which some tokens are hidden or exchanged and predicted."""
    ends = ([special.classify], [special.end])
    return _masked(rows, [np.concatenate([ends[0], row.tokens, ends[1]]) for row in rows], special)


def next_sentence_batch(rows: Sequence[TextRow], special: SpecialIds) -> TextBatch:
    """[CLS] A [SEP] B [SEP]: in half of the rows B is what follows A in its document, else it is from elsewhere.

    A and B are stretches of text, as in BERT, cut behind any token. The loss is a mean over rows of the mean over hidden
    tokens plus that of the pair, so that it does not depend on which rows meet.
    """
    whole, kinds, follows = [], [], []
    for row in rows:
        one, other, is_next = _pair(row)
        whole.append(np.concatenate([[special.classify], one, [special.end], other, [special.end]]))
        kinds.append(np.repeat([0, 1], [len(one) + 2, len(other) + 1]))
        follows.append(0 if is_next else 1)
    batch = _masked(rows, whole, special)
    counts = batch.predicts.sum(1)
    return replace(
        batch,
        inputs={**batch.inputs, "token_type_ids": torch.from_numpy(_padded(kinds, 0)[0])},
        weight=float(len(rows)),
        factors=(1 / counts.double()).repeat_interleave(counts).float(),
        follows=torch.tensor(follows),
    )


def _pair(row: TextRow) -> tuple[np.ndarray, np.ndarray, bool]:
    random = _random(row, 1)
    cut = int(random.integers(1, len(row.tokens)))
    if random.random() < 0.5 or row.other is None:
        return row.tokens[:cut], row.tokens[cut:], True
    return row.tokens[:cut], row.other[cut - len(row.tokens) :], False


def _masked(rows: Sequence[TextRow], whole: Sequence[np.ndarray], special: SpecialIds) -> TextBatch:
    hidden = [_hide(ids.astype(np.int64), special, _random(row)) for row, ids in zip(rows, whole, strict=True)]
    ids, sizes = _padded([changed for changed, _ in hidden], special.pad)
    predicts = _padded([chosen for _, chosen in hidden], 0)[0].astype(bool)
    targets = np.concatenate([one[chosen] for one, (_, chosen) in zip(whole, hidden, strict=True)])
    inputs = {
        "input_ids": torch.from_numpy(ids),
        "attention_mask": torch.from_numpy((np.arange(ids.shape[1]) < sizes[:, None]).astype(np.int64)),
    }
    return _predicting(inputs, predicts, targets.astype(np.int64), int(sizes.sum()))


def _hide(ids: np.ndarray, special: SpecialIds, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(ids with some exchanged, which are predicted): MASKED_SHARE of the text's tokens, at least one, none special."""
    ordinary = np.flatnonzero(ids >= special.first_ordinary)
    chosen = random.choice(ordinary, max(1, round(MASKED_SHARE * len(ordinary))), replace=False)
    fate = random.random(len(chosen))
    changed = ids.copy()
    changed[chosen[fate < MASK_TOKEN]] = special.mask
    exchanged = chosen[(fate >= MASK_TOKEN) & (fate < MASK_TOKEN + RANDOM_TOKEN)]
    changed[exchanged] = random.integers(special.first_ordinary, special.num_ids, len(exchanged))
    is_chosen = np.zeros(len(ids), dtype=bool)
    is_chosen[chosen] = True
    return changed, is_chosen


def masked_loss(model: Any, batch: TextBatch) -> Loss:
    """Of a BERT."""
    hidden = model.base_model(**batch.inputs).last_hidden_state
    return loss_of_logits(model.cls.predictions(hidden[batch.predicts]), batch.targets, batch.factors)


def next_sentence_loss(model: Any, batch: TextBatch) -> Loss:
    """Of a BERT with both heads."""
    read = model.base_model(**batch.inputs)
    logits = model.cls.predictions(read.last_hidden_state[batch.predicts])  # (N, V)
    total, metrics = loss_of_logits(logits, batch.targets, batch.factors)
    pairs = model.cls.seq_relationship(read.pooler_output).float()  # (B, 2)
    of_pairs = cross_entropy(pairs, batch.follows, reduction="sum")
    is_right = (pairs.detach().argmax(-1) == batch.follows).sum()
    more = {"next_sentence_loss": float(of_pairs.detach()), "next_sentence_accuracy": float(is_right)}
    return total + of_pairs, {**metrics, **more}


# -- shared ---------------------------------------------------------------------------------------------------------


def _random(row: TextRow, *more: int) -> np.random.Generator:
    return np.random.default_rng([row.seed, *more])


def _padded(rows: Sequence[np.ndarray], filler: int) -> tuple[np.ndarray, np.ndarray]:
    """(B, T) with `filler` at the ends, and (B,) lengths."""
    sizes = np.array([len(row) for row in rows])
    table = np.full((len(rows), int(sizes.max())), filler, dtype=np.int64)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
    return table, sizes


def _predicting(
    inputs: dict[str, torch.Tensor], predicts: np.ndarray, targets: np.ndarray, num_tokens: int
) -> TextBatch:
    return TextBatch(
        inputs=inputs,
        predicts=torch.from_numpy(predicts),
        targets=torch.from_numpy(targets),
        num_tokens=num_tokens,
        weight=float(len(targets)),
        factors=torch.ones(len(targets)),
    )
