"""All steps in their order: curate(examples, settings, seed=..., watcher=...) -> kept, dropped, funnel.

The same examples in the same order give the same result. In another order they may not: of two duplicates, the first
stays, and the split draws on the order of its components.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from daft import col

from heedful.curate._frame import Frame, frame_of, kept, rows_of
from heedful.curate.exact_duplicates import exact_duplicates
from heedful.curate.funnel import funnel_of, step_counts
from heedful.curate.near_duplicates import near_duplicates, similar_pairs
from heedful.curate.normalise import normalise, num_changed
from heedful.curate.rules import rules
from heedful.curate.settings import CurateSettings
from heedful.curate.split import PLAN_COLUMNS, crossings, plan_split, split
from heedful.project.progress import Silent, Steps, Watcher, steps
from heedful.records import Example, example_from_row

Step = Callable[[Frame], Frame]


@dataclass(frozen=True)
class CurateResult:
    """Every row that came in, once: in `kept` or in `dropped`, both in input order."""

    kept: list[Example]
    """Normalised, each with its split."""
    dropped: list[tuple[Example, str]]
    """Each with its reason; `meta["dropped"]` of the example holds reason and detail."""
    funnel: dict[str, Any]
    """Counts: steps, received, kept, dropped, splits, methods, groups (see `funnel_of`)."""


def curate(
    examples: Sequence[Example], settings: CurateSettings, *, seed: int, watcher: Watcher | None = None
) -> CurateResult:
    """Normalise, drop with reasons, split. Says through `watcher` when the split cannot be what was asked."""
    watcher = watcher or Silent()
    with steps(watcher, "curate", total=5, unit="steps") as progress:
        track = _Track(frame_of(examples), progress)
        before = track.frame
        track.apply("normalise", normalise)
        track.counts[-1]["changed"] = num_changed(before, track.frame)
        track.apply("rules", lambda frame: rules(frame, settings))
        track.apply("exact_duplicates", exact_duplicates)
        pairs = similar_pairs(track.frame, settings.split_threshold)
        track.apply("near_duplicates", lambda frame: near_duplicates(frame, pairs, settings.near_duplicate_threshold))
        plan = plan_split(rows_of(track.frame, *PLAN_COLUMNS), pairs, settings, seed)
        track.apply("split", lambda frame: split(frame, plan))
    if plan.note:
        watcher.say(plan.note)
    return _result(track, plan.groups)


class _Track:
    """The frame on its way through the steps, and what each step did to it."""

    def __init__(self, frame: Frame, progress: Steps) -> None:
        self.frame = frame
        self.counts: list[dict[str, Any]] = []
        self._progress = progress

    def apply(self, name: str, step: Step) -> None:
        num_received = kept(self.frame).count_rows()
        so_far = self._num_dropped()
        # Collected after every step: otherwise each later look at the frame would redo all steps before it.
        self.frame = step(self.frame).collect()
        now = self._num_dropped()
        reasons = {
            reason: count - so_far.get(reason, 0) for reason, count in now.items() if count > so_far.get(reason, 0)
        }
        self.counts.append(step_counts(name, num_received, reasons))
        self._progress.advance(note=name)

    def _num_dropped(self) -> dict[str, int]:
        dropped = self.frame.where(col("dropped_because") != "").select("dropped_because", "position")
        counted = dropped.groupby("dropped_because").agg(col("position").count().alias("rows"))
        return {row["dropped_because"]: row["rows"] for row in counted.to_pylist()}


def _result(track: _Track, groups: dict[str, Any]) -> CurateResult:
    kept_examples, dropped = [], []
    for row in rows_of(track.frame):
        example, reason = example_from_row(row), row["dropped_because"]
        if reason:
            note = {"reason": reason, "detail": row["dropped_detail"]}
            dropped.append((example.with_meta(dropped=note), reason))
        else:
            kept_examples.append(example)
    cut = crossings(kept_examples)
    assert not cut, f"the split separates rows that belong together: {cut[:3]}"
    funnel = funnel_of(track.counts, kept_examples, groups)
    assert len(kept_examples) + len(dropped) == funnel["received"], "a row was lost"
    return CurateResult(kept_examples, dropped, funnel)
