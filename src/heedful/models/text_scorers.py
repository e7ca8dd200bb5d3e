"""Language models as `metrics.bits.TextScorer`: n-gram, LSTM, and causal Transformers through a sliding window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from heedful.errors import InputError, ModelError
from heedful.metrics.bits import TextScore
from heedful.models.characters import TextIds
from heedful.models.lstm import LstmLanguageModel
from heedful.models.ngram import NGramModel


@dataclass(frozen=True, slots=True)
class TokenizerIds:
    """A `tokenizers.Tokenizer` (or transformers' `backend_tokenizer`) that loses nothing, without special tokens."""

    tokenizer: Any

    @property
    def num_ids(self) -> int:
        return int(self.tokenizer.get_vocab_size())

    def encode(self, text: str) -> list[int]:
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def spelling(self, text: str) -> float:
        """0; raises InputError for a text that its ids do not give back, as its bits would be another text's."""
        if self.tokenizer.decode(self.encode(text), skip_special_tokens=False) != text:
            raise InputError(
                f"the tokenizer does not give back the text {text[:40]!r}: what it loses would cost no bits; use a "
                f"byte-level tokenizer"
            )
        return 0.0


class NGramScorer:
    """Scores with an n-gram model, each text as a document's begin."""

    def __init__(self, model: NGramModel, ids: TextIds) -> None:
        if ids.num_ids > model.num_ids:
            raise ModelError(f"an n-gram model of {model.num_ids} ids cannot read a vocabulary of {ids.num_ids}")
        self._model, self._ids = model, ids

    def score(self, texts: Iterable[str]) -> list[TextScore]:
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> TextScore:
        ids = [number if number < self._ids.num_ids else self._model.unknown_id for number in self._ids.encode(text)]
        logprob = float(self._model.logprobs(ids, ends=False).sum()) + self._ids.spelling(text)
        return _result(text, logprob, len(ids))


class LstmScorer:
    """Scores with an LSTM, whose state is carried through each text from its begin token on."""

    def __init__(self, model: LstmLanguageModel, ids: TextIds, *, segment: int = 1024) -> None:
        if model.config.bos_token_id is None:
            raise ModelError(
                "this LSTM has no bos_token_id, so nothing predicts a text's first token; train one with it"
            )
        self._model, self._ids, self._segment = model, ids, segment

    def score(self, texts: Iterable[str]) -> list[TextScore]:
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> TextScore:
        ids = self._ids.encode(text)
        size = self._model.config.vocab_size
        if ids and max(ids) >= size:
            raise InputError(f"the text {text[:40]!r} has the id {max(ids)}, but this LSTM's are below {size}")
        given = torch.tensor(ids, dtype=torch.long, device=self._model.embedding.weight.device)
        logprob = float(self._model.logprobs(given, segment=self._segment).sum()) + self._ids.spelling(text)
        return _result(text, logprob, len(ids))


class CausalScorer:
    """Scores with a decoder-only transformers model through a window that slides over each text.

    The window holds at most `context` tokens and moves by `stride`: every token sees at least `context` - `stride` tokens
    before it, or all there are. A text begins after the tokenizer's begin token, or else its end token, as documents do in
    pretraining; later windows begin in the text.
    """

    def __init__(self, model: Any, tokenizer: Any, *, context: int | None = None, stride: int | None = None) -> None:
        """`context` is the model's own limit by default, at most 2048; `stride` is half of it."""
        _check_causal(model)
        begin = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
        if begin is None:
            raise ModelError(
                "the tokenizer has neither a begin nor an end token, so nothing predicts a text's first token"
            )
        limit = getattr(model.config, "max_position_embeddings", None) or 2048
        self._context = context if context is not None else min(limit, 2048)
        self._stride = stride if stride is not None else max(self._context // 2, 1)
        if not (2 <= self._context <= limit and 1 <= self._stride < self._context):
            raise InputError(
                f"a window of {self._context} tokens that moves by {self._stride}; expected 2 to {limit} tokens and a stride "
                f"of at least 1, less than the window"
            )
        self._model, self._begin = model, begin
        self._ids = TokenizerIds(tokenizer.backend_tokenizer)

    def score(self, texts: Iterable[str]) -> list[TextScore]:
        return [self._score(text) for text in texts]

    def _score(self, text: str) -> TextScore:
        ids = self._ids.encode(text)
        return _result(text, self._logprob([self._begin, *ids]) + self._ids.spelling(text), len(ids))

    @torch.no_grad()
    def _logprob(self, ids: Sequence[int]) -> float:
        """Of all ids but the first."""
        stream = torch.tensor(ids, device=next(self._model.parameters()).device)
        total, done = 0.0, 1
        while done < len(stream):
            # The first window scores all it holds, later ones only what is new.
            end = min(len(stream), self._context if done == 1 else done + self._stride)
            window = stream[max(0, end - self._context) : end]
            num_new = end - done
            logits = self._model(input_ids=window[None, :-1], use_cache=False).logits[0, -num_new:]  # (N, V)
            logprobs = logits.double().log_softmax(-1)
            total += float(logprobs.gather(1, window[-num_new:, None]).sum())
            done = end
        return total


def _check_causal(model: Any) -> None:
    """Raise ModelError unless each token's logits depend on what precedes it alone, which two short texts show."""
    name = type(model).__name__
    if model.config.is_encoder_decoder:
        raise ModelError(f"{name} is an encoder-decoder: it gives a text no likelihood without a source text")
    if model.training:
        raise ModelError(f"{name} is in training mode, where dropout distorts likelihoods; call .eval() first")
    texts = torch.tensor([[0, 1, 2], [0, 1, 3]], device=next(model.parameters()).device)
    with torch.no_grad():
        logits = getattr(model(input_ids=texts), "logits", None)
    if logits is None or logits.shape[:2] != texts.shape:
        raise ModelError(f"{name} has no output layer over tokens; load it as a causal language model")
    one, other = logits[:, :2].float()  # (2, V) each, before the texts differ
    if float((one - other).abs().max()) > 1e-5 * float(one.abs().max()):
        raise ModelError(
            f"{name} looks at what comes after a token, as masked language models do: the product of its predictions is no "
            f"probability of a text, so its bits per byte would not compare; use a causal model"
        )


def _result(text: str, logprob: float, num_tokens: int) -> TextScore:
    return TextScore(logprob, num_tokens, len(text.encode("utf-8")))
