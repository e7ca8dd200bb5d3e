"""AdamW whose weights are exact in 32 bits, while the model computes in fewer where the processor does that faster.

A bf16 number has three decimal digits: most steps of training are smaller than what it can tell apart, and would vanish.
So each weight is kept twice: 32 bits for AdamW, and rounded for the model (as mixed precision does, arXiv:1710.03740; bf16
needs no scaling of the loss, arXiv:1905.12322). Gradients of several micro-batches are summed in 32 bits, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from heedful.train.together.parallel import in_parts_like, whole

Tensors = Mapping[str, torch.Tensor]


class MasterAdamW:
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101) that does not decay norms and biases, which are vectors."""

    def __init__(self, parameters: Mapping[str, torch.nn.Parameter], *, weight_decay: float) -> None:
        """`parameters` are the model's own, by name; those of 32 or 64 bits are their own masters."""
        self._parameters = dict(parameters)
        self.masters: dict[str, torch.nn.Parameter] = {
            name: parameter
            if parameter.dtype in (torch.float32, torch.float64)
            else torch.nn.Parameter(parameter.detach().float())
            for name, parameter in parameters.items()
        }
        self._rounded = [name for name, master in self.masters.items() if master is not self._parameters[name]]
        matrices = [one for one in self.masters.values() if one.ndim >= 2]
        vectors = [one for one in self.masters.values() if one.ndim < 2]
        groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
        self._adamw = torch.optim.AdamW([group for group in groups if group["params"]], lr=0.0, fused=True)

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
                self._parameters[name].copy_(self.masters[name])

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
