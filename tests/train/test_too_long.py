"""Rows that are longer than tune.max_length: what becomes of them under each policy, and that the ledger says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from heedful.errors import InputError, NothingToTrainError, SettingsError
from heedful.models.scratch import byte_tokenizer
from heedful.records import Example, Message
from heedful.render import PairRenderer, Renderer
from heedful.train import TuneSettings, tune
from heedful.train.rows import ledger as token_ledger
from heedful.train.rows.batches import TokenRow
from heedful.train.rows.too_long import fitted, windows

RENDERER = Renderer(byte_tokenizer())
HEAD, ANSWER, TAIL = 17, 3, 1
"""Tokens of `hi` with its head, of `yo` with its end of turn, and of the line feed behind it; test_ledger.py counts them."""


def exchange(number: int) -> tuple[Message, Message]:
    return Message("user", "hi"), Message("assistant", "yo" if number == 0 else "no")


def parted(messages: tuple[Message, ...], limit: int, policy: Any) -> tuple[list[Example], list[Any]]:
    settings = TuneSettings(max_length=limit, too_long=policy)
    examples, rows = fitted([Example("e", messages, "import", "file")], RENDERER, settings)
    return examples, list(rows)


def trained_text(row: TokenRow) -> str:
    return RENDERER.decode([index for index, trained in zip(row.input_ids, row.loss_mask, strict=True) if trained])


@pytest.mark.parametrize("policy", ["drop", "split", "cut", "error"])
def test_what_fits_is_the_same_under_every_policy(policy: str) -> None:
    for limit in (HEAD + ANSWER + TAIL, HEAD + ANSWER):
        _, [row] = parted(exchange(0), limit, policy)
        assert (row.num_tokens, row.num_trained, row.num_end_of_turn, row.part) == (limit, ANSWER, 1, 0)
        assert row.num_truncated == HEAD + ANSWER + TAIL - limit, "only the line feed after the end of turn"


def test_drop_leaves_out_the_whole_row_and_names_it() -> None:
    examples, rows = parted((*exchange(0), *exchange(1)), HEAD + ANSWER, "drop")
    assert [example.id for example in examples] == ["e"]
    ledger = token_ledger.count(rows)
    assert (ledger.examples, ledger.tokens, ledger.trained) == (1, 0, 0)
    assert (ledger.dropped_examples, ledger.dropped_tokens) == (("e",), 2 * (HEAD + ANSWER + TAIL))
    assert (ledger.truncated_examples, ledger.untrained_examples, ledger.lost_end_of_turn) == (0, (), 2)
    assert "longer than tune.max_length: e" in token_ledger.describe({"train": ledger})
    with pytest.raises(NothingToTrainError, match=r"1 of 1 rows are longer than max_length = 20 .* Rows: e"):
        token_ledger.check(ledger, max_length=HEAD + ANSWER)


def test_cut_loses_the_end() -> None:
    _, [row] = parted(exchange(0), HEAD + 2, "cut")
    assert (row.num_tokens, row.num_trained, row.num_end_of_turn, row.num_lost_end_of_turn) == (HEAD + 2, 2, 0, 1)
    ledger = token_ledger.count([row])
    assert (ledger.truncated_examples, ledger.truncated_tokens) == (1, 2)


def test_error_names_the_row_and_its_length() -> None:
    with pytest.raises(InputError, match=r"example e from file has 20 tokens .* tune.max_length = 19"):
        parted(exchange(0), HEAD + ANSWER - 1, "error")


def test_split_parts_a_conversation_between_its_turns() -> None:
    system = Message("system", "S")
    messages = (system, *exchange(0), *exchange(1), *exchange(0))
    whole = RENDERER.render(messages)
    num_system = len(whole.input_ids) - 3 * (HEAD + ANSWER + TAIL)
    examples, rows = parted(messages, num_system + 2 * (HEAD + ANSWER + TAIL), "split")
    assert [example.messages for example in examples] == [
        (system, *exchange(0), *exchange(1)),
        (system, *exchange(0)),
    ]
    for example, row in zip(examples, rows, strict=True):
        assert list(row.input_ids) == RENDERER.render(example.messages).input_ids, "each part is a conversation"
    ledger = token_ledger.count(rows)
    assert (ledger.examples, ledger.split_examples, ledger.split_rows) == (1, 1, 2)
    assert (ledger.end_of_turn, ledger.lost_end_of_turn, ledger.truncated_tokens) == (3, 0, 0)


def test_split_reads_a_long_answer_in_windows() -> None:
    answer = "".join(chr(ord("a") + number % 26) for number in range(100))
    examples, rows = parted((Message("user", "hi"), Message("assistant", answer)), 40, "split")
    assert len(examples) == len(rows) > 2
    assert [row.part for row in rows] == list(range(len(rows)))
    assert "".join(trained_text(row) for row in rows) == answer
    assert [row.num_end_of_turn for row in rows] == [0] * (len(rows) - 1) + [1]
    assert all(row.num_tokens <= 40 for row in rows)
    # A quarter of a window is what came before.
    assert rows[1].input_ids[:10] == rows[0].input_ids[-10:]
    assert not any(rows[1].loss_mask[:10])


@hypothesis_settings(max_examples=200, deadline=None)
@given(mask=st.lists(st.booleans(), min_size=1, max_size=60), limit=st.integers(2, 30))
def test_every_trained_token_is_trained_once_whatever_the_window(mask: list[bool], limit: int) -> None:
    mask[0] = False  # as in every row: nothing predicts the first token
    whole = TokenRow("e", "file", tuple(range(len(mask))), tuple(mask))
    found = windows(whole, limit)
    trained = [i for row in found for i, is_trained in zip(row.input_ids, row.loss_mask, strict=True) if is_trained]
    assert trained == [place for place, is_trained in enumerate(mask) if is_trained]
    assert all(row.num_tokens <= limit and row.num_trained and not row.loss_mask[0] for row in found)
    assert all(list(row.input_ids) == list(range(row.input_ids[0], row.input_ids[-1] + 1)) for row in found)


def test_impossible_choices_are_refused() -> None:
    pairs = PairRenderer(byte_tokenizer(chat_template=None))
    with pytest.raises(SettingsError, match="an encoder reads a prompt whole"):
        fitted([], pairs, TuneSettings(too_long="split"))
    with pytest.raises(SettingsError, match="negative_weight"):
        fitted([], RENDERER, TuneSettings(too_long="split", negative_weight=1.0))


def test_pairs_are_dropped_and_cut_too() -> None:
    pairs = PairRenderer(byte_tokenizer(chat_template=None))
    example = Example("e", exchange(0), "import", "file")
    for policy, num_tokens, dropped in (("drop", 0, ("e",)), ("cut", 5, ())):
        settings = TuneSettings(max_length=5, too_long=policy)
        _, rows = fitted([example], pairs, settings)
        ledger = token_ledger.count(rows)
        assert (ledger.tokens, ledger.dropped_examples, ledger.lost_end_of_turn) == (num_tokens, dropped, 1)


def test_tuning_follows_the_policy(conversation: Any, tiny_model: Path, tmp_path: Path, recorder: Any) -> None:
    rows = [conversation("one?", "it is one."), conversation("two?", "no, " * 40)]
    counted = {}
    for policy in ("drop", "split", "cut"):
        settings = TuneSettings(
            model=str(tiny_model), precision="float32", epochs=1, lora_rank=2, max_length=60, too_long=policy
        )
        out = tmp_path / policy
        result = tune(rows, settings, out=out, checkpoints=out / "checkpoints", seed=1, watcher=recorder())
        train = result.ledger["train"]
        counted[policy] = (train["examples"], train["end_of_turn"], len(train["dropped_examples"]), train["split_rows"])
        assert result.history[-1]["tokens"] == train["tokens"]
    assert counted == {"drop": (2, 1, 1, 0), "split": (2, 2, 0, counted["split"][3]), "cut": (2, 1, 0, 0)}
    assert counted["split"][3] > 2
