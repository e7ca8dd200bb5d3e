"""Step: of rows that say exactly the same, one stays: an imported one before a constructed one, then the first."""

from __future__ import annotations

from daft import Window, col
from daft.functions import when

from heedful.curate._frame import Frame, Reject, drop_positions, kept


def precedence(frame: Frame) -> Frame:
    """Adds `rank`: the lower, the rather a row is kept. Rows without parents came from people; they go first."""
    num_rows = frame.count_rows()
    # Not list_count(): Daft imports torch, five seconds, to tell that its counting mode is no tensor.
    is_derived = col("parents").length() > 0
    return frame.with_column("rank", when(is_derived, col("position") + num_rows).otherwise(col("position")))


def exact_duplicates(frame: Frame) -> Frame:
    """Drop rows whose id (`same_id`) or content (`exact_duplicate`) an earlier kept row has."""
    for column, reason in (("id", "same_id"), ("content_hash", "exact_duplicate")):
        frame = _first_of_each(frame, column, reason).collect()
    return frame


def _first_of_each(frame: Frame, column: str, reason: str) -> Frame:
    ranked = precedence(kept(frame)).select("position", "id", "rank", col(column).alias("said"))
    ranked = ranked.with_column("first_rank", col("rank").min().over(Window().partition_by("said")))
    firsts = ranked.where(col("rank") == col("first_rank")).select("first_rank", col("id").alias("first_id"))
    rest = ranked.where(col("rank") != col("first_rank")).join(firsts, on="first_rank")
    rejects = {row["position"]: Reject(reason, f"of {row['first_id']}") for row in rest.to_pylist()}
    return drop_positions(frame, rejects)
