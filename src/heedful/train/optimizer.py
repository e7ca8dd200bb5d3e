"""AdamW whose weights are exact in 32 bits, while the model computes in fewer where the processor does that faster.

A bf16 number has three decimal digits: most steps of training are smaller than what it can tell apart, and would vanish.
So each weight is kept twice: 32 bits for AdamW, and rounded for the model (as mixed precision does, arXiv:1710.03740; bf16
needs no scaling of the loss, arXiv:1905.12322). Gradients of several micro-batches are summed in 32 bits, too.

Rounded to the nearest, a weight that starts at a bf16 number, as published ones do, looks the same to the model until it has
come half the way to the next: at a learning rate of 2e-5 that is ten or more steps in one direction, and the model learns
late. So every weight has a place of its own, anywhere between two bf16 numbers, at which it is rounded up instead of down: a step
of a tenth of the way moves a tenth of the weights, and the model sees what the steps do on average (the idea of stochastic
rounding, arXiv:1502.02551, with chances that are drawn once: the model is a function of its exact weights, and a run that
continues has no more to know).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from heedful.project import stream_seed
from heedful.train.together.parallel import in_parts_like, own_part, whole

Tensors = Mapping[str, torch.Tensor]

_PIECE = 1 << 20
"""Weights that are rounded at a time: what of them lies in the processor's cache. The chances repeat after them."""
_LOW = 1 << 16
"""32 bits begin with the 16 of a bf16 number; so many numbers share these."""


class MasterAdamW:
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101) that does not decay norms and biases, which are vectors."""

    def __init__(
        self, parameters: Mapping[str, torch.nn.Parameter], *, weight_decay: float, exact: Tensors | None = None
    ) -> None:
        """`parameters` are the model's own, by name; those of 32 or 64 bits are their own masters.

        `exact` are tensors that others are roundings of; they are changed in place.
        """
        self._parameters = dict(parameters)
        self.masters: dict[str, torch.nn.Parameter] = {
            name: parameter
            if parameter.dtype in (torch.float32, torch.float64)
            else torch.nn.Parameter(in_parts_like((exact or {}).get(name, parameter.detach()).float(), parameter))
            for name, parameter in parameters.items()
        }
        self._rounded = [name for name, master in self.masters.items() if master is not self._parameters[name]]
        matrices = [one for one in self.masters.values() if one.ndim >= 2]
        vectors = [one for one in self.masters.values() if one.ndim < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adamw = torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)
        self._chances = self._drawn_chances()
        self._round()

    def _drawn_chances(self) -> torch.Tensor:
        longest = max((self.masters[name].numel() for name in self._rounded), default=0)
        generator = torch.Generator().manual_seed(stream_seed(0, "rounding"))
        chances = torch.randint(_LOW, (_PIECE,), dtype=torch.int32, generator=generator)[:longest]
        return chances.to(next(iter(self.masters.values())).device)

    def set_masters(self, values: Tensors) -> None:
        """Exact weights that the model's are a rounding of."""
        copy_into(self.masters, values)
        self._round()

    def collect(self) -> None:
        """Add the gradients of a micro-batch to those of the step."""
        for name in self._rounded:
            gradient = self._parameters[name].grad
            if gradient is None:
                continue
            master = self.masters[name]
            if master.grad is None:
                master.grad = gradient.float()
            else:
                master.grad.add_(gradient)
            self._parameters[name].grad = None

    def step(self, learning_rate: float, max_norm: float) -> float:
        """One step with the gradients collected, scaled down to `max_norm`; returns their norm before that."""
        norm = torch.nn.utils.clip_grad_norm_(self.masters.values(), max_norm)
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.step()
        self._adamw.zero_grad(set_to_none=True)
        self._round()
        return float(whole(norm))

    def _round(self) -> None:
        with torch.no_grad():
            for name in self._rounded:
                round_by(self._chances, own_part(self.masters[name]), own_part(self._parameters[name]))

    # -- snapshots -------------------------------------------------------------------------------------------------

    def moments(self) -> dict[str, torch.Tensor]:
        """AdamW's state by name, as a checkpoint holds it."""
        return {
            f"{kind}/{name}": value
            for name, master in self.masters.items()
            for kind, value in self._adamw.state[master].items()
        }

    def restore(self, moments: Tensors) -> None:
        """What `moments` gave."""
        for name, master in self.masters.items():
            state: dict[str, Any] = self._adamw.state[master]
            for kind in ("step", "exp_avg", "exp_avg_sq"):
                # The fused AdamW keeps the count of its steps beside the weights.
                value = moments[f"{kind}/{name}"].to(master.device, copy=True)
                state[kind] = value if kind == "step" else in_parts_like(value, master)


def copy_into(parameters: Mapping[str, torch.nn.Parameter], values: Tensors) -> None:
    """In place: equal bits also need the memory that the first run had, where matrix products are concerned."""
    with torch.no_grad():
        for name, parameter in parameters.items():
            value = values[name]
            parameter.copy_(value if type(value) is type(parameter) else in_parts_like(value, parameter))


def round_by(chances: torch.Tensor, exact: torch.Tensor, rounded: torch.Tensor) -> None:
    """Round 32 bits to bf16, up where what is cut off, in units of the last bit, is at least 1 - chance / 65,536.

    chances (C,) int32 from 0 to 65,535, one for each weight of both tensors in order, again and again. A bf16 number stays.
    """
    pieces = (torch.split(tensor.view(-1), len(chances)) for tensor in (exact, rounded))
    for some, into in zip(*pieces, strict=True):
        # Neighbouring numbers are neighbouring integers: a carry out of the low bits is one bf16 number further from zero.
        bits = some.view(torch.int32) + chances[: len(some)]
        into.copy_(bits.bitwise_and_(-_LOW).view(torch.float32))
