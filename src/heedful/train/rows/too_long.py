"""Examples -> rows of at most `tune.max_length` tokens; what becomes of longer ones is the user's choice, and counted.

    drop    left out whole, and named in the ledger: what is trained is trained to its end
    split   a conversation between its turns, each part with the system message before it; an answer that is too long by itself
            as windows of tokens, of which each begins with what came before (a quarter of it), read but not trained
    cut     the end is cut off, the end of turn with it: a model that sees many such rows learns not to stop
    error   refused, with the example's id

A row that is too long only by what follows its last end of turn (a line feed of the template) loses just that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from heedful.errors import InputError, SettingsError
from heedful.records import Example, Message
from heedful.render import PairRenderer, Renderer
from heedful.train.objectives.instruction import ends_of_turn, rows
from heedful.train.objectives.seq2seq import PairRow, pair_rows
from heedful.train.rows.batches import TokenRow
from heedful.train.settings import TuneSettings

_ANY_LENGTH = 2**62
_CONTEXT = 4
"""One part of a window in so many is context."""


def fitted(
    examples: Iterable[Example], renderer: Renderer, settings: TuneSettings
) -> tuple[list[Example], list[TokenRow] | list[PairRow]]:
    """Rows, and the example of each: one that was split comes once for each of its rows, with the messages of that part."""
    if settings.too_long == "split" and isinstance(renderer, PairRenderer):
        raise SettingsError(
            "tune.too_long = 'split' needs a decoder-only model: an encoder reads a prompt whole; use 'drop' or 'cut'"
        )
    if settings.too_long == "split" and settings.negative_weight:
        raise SettingsError(
            "tune.too_long = 'split' and tune.negative_weight are both set: a wrong output is wrong after its whole prompt "
            "only; use tune.too_long = 'drop', or set tune.negative_weight = 0"
        )
    found = [pair for example in examples for pair in _rows_of(example, renderer, settings)]
    return [example for example, _ in found], [row for _, row in found]


def _rows_of(example: Example, renderer: Renderer, settings: TuneSettings) -> Iterator[tuple[Example, Any]]:
    render: Any = pair_rows if isinstance(renderer, PairRenderer) else rows
    limit = settings.max_length
    for whole in render([example], renderer, max_length=_ANY_LENGTH):
        if whole.num_tokens <= limit:
            yield example, whole
        elif (num_needed := _num_needed(whole)) <= limit or settings.too_long == "cut":
            yield example, _cut(whole, limit)
        elif settings.too_long == "error":
            raise InputError(
                f"example {example.id} from {example.source} has {num_needed:,} tokens to its last end of turn, more than "
                f"tune.max_length = {limit:,}; raise that, or set tune.too_long to 'drop', 'split' or 'cut'"
            )
        elif settings.too_long == "drop":
            yield example, _nothing_of(whole)
        else:
            for part, (owner, row) in enumerate(_split(example, renderer, limit)):
                yield owner, replace(row, part=part)


def _num_needed(row: TokenRow | PairRow) -> int:
    """Tokens up to the last one that is trained, or all where none is."""
    if isinstance(row, PairRow) or not row.num_trained:
        return row.num_tokens
    return max(place for place, trained in enumerate(row.loss_mask) if trained) + 1


def _nothing_of(row: TokenRow | PairRow) -> TokenRow | PairRow:
    lost: dict[str, Any] = {
        "num_end_of_turn": 0,
        "num_lost_end_of_turn": row.num_end_of_turn,
        "num_truncated": row.num_tokens,
    }
    if isinstance(row, PairRow):
        return replace(row, source_ids=(), target_ids=(), **lost)
    return replace(row, input_ids=(), loss_mask=(), **lost)


def _cut(row: TokenRow | PairRow, limit: int) -> TokenRow | PairRow:
    num_cut = row.num_tokens - limit
    if isinstance(row, PairRow):
        source = row.source_ids[:limit]
        return replace(
            row,
            source_ids=source,
            target_ids=row.target_ids[: limit - len(source)],
            num_end_of_turn=0,
            num_lost_end_of_turn=row.num_end_of_turn,
            num_truncated=num_cut,
        )
    kept = _part(row, 0, limit, 0)
    return replace(kept, num_lost_end_of_turn=row.num_end_of_turn - kept.num_end_of_turn, num_truncated=num_cut)


# -- splitting -----------------------------------------------------------------------------------------------------------


def _split(example: Example, renderer: Renderer, limit: int) -> Iterator[tuple[Example, TokenRow]]:
    """As many exchanges at once as fit; one that does not fit by itself in windows of tokens."""
    head, exchanges = _exchanges(example.messages)
    while exchanges:
        best: tuple[int, Example, TokenRow] | None = None
        for number in range(1, len(exchanges) + 1):
            messages = (*head, *(message for exchange in exchanges[:number] for message in exchange))
            part = replace(example, messages=messages)
            [row] = rows([part], renderer, max_length=_ANY_LENGTH)
            fits = _num_needed(row) <= limit
            if fits or number == 1:
                best = (number, part, row)
            if not fits:
                break
        assert best is not None
        number, part, row = best
        exchanges = exchanges[number:]
        for one in [row] if row.num_tokens <= limit else windows(row, limit):
            yield part, one


def _exchanges(messages: Sequence[Message]) -> tuple[tuple[Message, ...], list[tuple[Message, ...]]]:
    """What stands before the first question, and the stretches that end with an answer; what follows the last is one, too."""
    first = next((place for place, message in enumerate(messages) if message.role == "user"), len(messages))
    exchanges: list[tuple[Message, ...]] = []
    begin = first
    for place in range(first, len(messages)):
        if messages[place].role == "assistant" or place + 1 == len(messages):
            exchanges.append(tuple(messages[begin : place + 1]))
            begin = place + 1
    return tuple(messages[:first]), exchanges


def windows(row: TokenRow, limit: int) -> list[TokenRow]:
    """Windows of at most `limit` tokens in which every trained token of `row` is trained exactly once."""
    found = []
    start = done = 0
    end = _num_needed(row)
    while done < end:
        stop = min(start + limit, end)
        if any(row.loss_mask[done:stop]):
            found.append(_part(row, start, stop, done))
        # One token before it at least: nothing else could predict the next.
        start, done = stop - max(limit // _CONTEXT, 1), stop
    return found


def _part(row: TokenRow, start: int, stop: int, done: int) -> TokenRow:
    """Tokens `start` to `stop`, trained from `done` on."""
    trained = tuple(place >= done and row.loss_mask[place] for place in range(start, stop))
    return replace(
        row,
        input_ids=row.input_ids[start:stop],
        loss_mask=trained,
        num_end_of_turn=ends_of_turn(trained, row.loss_mask[start:]),
        num_lost_end_of_turn=0,
    )
