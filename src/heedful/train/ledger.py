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
    return SplitLedger(
        examples=len(rows),
        tokens=tokens,
        trained=trained,
        masked=tokens - trained,
        truncated_examples=sum(row.num_truncated > 0 for row in rows),
        truncated_tokens=sum(row.num_truncated for row in rows),
        end_of_turn=sum(row.num_end_of_turn for row in rows),
        lost_end_of_turn=sum(row.num_lost_end_of_turn for row in rows),
        untrained_examples=tuple(row.id for row in rows if not row.num_trained),
    )


def as_dict(ledgers: Mapping[str, SplitLedger]) -> dict[str, Any]:
    """The ledger as it is written to ledger.json."""
    return {
        split: {**asdict(entry), "untrained_examples": list(entry.untrained_examples)}
        for split, entry in ledgers.items()
    }


def describe(ledgers: Mapping[str, SplitLedger]) -> str:
    """A small aligned table, one line for each count, and a line for whatever was cut off or left out."""
    names = [name for name in SplitLedger.__slots__ if name != "untrained_examples"]
    rows = [["token ledger", *ledgers]]
    for name in names:
        rows.append([name.replace("_", " "), *(f"{getattr(entry, name):,}" for entry in ledgers.values())])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    for split, entry in ledgers.items():
        if entry.untrained_examples:
            lines.append(f"left out of {split}, nothing of the answer remains: {_ids(entry.untrained_examples)}")
    return "\n".join(lines)


def check(ledger: SplitLedger, *, max_length: int) -> None:
    """Raise NothingToTrainError when training on the split would teach nothing, or never to stop."""
    if ledger.examples == 0:
        raise NothingToTrainError(
            "no row has the split 'train'; run `heedful curate`, which splits rows, or import rows"
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
