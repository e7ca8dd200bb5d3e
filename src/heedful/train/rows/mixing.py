"""How many rows of each task an epoch reads, and which: exact counts, not draws, so that what is reported is what happens.

A task's share of an epoch is proportional to min(rows, cap) ** (1 / temperature): all rows as they are; with a cap, large
tasks count for no more than that many rows (examples-proportional mixing of T5, Raffel et al., arXiv:1910.10683, section
3.5.2, also FLAN's); with a temperature, small tasks are read more often than their size would give (at infinity all tasks
equally). Or shares are written out. Shares become whole rows by largest remainders. Which rows: a task's rows are read in
a random order to the last one before any is read again, across epochs, so that no row is ever two readings ahead of another.
Rows of an epoch are a function of seed and epoch: a run that continues needs to remember nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from heedful.errors import SettingsError
from heedful.project import stream
from heedful.project.settings import nearest
from heedful.records import Example
from heedful.train.rows.batches import epoch_batches
from heedful.train.rows.ledger import aligned
from heedful.train.task_settings import MixingSettings

_MAX_TASKS_SAID = 20

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True, slots=True)
class Mixture:
    """What epochs read."""

    rows: Mapping[str, tuple[int, ...]]
    """Task -> where its rows are."""
    counts: Mapping[str, int]
    """Task -> how many of its rows an epoch reads."""
    seed: int

    @property
    def num_rows(self) -> int:
        """Rows that an epoch reads."""
        return sum(self.counts.values())

    def rows_of(self, epoch: int) -> list[int]:
        """Where the rows of an epoch are, task by task; a row comes twice when a task has fewer than it gives."""
        chosen: list[int] = []
        for task, count in self.counts.items():
            own = self.rows[task]
            passes: dict[int, list[int]] = {}
            for place in range(epoch * count, (epoch + 1) * count):
                number, within = divmod(place, len(own))
                if number not in passes:
                    passes[number] = list(own)
                    stream(self.seed, "mixing", task, number).shuffle(passes[number])
                chosen.append(passes[number][within])
        return chosen

    def report(self, epochs: int) -> list[dict[str, Any]]:
        """By task, for ledger.json: rows there are, rows an epoch reads, share, and how often a row is read in all."""
        return [
            {
                "task": task,
                "rows": len(self.rows[task]),
                "rows_per_epoch": count,
                "share": count / self.num_rows,
                "readings_of_a_row": [
                    epochs * count // len(self.rows[task]),
                    -(-epochs * count // len(self.rows[task])),
                ],
            }
            for task, count in self.counts.items()
        ]


def task_of(example: Example) -> str:
    """The task that a row belongs to; rows without one are told apart by where they come from."""
    return example.task or example.source


def mix(tasks: Sequence[str], settings: MixingSettings, *, seed: int) -> Mixture:
    """The mixture of rows whose tasks are given one by one. Raises SettingsError for shares that name other tasks."""
    rows: dict[str, list[int]] = {}
    for place, task in enumerate(tasks):
        rows.setdefault(task, []).append(place)
    own = {task: tuple(rows[task]) for task in sorted(rows)}
    return Mixture(own, task_counts({task: len(places) for task, places in own.items()}, settings), seed)


def task_counts(sizes: Mapping[str, int], settings: MixingSettings) -> dict[str, int]:
    """Rows that an epoch reads of each task, given how many it has."""
    capped = {task: min(size, settings.cap or size) for task, size in sizes.items()}
    if settings.shares:
        _check_names(settings.shares, sizes)
        weights = {task: settings.shares[task] for task in sizes}
    else:
        # With temperature 1 weights are whole numbers, and apportioning them changes nothing.
        power = 1 / settings.temperature
        weights = {task: size if power == 1 else size**power for task, size in capped.items()}
    return apportion(settings.rows_per_epoch or sum(capped.values()), weights)


def apportion(total: int, weights: Mapping[Name, float]) -> dict[Name, int]:
    """Whole numbers in proportion to `weights` that add up to `total`: largest remainders; of equal ones the first name's."""
    whole = sum(weights.values())
    exact = {name: total * weight / whole for name, weight in weights.items()}
    counts = {name: math.floor(value) for name, value in exact.items()}
    missing = total - sum(counts.values())
    for name in sorted(exact, key=lambda name: (counts[name] - exact[name], name))[:missing]:
        counts[name] += 1
    return counts


def _check_names(shares: Mapping[str, float], sizes: Mapping[str, int]) -> None:
    for name in shares:
        if name not in sizes:
            raise SettingsError(
                f"tune.mixing.shares names {name!r}, of which there are no training rows; {nearest(name, list(sizes))}"
            )
    if missing := sorted(set(sizes) - set(shares)):
        raise SettingsError(
            f"tune.mixing.shares does not name {', '.join(map(repr, missing[:5]))}"
            f"{f' and {len(missing) - 5} more' if len(missing) > 5 else ''}, of which there are training rows; "
            "give each task a share, 0 to leave it out"
        )


@dataclass(frozen=True, slots=True)
class MixedOrder:
    """Batches of similar length of what a mixture reads."""

    mixture: Mixture
    lengths: Sequence[int]
    batch_size: int
    seed: int

    @property
    def num_rows(self) -> int:
        """Rows that an epoch reads."""
        return self.mixture.num_rows

    def batches(self, epoch: int) -> list[list[int]]:
        """Those of an epoch."""
        chosen = self.mixture.rows_of(epoch)
        lengths = [self.lengths[place] for place in chosen]
        cut = epoch_batches(lengths, self.batch_size, seed=self.seed, epoch=epoch)
        return [[chosen[place] for place in batch] for batch in cut]


@dataclass(frozen=True, slots=True)
class DealtOrder:
    """Batches in which rows meet others of their group, and rows of other groups.

    A group's rows are paired at random; pairs are dealt like cards, one to each batch in turn, group after group: so a
    group's pairs lie in as many batches as possible. Rows that are left over (an odd one, a group of one, rows without a
    group) are dealt last, two together.
    """

    rows_of: Callable[[int], list[int]]
    """Epoch -> its rows; always `num_rows` of them, and always as many of each group."""
    num_rows: int
    groups: Sequence[str]
    """Of each row; empty where it belongs to none."""
    batch_size: int
    seed: int

    def batches(self, epoch: int) -> list[list[int]]:
        """Those of an epoch. Raises SettingsError when there are fewer pairs than batches."""
        random = stream(self.seed, "deal", epoch)
        by_group: dict[str, list[int]] = {}
        for place in self.rows_of(epoch):
            by_group.setdefault(self.groups[place], []).append(place)
        left = by_group.pop("", [])
        names = sorted(by_group)
        random.shuffle(names)
        pairs: list[list[int]] = []
        for name in names:
            own = by_group[name]
            random.shuffle(own)
            left += own[len(own) // 2 * 2 :]
            pairs += [own[start : start + 2] for start in range(0, len(own) // 2 * 2, 2)]
        num_batches = math.ceil(self.num_rows / self.batch_size)
        _check_pairs(len(pairs), num_batches, self.batch_size)
        random.shuffle(left)
        units = [*pairs, *(left[start : start + 2] for start in range(0, len(left), 2))]
        batches = [[place for unit in units[first::num_batches] for place in unit] for first in range(num_batches)]
        random.shuffle(batches)
        return batches


def _check_pairs(num_pairs: int, num_batches: int, batch_size: int) -> None:
    if batch_size % 2:
        raise SettingsError(f"tune.batch_size is {batch_size}: rows are compared in pairs, so choose an even number")
    if num_pairs < num_batches:
        raise SettingsError(
            f"an epoch has {num_batches} batches of {batch_size} rows, but only {num_pairs} pairs of rows of one group: "
            "some batches would have nothing to pull together; raise tune.batch_size, or give more rows a task "
            "(or, in their meta, the same groups.paraphrase)"
        )


def describe(mixture: Mixture, epochs: int) -> str:
    """A small aligned table, the largest tasks first."""
    entries = sorted(mixture.report(epochs), key=lambda entry: (-entry["rows_per_epoch"], entry["task"]))
    table = [["task", "rows", "an epoch reads", "share", "a row is read"]]
    for entry in entries[:_MAX_TASKS_SAID]:
        least, most = entry["readings_of_a_row"]
        times = f"{least} times" if least == most else f"{least} or {most} times"
        table.append(
            [entry["task"], f"{entry['rows']:,}", f"{entry['rows_per_epoch']:,}", f"{entry['share']:.1%}", times]
        )
    lines = aligned(table)
    if len(entries) > _MAX_TASKS_SAID:
        lines.append(f"and {len(entries) - _MAX_TASKS_SAID} smaller tasks; ledger.json lists all")
    return "\n".join(lines)
