"""Several processes share a step: each reads its part of the rows, and gradients are summed to what one would have had.

`accelerate launch -m heedful tune ...` or `torchrun --nproc-per-node 2 -m heedful tune ...` starts them. The first does what
the command says; the others wait until it comes to training, and train along. Two ways to share:

- data (the default): everyone has all weights. Gradients are summed once a step, in 32 bits, after the step's micro-batches.
  torch's DistributedDataParallel would sum them in the computing precision, average over processes although their
  parts weigh differently, and wants one forward pass for each backward pass; the same idea is shorter here.
- shards (`tune.shards`): FSDP2. Everyone keeps a part of every layer's weights, gradients and moments, and borrows the
  rest while a layer is computed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch.distributed.tensor import DTensor, distribute_tensor

from heedful.errors import RunError
from heedful.train.computing.forward import inner_of

_BUCKET = 1 << 24
"""Numbers that are summed in one message: few messages, and little memory beside the gradients."""

LossOf = Callable[[Any], tuple[torch.Tensor, dict[str, float]]]


class Processes:
    """One process, which has nobody to share with."""

    rank = 0
    count = 1
    shards = False

    @property
    def is_first(self) -> bool:
        """The one that writes and talks."""
        return self.rank == 0

    def share(self, indices: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """This process's part of the rows of a step."""
        return list(indices)

    def evened(self, batches: Sequence[Any], spare: Callable[[], Any]) -> Iterator[tuple[Any, float]]:
        """Batches and what their losses are multiplied by; where all must compute equally often, spare ones by zero."""
        for batch in batches:
            yield batch, 1.0

    def total(self, values: Sequence[float]) -> list[float]:
        """Sums over all processes."""
        return list(values)

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        """The same of named values; who read nothing has none, and takes the names from the others."""
        return dict(values)

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        """Everyone then has the gradients of the whole step."""

    def from_first(self, value: Any) -> Any:
        """What the first process has (plain data), for all."""
        return value

    def loss_of(self, model: torch.nn.Module, loss: Callable[..., tuple[torch.Tensor, dict[str, float]]]) -> LossOf:
        """How the loss of a batch is computed; with shards, `model` is cut in place."""

        def direct(batch: Any) -> tuple[torch.Tensor, dict[str, float]]:
            return loss(model, batch)

        return direct


ALONE = Processes()


class SeveralProcesses(Processes):
    """Processes that a launcher started; they meet over gloo or NCCL, which accelerate chooses and sets up."""

    def __init__(self, *, shards: bool = False) -> None:
        state = joined()
        self.rank, self.count, self.shards = state.process_index, state.num_processes, shards
        self._device = state.device

    def share(self, indices: Sequence[int], lengths: Sequence[int]) -> list[int]:
        """Longest first, dealt there and back, so that everyone has about as many tokens."""
        order = sorted(indices, key=lambda index: (-lengths[index], index))
        there_and_back = [*range(self.count), *reversed(range(self.count))]
        return [index for place, index in enumerate(order) if there_and_back[place % len(there_and_back)] == self.rank]

    def evened(self, batches: Sequence[Any], spare: Callable[[], Any]) -> Iterator[tuple[Any, float]]:
        # Who computes a layer needs the parts of all others, so nobody may have finished before. Known beforehand: questions
        # to all must come in the same order everywhere.
        num_spare = self._largest(len(batches)) - len(batches) if self.shards else 0
        yield from super().evened(batches, spare)
        for _ in range(num_spare):
            yield spare(), 0.0

    def total(self, values: Sequence[float]) -> list[float]:
        tensor = torch.tensor(values, dtype=torch.float64, device=self._device)
        torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor]

    def totals(self, values: Mapping[str, float]) -> dict[str, float]:
        summed: dict[str, float] = {}
        for own in self._from_all(dict(values)):
            for name, value in own.items():
                summed[name] = summed.get(name, 0.0) + value
        return summed

    def _largest(self, number: int) -> int:
        tensor = torch.tensor(number, device=self._device)
        torch.distributed.all_reduce(tensor, op=torch.distributed.ReduceOp.MAX)
        return int(tensor)

    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter]) -> None:
        if self.shards:
            return
        bucket: list[torch.nn.Parameter] = []
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            bucket.append(parameter)
            if sum(one.numel() for one in bucket) >= _BUCKET:
                _sum(bucket)
                bucket = []
        _sum(bucket)

    def from_first(self, value: Any) -> Any:
        return self._from_all(value if self.is_first else None)[0]

    def _from_all(self, value: Any) -> list[Any]:
        """Everyone's plain data, as JSON: what torch offers for objects would pickle them."""
        text = torch.tensor(list(json.dumps(value).encode()), dtype=torch.uint8, device=self._device)
        length = self._largest(len(text))
        padded = torch.full((length,), ord(" "), dtype=torch.uint8, device=self._device)
        padded[: len(text)] = text
        everyone = [torch.empty_like(padded) for _ in range(self.count)]
        torch.distributed.all_gather(everyone, padded)
        return [json.loads(bytes(one.tolist())) for one in everyone]

    def loss_of(self, model: torch.nn.Module, loss: Callable[..., tuple[torch.Tensor, dict[str, float]]]) -> LossOf:
        if not self.shards:
            return super().loss_of(model, loss)
        whole = _Loss(model, loss)
        _cut(whole, model)
        return whole


class _Loss(torch.nn.Module):
    """Model and loss as one module: the loss reads the output layer's weights, which are whole inside it only."""

    def __init__(self, model: torch.nn.Module, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.model, self._loss = model, loss

    def forward(self, batch: Any) -> Any:
        return self._loss(self.model, batch)


def _cut(whole: torch.nn.Module, model: torch.nn.Module) -> None:
    """Every layer is a unit that is borrowed and given back; embeddings and norms, which the loss needs, another."""
    from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32)
    for layer in _layers(model):
        fully_shard(layer, mp_policy=policy)
    fully_shard(whole, mp_policy=policy)
    for module in whole.modules():
        if isinstance(module, FSDPModule):
            # The loop has divided by the whole step's weight: a mean over processes would divide again. And gloo knows
            # sums only.
            module.set_force_sum_reduction_for_comms(True)
            module.set_gradient_divide_factor(1.0)


def _layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    names = set(getattr(model, "_no_split_modules", None) or ())
    names |= set(getattr(inner_of(model), "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def _sum(bucket: Sequence[torch.nn.Parameter]) -> None:
    if not bucket:
        return
    gradients = [parameter.grad for parameter in bucket if parameter.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    torch.distributed.all_reduce(flat)
    for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))


# -- tensors in parts ---------------------------------------------------------------------------------------------------


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that processes hold in parts, put together; everyone must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of a tensor in parts; all of any other."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def in_parts_like(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """`tensor`, cut as `parameter` is."""
    if not isinstance(parameter, DTensor):
        return tensor
    return distribute_tensor(tensor.to(parameter.device), parameter.device_mesh, parameter.placements)


# -- starting -----------------------------------------------------------------------------------------------------------


def num_launched() -> int:
    """How many processes the launcher started; 1 without one."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def launched_rank() -> int:
    """Which of them this is, from 0."""
    return int(os.environ.get("RANK", "0"))


def joined() -> Any:
    """accelerate's state of this process, after it has met the others."""
    from datetime import timedelta

    from accelerate import PartialState

    # The others wait while the first builds what comes before training, which may take days.
    state = PartialState(cpu=not torch.cuda.is_available(), timeout=timedelta(days=30))
    if state.num_processes != num_launched():
        raise RunError(
            f"{num_launched()} processes were started and {state.num_processes} met; "
            "start them with `accelerate launch` or `torchrun`, which set RANK, WORLD_SIZE and MASTER_ADDR"
        )
    return state


def leave() -> None:
    """Part from the others, all at once: who is still connected when the interpreter ends, or loses a peer, is aborted."""
    if torch.distributed.is_initialized():
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


def processes_of(*, shards: bool) -> Processes:
    """Those that were launched, or this one alone."""
    return SeveralProcesses(shards=shards) if num_launched() > 1 else ALONE
