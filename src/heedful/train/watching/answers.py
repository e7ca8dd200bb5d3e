"""Answers while training: the model as it stands answers validation prompts, and the answers are scored.

A loss says how likely the reference is; it does not say what the model writes by itself. Answers are greedy, without
requirements enforced (the question is whether the model keeps them), so the same weights give the same numbers, and no
random stream is touched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from heedful.errors import InputError
from heedful.generate.engine import Request, Sampling, generate
from heedful.metrics import exact_match, rouge_l
from heedful.models import LoadedModel
from heedful.project import stream
from heedful.records import Example
from heedful.requirements import check_all
from heedful.train.computing.attention import NAME as PACKED
from heedful.train.settings import TuneSettings

_DEFAULT_ROWS = 32
"""Prompts that are answered when `best_by` needs answers and nobody said how many."""
_MORE_TOKENS, _MOST_TOKENS = 16, 256
"""An answer may be this much longer than the longest reference, and is never longer than that."""


class AnswerMeasures:
    """Called, it lets the model answer and returns `rouge_l`, `exact_match` and, where rows have any, `requirements`."""

    def __init__(
        self, loaded: LoadedModel, validation: Sequence[Example], settings: TuneSettings, *, seed: int
    ) -> None:
        """Raises InputError when the rows cannot give what `tune.best_by` chooses by."""
        number = settings.evaluation_answers or (0 if settings.best_by == "loss" else _DEFAULT_ROWS)
        rows = [row for row in validation if row.answer]
        if settings.best_by == "requirements":
            # The rows without any would say nothing about it.
            rows = [row for row in rows if row.requirements]
        if settings.best_by != "loss" and not rows:
            what = "a requirement" if settings.best_by == "requirements" else "an answer"
            raise InputError(
                f"tune.best_by is {settings.best_by!r}, and no validation row has {what}; "
                'add such rows (`heedful curate` splits them), or choose best_by = "loss"'
            )
        self._loaded = loaded
        self.rows = stream(seed, "evaluation_answers").sample(rows, min(number, len(rows)))

    def __call__(self) -> dict[str, float]:
        texts = self._texts()
        measures = {}
        languages = [row.language for row in self.rows]
        for name, metric in (("rouge_l", rouge_l), ("exact_match", exact_match)):
            measures[name] = float(metric(texts, [row.answer for row in self.rows], languages).value)
        verdicts = [
            check_all(row.requirements, text) for row, text in zip(self.rows, texts, strict=True) if row.requirements
        ]
        if verdicts:
            kept = [all(verdict.satisfied for verdict in of_row) for of_row in verdicts]
            measures["requirements"] = sum(kept) / len(kept)
        return measures

    def _texts(self) -> list[str]:
        from heedful.generate.local import LocalEngine

        longest = max(len(self._loaded.tokenizer(row.answer).input_ids) for row in self.rows)
        sampling = Sampling(temperature=0.0, max_tokens=min(longest + _MORE_TOKENS, _MOST_TOKENS))
        requests = [Request(id=row.id, messages=row.prompt, sampling=sampling) for row in self.rows]
        with _as_served(self._loaded.model), torch.random.fork_rng(), LocalEngine(self._loaded) as engine:
            return [generation.text for generation in generate(engine, requests)]


@contextmanager
def _as_served(model: Any) -> Iterator[None]:
    """Inside, attention reads ordinary rows, and nothing is drawn at random."""
    before, was_training = model.config._attn_implementation, model.training
    model.eval()
    if before == PACKED:
        model.set_attn_implementation("sdpa")
    try:
        with torch.no_grad():
            yield
    finally:
        if before == PACKED:
            model.set_attn_implementation(before)
        model.train(was_training)
