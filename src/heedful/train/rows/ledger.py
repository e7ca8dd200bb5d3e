"""The token ledger: what training will and will not learn from, counted before it begins.

It answers the questions that decide whether tuning can work at all: is anything trained, is the end of an answer
trained (else the model never learns to stop), and what did the length limit cut off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from heedful.errors import NothingToTrainError

# More ids than this are only counted on screen; ledger.json holds them all.
_MAX_IDS_SAID = 10


@dataclass(frozen=True, slots=True)
class SplitLedger:
    """Counts of one split; `tokens` = `trained` + `masked`, what was cut off not included."""

    examples: int
    tokens: int
    trained: int
    """Tokens that count in the loss: answers and their ends of turn."""
    masked: int
    """Tokens that are read but not trained: prompts and the template's own."""
    truncated_examples: int
    truncated_tokens: int
    end_of_turn: int
    """Ends of turn that are trained."""
    lost_end_of_turn: int
    """Ends of turn that were cut off."""
    untrained_examples: tuple[str, ...]
    """Ids of rows of which nothing is trained; they are left out of training."""
    dropped_examples: tuple[str, ...] = ()
    """Ids of rows that are left out for their length (`tune.too_long`)."""
    dropped_tokens: int = 0
    split_examples: int = 0
    """Parted for their length."""
    split_rows: int = 0
    """Rows that these became."""


class Counted(Protocol):
    """What the ledger must know of a row."""

    @property
    def id(self) -> str: ...

    @property
    def num_tokens(self) -> int: ...

    @property
    def num_trained(self) -> int: ...

    @property
    def num_truncated(self) -> int: ...

    @property
    def num_end_of_turn(self) -> int: ...

    @property
    def num_lost_end_of_turn(self) -> int: ...


def count(rows: Sequence[Counted]) -> SplitLedger:
    """The ledger of one split."""
    tokens = sum(row.num_tokens for row in rows)
    trained = sum(row.num_trained for row in rows)
    dropped = [row for row in rows if row.num_truncated and not row.num_tokens]
    truncated = [row for row in rows if row.num_truncated and row.num_tokens]
    # The second part of an example is there once for each that was parted.
    parts = [getattr(row, "part", 0) for row in rows]
    return SplitLedger(
        examples=sum(part == 0 for part in parts),
        tokens=tokens,
        trained=trained,
        masked=tokens - trained,
        truncated_examples=len(truncated),
        truncated_tokens=sum(row.num_truncated for row in truncated),
        end_of_turn=sum(row.num_end_of_turn for row in rows),
        lost_end_of_turn=sum(row.num_lost_end_of_turn for row in rows),
        untrained_examples=tuple(row.id for row in rows if row.num_tokens and not row.num_trained),
        dropped_examples=tuple(row.id for row in dropped),
        dropped_tokens=sum(row.num_truncated for row in dropped),
        split_examples=parts.count(1),
        split_rows=parts.count(1) + sum(part > 0 for part in parts),
    )


def as_dict(ledgers: Mapping[str, SplitLedger]) -> dict[str, Any]:
    """The ledger as it is written to ledger.json."""
    return {
        split: {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(entry).items()}
        for split, entry in ledgers.items()
    }


def describe(ledgers: Mapping[str, SplitLedger]) -> str:
    """A small aligned table, one line for each count, and a line for whatever was cut off or left out."""
    names = [name for name in SplitLedger.__slots__ if name != "untrained_examples"]
    rows = [["token ledger", *ledgers]]
    for name in names:
        values = [getattr(entry, name) for entry in ledgers.values()]
        counts = [len(value) if isinstance(value, tuple) else value for value in values]
        rows.append([name.replace("_", " "), *(f"{count:,}" for count in counts)])
    lines = aligned(rows)
    for split, entry in ledgers.items():
        if entry.untrained_examples:
            lines.append(f"left out of {split}, nothing of the answer remains: {_ids(entry.untrained_examples)}")
        if entry.dropped_examples:
            lines.append(f"left out of {split}, longer than tune.max_length: {_ids(entry.dropped_examples)}")
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others, numbers all, to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def check(ledger: SplitLedger, *, max_length: int) -> None:
    """Raise NothingToTrainError when training on the split would teach nothing, or never to stop."""
    if ledger.examples == 0:
        raise NothingToTrainError(
            "no row has the split 'train'; run `heedful curate`, which splits rows, or import rows"
        )
    if ledger.trained == 0 and ledger.dropped_examples:
        raise NothingToTrainError(
            f"nothing would be trained: {len(ledger.dropped_examples)} of {ledger.examples} rows are longer than max_length = "
            f"{max_length} tokens and were left out; raise tune.max_length, or set tune.too_long to 'split'. Rows: "
            f"{_ids(ledger.dropped_examples)}"
        )
    if ledger.trained == 0:
        cause = (
            f"{ledger.truncated_examples} of {ledger.examples} rows were cut after max_length = {max_length} tokens, "
            "before their answers; raise tune.max_length"
            if ledger.truncated_examples
            else "no row holds an answer (a message with role 'assistant') with a weight above zero; add answers"
        )
        raise NothingToTrainError(f"nothing would be trained: {cause}. Rows: {_ids(ledger.untrained_examples)}")
    if ledger.end_of_turn == 0:
        raise NothingToTrainError(
            f"no end of turn would be trained, so the model would never learn to stop: all {ledger.lost_end_of_turn} "
            f"were cut off after max_length = {max_length} tokens; raise tune.max_length, or shorten the rows"
        )


def _ids(ids: Sequence[str]) -> str:
    more = len(ids) - _MAX_IDS_SAID
    return ", ".join(ids[:_MAX_IDS_SAID]) + (f" and {more} more" if more > 0 else "")
