"""Do loss and gradients of a step depend on how its rows are batched? They must not; here the training loop itself is asked.

Every row alone, as transformers computes it, is what the other ways are held against: all rows in one padded batch, half of
them at a time, packed one behind the other, packed with equal beginnings read once. What is random in training (dropout) is
off, and adapters are moved off zero, where half of their gradients would vanish.

Not promised: equal bits. Sums of floating-point numbers depend on their order; the limits say how little may come of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch

from heedful.errors import NothingToTrainError
from heedful.models import LoadedModel, load
from heedful.project import Watcher, stream, stream_seed
from heedful.records import Example
from heedful.render import renderer_for
from heedful.train.adapting import adapt
from heedful.train.computing.numbers import computed_in
from heedful.train.computing.ways import computed_fast, why_padded
from heedful.train.lessons import as_said, lessons
from heedful.train.loop import Objective, SupervisedLoop
from heedful.train.rows.packing import pack
from heedful.train.rows.too_long import fitted
from heedful.train.settings import TuneSettings

LIMITS = {torch.float32: (1e-6, 1e-4), torch.float64: (1e-10, 1e-10)}
"""How far loss and gradients may be apart, relative to their size."""
_SMALL = 1e-3
"""Of the whole gradient: a tensor whose gradient is smaller than this share is measured against the share, for what ought to
be zero (attention does not see the bias of keys) is nothing but rounding."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way to batch the rows, beside the reference."""

    name: str
    loss: float
    loss_difference: float
    """Relative to the reference's."""
    gradient_difference: float
    """The largest of all tensors', each relative to the norm of the reference's gradient."""
    tensor: str
    """Which tensor that is."""


@dataclass(frozen=True, slots=True)
class Invariance:
    """All ways, and whether they agree."""

    model: str
    numbers: str
    """float32 or float64."""
    num_rows: int
    num_tokens: int
    num_trained: int
    num_tensors: int
    ways: tuple[Way, ...]
    loss_limit: float
    gradient_limit: float
    not_packed: str = ""
    """Why packing was not compared; empty where it was."""

    @property
    def holds(self) -> bool:
        """Whether every way is within both limits; nothing that is not a number is."""
        return all(self.fits(way) for way in self.ways)

    def fits(self, way: Way) -> bool:
        """Whether this one is."""
        return way.loss_difference <= self.loss_limit and way.gradient_difference <= self.gradient_limit

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {**asdict(self), "holds": self.holds}

    def describe(self) -> str:
        """A table of the differences, and the verdict."""
        head = ["rows batched", "loss", "loss differs", "gradients differ", "most in", ""]
        rows = [
            [
                way.name,
                f"{way.loss:.9f}",
                f"{way.loss_difference:.1e}",
                f"{way.gradient_difference:.1e}",
                way.tensor,
                "equal" if self.fits(way) else "DIFFERENT",
            ]
            for way in self.ways
        ]
        widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in [head, *rows]]
        verdict = "holds" if self.holds else "IS BROKEN"
        return "\n".join(
            [
                f"{self.model} in {self.numbers}: {self.num_rows} rows, {self.num_tokens:,} tokens, {self.num_trained:,} trained, "
                f"{self.num_tensors} tensors with gradients",
                *lines,
                *([f"not packed: {self.not_packed}"] if self.not_packed else []),
                f"invariance {verdict}: loss within {self.loss_limit:.0e}, each tensor's gradient within "
                f"{self.gradient_limit:.0e} (relative)",
            ]
        )


def prove_invariance(
    examples: Sequence[Example],
    settings: TuneSettings,
    *,
    seed: int,
    watcher: Watcher,
    num_rows: int = 8,
    double: bool = False,
) -> Invariance:
    """Compare the ways on `num_rows` training rows drawn from `examples`; with `double`, in 64 bits and closer limits."""
    plain = {"negative_weight": 0.0, "contrastive_weight": 0.0, "lora_dropout": 0.0, "four_bit": False, "epochs": 1}
    settings = settings.model_copy(update={**plain, "batch_size": num_rows})
    loaded = load(settings.model, watcher=watcher)
    renderer = renderer_for(loaded)
    training = [example for example in examples if example.split in ("", "train")]
    said, _ = as_said(training, settings, renderer, (), seed=seed, watcher=watcher)
    owners, fitting = fitted(said, renderer, settings)
    rows: Sequence[Any] = fitting
    pairs = [(owner, row) for owner, row in zip(owners, rows, strict=True) if row.num_trained]
    if not pairs:
        raise NothingToTrainError(
            "no row has anything to train, so there are no gradients; `heedful verify mask` says why"
        )
    chosen = stream(seed, "verify invariance").sample(pairs, min(num_rows, len(pairs)))
    learned = lessons(
        [owner for owner, _ in chosen], [row for _, row in chosen], [], settings, renderer, seed=seed, watcher=watcher
    )
    loaded = adapt(loaded, settings, [getattr(row, "input_ids", ()) for row in learned.rows], seed=seed)
    _make_even(loaded.model, stream_seed(seed, "verify invariance"))
    numbers = torch.float64 if double else torch.float32
    longest = max(row.num_tokens for row in learned.rows)
    not_packed = why_padded(loaded.model, longest) if settings.packing else "tune.packing is off"
    ways = compare(
        loaded,
        learned.rows,
        learned.objective(False),
        None if not_packed else learned.objective(True),
        settings,
        numbers=numbers,
        seed=seed,
    )
    return Invariance(
        model=loaded.name,
        numbers=str(numbers).removeprefix("torch."),
        num_rows=len(chosen),
        num_tokens=sum(row.num_tokens for row in learned.rows),
        num_trained=sum(row.num_trained for row in learned.rows),
        num_tensors=sum(parameter.requires_grad for parameter in loaded.model.parameters()),
        ways=ways,
        loss_limit=LIMITS[numbers][0],
        gradient_limit=LIMITS[numbers][1],
        not_packed=not_packed,
    )


def compare(
    loaded: LoadedModel,
    rows: Sequence[Any],
    padded: Objective[Any, Any],
    packed: Objective[Any, Any] | None,
    settings: TuneSettings,
    *,
    numbers: torch.dtype,
    seed: int,
) -> tuple[Way, ...]:
    """Every way to batch `rows` for `padded` and, where there is one, `packed`; the first is the reference itself."""
    num, longest = len(rows), max(row.num_tokens for row in rows)
    everything = sum(row.num_tokens for row in rows)
    half = (num + 1) // 2
    ways = [
        # (name, objective, most tokens of a micro-batch, whether computed as in training)
        (f"{num} x 1", padded, 1, False),
        (f"{-(-num // half)} x {half}", padded, half * longest, True),
        (f"1 x {num}", padded, num * longest, True),
    ]
    if packed is not None:
        ways += [
            ("packed", replace(packed, build=partial(pack, shares=False)), everything, True),
            ("packed, shared", packed, everything, True),
            ("packed, in halves", packed, -(-everything // 2), True),
        ]
    found: list[Way] = []
    reference: tuple[float, dict[str, torch.Tensor]] | None = None
    for name, objective, limit, is_fast in ways:
        limited = settings.model_copy(update={"micro_batch_tokens": limit, "batch_size": num})
        with _computed(loaded.model, numbers, is_fast=is_fast, packed=objective.is_packed):
            loop: SupervisedLoop[Any, Any] = SupervisedLoop(loaded.model, objective, rows, [], limited, seed=seed)
            loss, gradients = loop.gradients(1)
        reference = reference or (loss, gradients)
        found.append(_beside(reference, name, loss, gradients))
    return tuple(found)


@contextmanager
def _computed(model: Any, numbers: torch.dtype, *, is_fast: bool, packed: bool) -> Iterator[None]:
    with (
        computed_fast(model, numbers, packed=packed) if is_fast else computed_in(model, numbers),
        _exact_norms(model) if numbers == torch.float64 else nullcontext(),
    ):
        yield


@contextmanager
def _exact_norms(model: Any) -> Iterator[None]:
    """Inside, RMS norms keep to the numbers that they are given.

    transformers rounds to 32 bits there, on the way back too: gradients of tokens that several rows share would be rounded
    after they are summed, and not before, 3e-8 apart.
    """
    changed = {module: vars(module).get("forward") for module in model.modules() if _is_plain_norm(module)}
    for module in changed:
        module.forward = partial(_norm, module)
    try:
        yield
    finally:
        for module, before in changed.items():
            del module.forward
            if before is not None:
                module.forward = before


def _norm(module: Any, x: torch.Tensor) -> torch.Tensor:
    """arXiv:1910.07467, formula 4."""
    scaled: torch.Tensor = module.weight * x * (x.pow(2).mean(-1, keepdim=True) + module.variance_epsilon).rsqrt()
    return scaled


def _is_plain_norm(module: Any) -> bool:
    if not hasattr(module, "variance_epsilon") or not isinstance(getattr(module, "weight", None), torch.Tensor):
        return False
    x = torch.linspace(-1, 1, module.weight.numel()).to(module.weight)
    with torch.no_grad():
        return torch.allclose(module(x), _norm(module, x), rtol=1e-5, atol=1e-6)


def _beside(
    reference: tuple[float, dict[str, torch.Tensor]], name: str, loss: float, gradients: dict[str, torch.Tensor]
) -> Way:
    expected, expected_gradients = reference
    norms = {key: float(value.double().norm()) for key, value in expected_gradients.items()}
    small = _SMALL * sum(norm**2 for norm in norms.values()) ** 0.5
    differences = {
        key: _difference(expected_gradients.get(key), gradients.get(key), max(norms.get(key, 0.0), small))
        for key in expected_gradients.keys() | gradients.keys()
    }
    # A difference that is no number is the largest of all.
    tensor = max(sorted(differences), key=lambda key: differences[key] if differences[key] >= 0 else float("inf"))
    return Way(name, loss, abs(loss - expected) / abs(expected), differences[tensor], tensor)


def _difference(expected: torch.Tensor | None, found: torch.Tensor | None, size: float) -> float:
    if expected is None or found is None:
        return float("inf")
    return float((found.double() - expected.double()).norm()) / size if size else float(found.abs().max() > 0)


def _make_even(model: Any, seed: int) -> None:
    """Nothing is left out at random, and no weight that is trained lies where gradients vanish."""
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "dropout_prob", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.requires_grad and not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator).to(parameter) * 0.02
