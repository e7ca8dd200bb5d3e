"""Which tokens of which rows are trained, and that the prompts of training are those of use, token by token.

Refused, because tuning would teach something else than what was written: nothing trained at all, an answer without its end
of turn, a template that rewrites what was said or writes the date, prompts that differ in use.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from heedful.errors import HeedfulError, NothingToTrainError, TemplateMismatchError
from heedful.models import LoadedModel, load
from heedful.project import Watcher
from heedful.records import Example, Message
from heedful.render import PairRenderer, Renderer, refuse_dated, renderer_for
from heedful.train.lessons import as_said
from heedful.train.objectives.seq2seq import PairRow
from heedful.train.rows import ledger as token_ledger
from heedful.train.rows.batches import TokenRow
from heedful.train.rows.too_long import fitted
from heedful.train.settings import TuneSettings

SPLITS = ("train", "validation")
_CHATS = (Message("user", "Hi."), Message("assistant", "Yes?"), Message("user", "Bye."), Message("assistant", "Bye."))


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens that are all trained, or all not; a character of several tokens stands as one."""

    tokens: tuple[str, ...]
    trained: bool


@dataclass(frozen=True, slots=True)
class MaskedRow:
    """A row as it is trained."""

    id: str
    source: str
    split: str
    part: int
    """Which part of its example, from 0."""
    stretches: tuple[Stretch, ...]
    num_tokens: int
    num_trained: int
    num_end_of_turn: int


@dataclass(frozen=True, slots=True)
class MaskProof:
    """What was shown and what was found."""

    model: str
    template_hash: str
    end_of_turn: tuple[str, ...]
    """Tokens at which answers stop in use; the first is the one that is trained."""
    ledger: dict[str, Any]
    """By split, as in ledger.json."""
    table: str
    """The same for people."""
    num_prompts: int
    """Prompts that were found equal in training and in use."""
    rows: tuple[MaskedRow, ...]
    warnings: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def prove_mask(
    examples: Sequence[Example],
    settings: TuneSettings,
    *,
    seed: int,
    watcher: Watcher,
    served: str = "",
    limit: int = 3,
    id: str = "",
) -> MaskProof:
    """Check all rows of the splits that training reads, and show `limit` of them, or those whose ids begin with `id`.

    `served`: the model that is asked in use; by default the one that is tuned. Rows without a split count as training rows.
    Raises NothingToTrainError, ModelError or TemplateMismatchError for what is refused.
    """
    loaded = load(settings.model, watcher=watcher)
    renderer = renderer_for(loaded)
    refuse_dated(renderer)
    examples = [example for example in examples if example.split in ("", *SPLITS)]
    said, _ = as_said(examples, settings, renderer, (), seed=seed, watcher=watcher)
    by_split: dict[str, tuple[list[Example], Sequence[TokenRow | PairRow]]] = {
        split: fitted([row for row in said if (row.split or "train") == split], renderer, settings) for split in SPLITS
    }
    ledgers = {split: token_ledger.count(rows) for split, (_, rows) in by_split.items()}
    token_ledger.check(ledgers["train"], max_length=settings.max_length)
    every = [(split, row) for split, (_, rows) in by_split.items() for row in rows]
    _refuse_endless([row for _, row in every], settings)
    in_use = renderer_for(load(served, watcher=watcher)) if served else renderer_for(loaded)
    num_prompts = sum(_compare(example, renderer, in_use) for split in SPLITS for example in by_split[split][0])
    shown = [(split, row) for split, row in every if row.num_tokens and row.id.startswith(id)][:limit]
    return MaskProof(
        model=loaded.name,
        template_hash=renderer.template_hash,
        end_of_turn=tuple(map(renderer.token, renderer.end_of_turn_ids)),
        ledger=token_ledger.as_dict(ledgers),
        table=token_ledger.describe(ledgers),
        num_prompts=num_prompts,
        rows=tuple(_masked(split, row, loaded) for split, row in shown),
        warnings=tuple(_warnings(renderer, by_split)),
    )


def _refuse_endless(rows: Sequence[TokenRow | PairRow], settings: TuneSettings) -> None:
    endless = [row.id for row in rows if row.num_trained and row.num_lost_end_of_turn]
    if endless:
        more = f" and {len(endless) - 5:,} more" if len(endless) > 5 else ""
        raise NothingToTrainError(
            f"{len(endless):,} of {len(rows):,} rows are trained without an end of turn, which was cut off after "
            f"max_length = {settings.max_length:,} tokens: the model would learn to run on. Set tune.too_long to 'drop' or "
            f"'split', or raise tune.max_length. Rows: {', '.join(endless[:5])}{more}"
        )


def _compare(example: Example, renderer: Renderer, in_use: Renderer) -> int:
    """How many prompts of `example` were found equal; raises TemplateMismatchError at the first that is not."""
    messages = example.messages
    answers = [number for number, message in enumerate(messages) if message.role == "assistant"]
    if not answers:
        return 0
    pairs = isinstance(renderer, PairRenderer)
    whole = [] if pairs else renderer.render(messages).input_ids
    for number in answers:
        asked = in_use.prompt_ids(messages[:number])
        trained = renderer.pair(messages[: number + 1]).source_ids if pairs else whole[: len(asked)]
        if asked != trained:
            place = next((i for i, (a, b) in enumerate(zip(asked, trained, strict=False)) if a != b), len(trained))
            raise TemplateMismatchError(
                f"example {example.id}: what is trained before message {number + 1} is not what is asked in use: token "
                f"{place + 1} is {_shown(renderer, trained, place)} in training and {_shown(in_use, asked, place)} in use; "
                "bring back the tokenizer and template that belong together, or train again"
            )
    if renderer.end_of_turn_ids[0] not in in_use.end_of_turn_ids:
        raise TemplateMismatchError(
            "the end of turn that is trained is not one at which answers stop in use; bring back the tokenizer that the "
            "model was trained with, or train again"
        )
    return len(answers)


def _shown(renderer: Renderer, ids: Sequence[int], place: int) -> str:
    return repr(renderer.token(ids[place])) if place < len(ids) else "none"


def _warnings(
    renderer: Renderer, by_split: dict[str, tuple[list[Example], Sequence[TokenRow | PairRow]]]
) -> Iterator[str]:
    try:
        if not isinstance(renderer, PairRenderer):
            renderer.render(_CHATS)
    except HeedfulError as error:
        yield f"conversations of several turns are refused: {error}"
    for split, (_, rows) in by_split.items():
        untrained = sum(row.num_tokens > 0 and not row.num_trained for row in rows)
        if untrained:
            yield f"{untrained:,} rows of {split} have nothing to train and are left out"
    if not by_split["validation"][1]:
        yield "no validation rows: nothing would tell which weights are the best"


def _masked(split: str, row: TokenRow | PairRow, loaded: LoadedModel) -> MaskedRow:
    if isinstance(row, PairRow):
        ids = (*row.source_ids, *row.target_ids)
        mask = (*[False] * len(row.source_ids), *[row.weight > 0] * len(row.target_ids))
        part = 0
    else:
        ids, mask, part = row.input_ids, row.loss_mask, row.part
    pieces = _pieces(loaded.tokenizer, ids, mask)
    return MaskedRow(
        id=row.id,
        source=row.source,
        split=split,
        part=part,
        stretches=tuple(
            Stretch(tuple(text for text, _ in group), trained)
            for trained, group in groupby(pieces, key=lambda piece: piece[1])
        ),
        num_tokens=row.num_tokens,
        num_trained=row.num_trained,
        num_end_of_turn=row.num_end_of_turn,
    )


def _pieces(tokenizer: Any, ids: Sequence[int], mask: Sequence[bool]) -> Iterator[tuple[str, bool]]:
    """Texts of tokens, control tokens too. Read behind the token before, which is how a space at the beginning shows."""

    def text_of(some: Sequence[int]) -> str:
        return str(tokenizer.decode(list(some), skip_special_tokens=False, clean_up_tokenization_spaces=False))

    start = 0
    for end in range(1, len(ids) + 1):
        before = ids[max(start - 1, 0) : start]
        text = text_of([*before, *ids[start:end]])[len(text_of(before)) :]
        goes_on = end < len(ids) and mask[end] == mask[start] and end - start < 4
        if text.endswith("\ufffd") and goes_on:
            continue  # A part of a character.
        yield text, mask[start]
        start = end
