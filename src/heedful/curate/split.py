"""Step: train, validation and test, such that what belongs together stays together.

Rows are linked by a shared group (document, template, seed ...), by parents, by an equal prompt, and by similarity. The
connected components of these links are assigned whole. Among assignments, one is sought whose shares are close to
the wanted ones for all rows, for every method, and for every method in every language, and in which each of these
is present in the test set and the training set whenever it has two components.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import daft
import pyarrow as pa
from daft import col

from heedful.curate._components import Components
from heedful.curate._frame import Frame
from heedful.curate.near_duplicates import Pair
from heedful.curate.settings import CurateSettings
from heedful.project.randomness import stream
from heedful.records import SPLITS, Example, canonical_json

MAX_IMPROVEMENTS = 10
"""Passes over all components in search of a better place for each."""
MAX_SWAPPED_COMPONENTS = 60
"""Above this number, moving single components reaches the shares closely enough, and trying all swaps takes long."""
TOLERANCE = 0.05
"""A split further than this from its wanted share, as a share of all rows, is reported."""


@dataclass
class Part:
    """A component: rows that must stay together."""

    positions: list[int]
    counts: Counter[str]
    """How many of its rows have each trait (see `_traits`)."""
    split: str = ""
    is_fixed: bool = False
    """The rows came with a split, which stays."""


@dataclass(frozen=True)
class SplitPlan:
    """Which split each kept row goes to, by position, and what is worth knowing about it."""

    assignment: Mapping[int, str]
    groups: dict[str, Any] = field(default_factory=dict)
    """The funnel's `groups`: components, largest, wanted, reached, conflicts."""
    note: str = ""
    """What the user should know when the shares could not be met, or given splits could not be kept; else empty."""


PLAN_COLUMNS = ("id", "messages", "parents", "meta", "method", "language", "split", "dropped_because")
"""What `plan_split` needs to know of a row, beside its position."""


def plan_split(
    rows: Sequence[Mapping[str, Any]], pairs: Iterable[Pair], settings: CurateSettings, seed: int
) -> SplitPlan:
    """Assign every kept one of `rows` (`PLAN_COLUMNS`); `pairs` are the similar ones, dropped rows among them."""
    kept_rows = [row for row in rows if not row["dropped_because"]]
    links = _link(rows, pairs)
    by_position = {row["position"]: row for row in kept_rows}
    parts = [_part([by_position[p] for p in members]) for members in links.members(by_position)]
    num_conflicts = _keep_given_splits(parts, by_position)
    stream(seed, "curate", "split").shuffle(parts)
    _assign(parts, settings.shares)
    assignment = {position: part.split for part in parts for position in part.positions}
    return _plan(assignment, parts, num_conflicts, settings)


def split(frame: Frame, plan: SplitPlan) -> Frame:
    """Write the plan into the column `split`; dropped rows lose theirs."""
    table = pa.table(
        {
            "position": pa.array(plan.assignment.keys(), pa.int64()),
            "planned": pa.array(plan.assignment.values(), pa.string()),
        }
    )
    frame = frame.join(daft.from_arrow(table), on="position", how="left")
    return frame.with_column("split", col("planned").fill_null("")).exclude("planned")


def crossings(examples: Iterable[Example]) -> list[str]:
    """The links that a split has cut: group values, parents and equal prompts seen on more than one side."""
    sides: dict[str, set[str]] = {}
    for example in examples:
        for link in _links_of(example.id, _as_rows(example), example.parents, example.groups):
            sides.setdefault(link, set()).add(example.split)
    return sorted(link for link, splits in sides.items() if len(splits) > 1)


# -- what belongs together -------------------------------------------------------------------------------------------

_DUPLICATE_REASONS = ("exact_duplicate", "near_duplicate")


def _link(rows: Sequence[Mapping[str, Any]], pairs: Iterable[Pair]) -> Components:
    """Rows linked by position. A dropped duplicate still links: what it said lives on in the row that was kept."""
    links = Components()
    positions: dict[str, int] = {}
    for row in rows:
        if row["dropped_because"] and row["dropped_because"] not in _DUPLICATE_REASONS:
            continue
        groups = json.loads(row["meta"]).get("groups") or {}
        for link in _links_of(row["id"], row["messages"], row["parents"], groups):
            links.join(row["position"], positions.setdefault(link, row["position"]))
    for pair in pairs:
        links.join(pair.left, pair.right)
    return links


def _links_of(
    id: str, messages: Sequence[Mapping[str, Any]], parents: Iterable[str], groups: Mapping[str, str]
) -> list[str]:
    """Names of everything that ties a row to others; rows with a name in common belong together."""
    prompt = messages[:-1] if messages and messages[-1]["role"] == "assistant" else messages
    told = canonical_json([[message["role"], message["content"]] for message in prompt])
    origins = [f"row {name}" for name in (id, *parents)]
    return [*origins, *(f"{kind} {value}" for kind, value in groups.items() if value), f"prompt {told}"]


def _as_rows(example: Example) -> list[dict[str, str]]:
    return [{"role": message.role, "content": message.content} for message in example.messages]


def _part(rows: Sequence[Mapping[str, Any]]) -> Part:
    counts: Counter[str] = Counter()
    for row in rows:
        counts.update(_traits(row))
    return Part([row["position"] for row in rows], counts)


def _traits(row: Mapping[str, Any]) -> tuple[str, ...]:
    """In what respects the splits should be alike."""
    return ("", f"{row['method']}", f"{row['method']} in {row['language'] or 'unknown'}")


def _keep_given_splits(parts: Iterable[Part], rows: Mapping[int, Mapping[str, Any]]) -> int:
    """Fix parts whose rows came with a split; returns how many rows have to change theirs.

    Where the rows of one part disagree, the test set wins, then validation: what was held out stays held out.
    """
    num_changed = 0
    for part in parts:
        given = [rows[position]["split"] for position in part.positions if rows[position]["split"]]
        if given:
            part.split = max(given, key=SPLITS.index)
            part.is_fixed = True
            num_changed += sum(name != part.split for name in given)
    return num_changed


# -- the assignment ----------------------------------------------------------------------------------------------------


class _Balance:
    """How far an assignment is from the wanted shares; changes are priced by the traits that they touch."""

    def __init__(self, parts: Sequence[Part], shares: Mapping[str, float]) -> None:
        self.shares = {name: share for name, share in shares.items() if share > 0}
        self._totals = sum((part.counts for part in parts), Counter[str]())
        self._num_parts = Counter(trait for part in parts for trait in part.counts)
        self._counts: dict[str, Counter[str]] = {name: Counter() for name in SPLITS}

    def place(self, part: Part, name: str) -> None:
        """Put a part that is nowhere."""
        part.split = name
        self._counts[name].update(part.counts)

    def move(self, part: Part, name: str) -> None:
        """Put a part elsewhere."""
        self._counts[part.split].subtract(part.counts)
        self.place(part, name)

    def cost(self, traits: Iterable[str], *, present: bool = True) -> float:
        """Sum over `traits` of the squared distances from the wanted shares, and 1 for each absence that need not be."""
        return sum(self._cost_of(trait, present) for trait in traits)

    def _cost_of(self, trait: str, present: bool) -> float:
        total, counts = self._totals[trait], self._counts
        distance = sum((counts[name][trait] / total - share) ** 2 for name, share in self.shares.items())
        if not present or self._num_parts[trait] < 2:
            return distance
        return distance + sum(not counts[name][trait] for name in ("train", "test") if name in self.shares)


def _assign(parts: Sequence[Part], shares: Mapping[str, float]) -> None:
    """Largest parts first, each to where it is missed most; then move, and swap, while that helps."""
    balance = _Balance(parts, shares)
    free = sorted((part for part in parts if not part.is_fixed), key=lambda part: -part.counts[""])
    for part in parts:
        if part.is_fixed:
            balance.place(part, part.split)
    for part in free:
        costs = {}
        for name in balance.shares:
            (balance.move if part.split else balance.place)(part, name)
            costs[name] = balance.cost(part.counts, present=False)
        balance.move(part, min(costs, key=lambda name: costs[name]))
    for _ in range(MAX_IMPROVEMENTS):
        improved = [_improve(balance, [part], [[name] for name in balance.shares]) for part in free]
        if len(free) <= MAX_SWAPPED_COMPONENTS:
            pairs = [list(pair) for pair in combinations(free, 2)]
            improved += [_improve(balance, [a, b], [[b.split, a.split]]) for a, b in pairs if a.split != b.split]
        if not any(improved):
            break


def _improve(balance: _Balance, parts: list[Part], choices: list[list[str]]) -> bool:
    """Try each choice of splits for `parts` and take the best, if it is better than where they are."""
    traits = set().union(*(part.counts for part in parts))
    start = [part.split for part in parts]
    # Sorted, so that sums of floats do not depend on the order of a set.
    ordered = sorted(traits)
    best, best_cost = start, balance.cost(ordered) - 1e-9
    for choice in choices:
        for part, name in zip(parts, choice, strict=True):
            balance.move(part, name)
        cost = balance.cost(ordered)
        if cost < best_cost:
            best, best_cost = choice, cost
    for part, name in zip(parts, best, strict=True):
        balance.move(part, name)
    return best is not start


def _plan(
    assignment: Mapping[int, str], parts: Sequence[Part], num_conflicts: int, settings: CurateSettings
) -> SplitPlan:
    num_rows = max(len(assignment), 1)
    counts = Counter(assignment.values())
    reached = {name: counts[name] / num_rows for name in SPLITS}
    largest = max((len(part.positions) for part in parts), default=0)
    groups = {
        "components": len(parts),
        "largest": largest,
        "wanted": dict(settings.shares),
        "reached": reached,
        "conflicts": num_conflicts,
    }
    notes = []
    missed = any(
        abs(reached[name] - share) > TOLERANCE or (share and not counts[name])
        for name, share in settings.shares.items()
    )
    if assignment and missed:
        wanted = " / ".join(f"{share:.0%}" for share in settings.shares.values())
        found = " / ".join(f"{share:.0%}" for share in reached.values())
        notes.append(
            f"the split into train / validation / test is {found} instead of {wanted}: the {len(assignment)} rows form "
            f"{len(parts)} sets that must stay together (same document, template, seed, parent or nearly the same text), and "
            f"the largest has {largest} rows; more, and more varied, documents and seeds make smaller sets"
        )
    if num_conflicts:
        notes.append(
            f"{num_conflicts} rows came with a split but belong together with rows of another one: they were moved to the "
            "held-out side, so that training does not see what the test asks"
        )
    return SplitPlan(assignment, groups, "; ".join(notes))
