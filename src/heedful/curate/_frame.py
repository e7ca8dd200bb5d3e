"""Examples as a Daft data frame, and how a step marks the rows that it drops.

A frame has the columns of `records.EXAMPLE_SCHEMA` and three more: `position` (the row's place in the input, which is
its identity here and restores the order after joins), `dropped_because` (empty while the row is kept) and
`dropped_detail`. Steps take and return such a frame; no step deletes a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

import daft
import pyarrow as pa
from daft import col
from daft import functions as daft_functions

from heedful.records import EXAMPLE_SCHEMA, Example, example_from_row, examples_to_table

Frame: TypeAlias = daft.DataFrame

TEXT = daft.DataType.string()
NORMALISED = daft.DataType.struct(
    {"messages": daft.DataType.list(daft.DataType.struct({"role": TEXT, "content": TEXT})), "content_hash": TEXT}
)
REJECT = daft.DataType.struct({"reason": TEXT, "detail": TEXT})


class Reject(NamedTuple):
    """Why a row is dropped: `reason` is counted in the funnel, `detail` helps who looks at the single row."""

    reason: str
    detail: str = ""


def frame_of(examples: Iterable[Example]) -> Frame:
    """A frame in which every row is kept so far."""
    table = examples_to_table(examples)
    table = table.append_column("position", pa.array(range(table.num_rows), pa.int64()))
    for name in ("dropped_because", "dropped_detail"):
        table = table.append_column(name, pa.array([""] * table.num_rows, pa.string()))
    return daft.from_arrow(table)


def rows_of(frame: Frame, *columns: str) -> list[dict[str, Any]]:
    """The rows in input order; only `columns` and `position` where columns are named."""
    selected = frame.select("position", *columns) if columns else frame
    rows: list[dict[str, Any]] = selected.sort("position").to_pylist()
    return rows


def kept(frame: Frame) -> Frame:
    """The rows that no step has dropped so far."""
    return frame.where(col("dropped_because") == "")


def per_example(function: Callable[[Example], Any], dtype: Any) -> Any:
    """A column expression: `function` of each row as an Example.

    In this process: worker processes would each import torch's relatives and pay more than the work itself.
    """

    def of_row(row: Mapping[str, Any]) -> Any:
        return function(example_from_row(row))

    columns = [col(name) for name in EXAMPLE_SCHEMA.names]
    return daft.func(return_dtype=dtype, use_process=False)(of_row)(daft_functions.to_struct(*columns))


def drop_where(frame: Frame, reject: Any) -> Frame:
    """Mark the rows kept so far for which the column expression `reject` (a `REJECT` struct or null) is not null."""
    frame = frame.with_column("reject", reject)
    fresh = (col("dropped_because") == "") & col("reject").get("reason").not_null()
    marks = {
        name: daft_functions.when(fresh, col("reject").get(part)).otherwise(col(name))
        for name, part in (("dropped_because", "reason"), ("dropped_detail", "detail"))
    }
    return frame.with_columns(marks).exclude("reject")


def drop_positions(frame: Frame, rejects: Mapping[int, Reject]) -> Frame:
    """Mark the rows at the given positions."""
    if not rejects:
        return frame
    table = pa.table(
        {
            "position": pa.array(rejects.keys(), pa.int64()),
            "found_reason": pa.array([reject.reason for reject in rejects.values()], pa.string()),
            "found_detail": pa.array([reject.detail for reject in rejects.values()], pa.string()),
        }
    )
    frame = frame.join(daft.from_arrow(table), on="position", how="left")
    reject = daft_functions.to_struct(reason=col("found_reason"), detail=col("found_detail"))
    return drop_where(frame, reject).exclude("found_reason", "found_detail")
