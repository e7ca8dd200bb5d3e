"""The token ledger, counted by hand on conversations of the tiny byte-level tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from heedful.errors import NothingToTrainError
from heedful.models import load
from heedful.records import Example
from heedful.render import Renderer
from heedful.train.objectives.instruction import rows
from heedful.train.rows import ledger as token_ledger

# <|im_start|> user \n h i <|im_end|> \n      <|im_start|> a s s i s t an t \n      y o <|im_end|> \n
#       1        1   1 1 1     1       1   = 7        1      8 ("an" is one)  1 = 10          1 1     1       1
HEAD = 7 + 10
ANSWER = 3
TAIL = 1


@pytest.fixture(scope="module")
def renderer(tiny_model: Path) -> Renderer:
    return Renderer(load(tiny_model).tokenizer)


def counted(renderer: Renderer, examples: list[Example], max_length: int = 100) -> token_ledger.SplitLedger:
    return token_ledger.count(rows(examples, renderer, max_length=max_length))


def test_counts_by_hand(renderer: Renderer, conversation: Any) -> None:
    ledger = counted(renderer, [conversation("hi", "yo")])
    assert renderer.render(conversation("hi", "yo").messages).num_end_of_turn == 1
    assert ledger == token_ledger.SplitLedger(
        examples=1,
        tokens=HEAD + ANSWER + TAIL,
        trained=ANSWER,
        masked=HEAD + TAIL,
        truncated_examples=0,
        truncated_tokens=0,
        end_of_turn=1,
        lost_end_of_turn=0,
        untrained_examples=(),
    )


@pytest.mark.parametrize(
    ("max_length", "trained", "end_of_turn"),
    [
        (HEAD + ANSWER, 3, 1),  # only the newline after the end of turn is cut off
        (HEAD + ANSWER - 1, 2, 0),  # the end of turn is cut off
        (HEAD + 1, 1, 0),  # one letter remains
    ],
)
def test_truncation_counts_tokens_and_ends_of_turn(
    renderer: Renderer, conversation: Any, max_length: int, trained: int, end_of_turn: int
) -> None:
    ledger = counted(renderer, [conversation("hi", "yo")], max_length)
    assert (ledger.trained, ledger.end_of_turn, ledger.lost_end_of_turn) == (trained, end_of_turn, 1 - end_of_turn)
    assert (ledger.truncated_examples, ledger.truncated_tokens) == (1, HEAD + ANSWER + TAIL - max_length)
    assert ledger.trained + ledger.masked == ledger.tokens == max_length


def test_an_answer_that_is_cut_off_entirely_is_named(renderer: Renderer, conversation: Any) -> None:
    kept, cut = conversation("hi", "yo"), conversation("a question that is much longer than the other one", "yo")
    ledger = counted(renderer, [kept, cut], HEAD + ANSWER + TAIL)
    assert ledger.untrained_examples == (cut.id,)
    assert cut.id in token_ledger.describe({"train": ledger})
    token_ledger.check(ledger, max_length=HEAD + ANSWER + TAIL)


def test_a_row_of_weight_zero_trains_nothing(renderer: Renderer, conversation: Any) -> None:
    ledger = counted(renderer, [conversation("hi", "yo", weight=0.0)])
    assert (ledger.trained, ledger.masked, ledger.end_of_turn) == (0, HEAD + ANSWER + TAIL, 0)


def test_every_answer_of_a_long_conversation_counts(renderer: Renderer, conversation: Any) -> None:
    one = conversation("hi", "yo")
    two = Example("two", one.messages + one.messages, "import", "test")
    ledger = counted(renderer, [two])
    assert (ledger.trained, ledger.end_of_turn) == (2 * ANSWER, 2)
    # Cut within the second answer: the first end of turn stays.
    ledger = counted(renderer, [two], 2 * (HEAD + ANSWER + TAIL) - 2)
    assert (ledger.trained, ledger.end_of_turn, ledger.lost_end_of_turn) == (2 * ANSWER - 1, 1, 1)


def test_nothing_to_train_says_why(renderer: Renderer, conversation: Any) -> None:
    with pytest.raises(NothingToTrainError, match="curate"):
        token_ledger.check(counted(renderer, []), max_length=100)
    cut = conversation("hi", "yo")
    with pytest.raises(NothingToTrainError, match=rf"raise tune\.max_length.*{cut.id}"):
        token_ledger.check(counted(renderer, [cut], HEAD), max_length=HEAD)
    with pytest.raises(NothingToTrainError, match="weight above zero"):
        token_ledger.check(counted(renderer, [conversation("hi", "yo", weight=0.0)]), max_length=100)


def test_a_model_that_would_never_learn_to_stop_is_refused(renderer: Renderer, conversation: Any) -> None:
    with pytest.raises(NothingToTrainError, match=r"never learn to stop.*raise tune\.max_length"):
        token_ledger.check(counted(renderer, [conversation("hi", "yo")], HEAD + 2), max_length=HEAD + 2)


def test_the_table_is_aligned(renderer: Renderer, conversation: Any) -> None:
    ledger = counted(renderer, [conversation("hi", "yo")] * 1200)
    lines = token_ledger.describe({"train": ledger, "validation": counted(renderer, [])}).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert lines[1].split() == ["examples", "1,200", "0"]
