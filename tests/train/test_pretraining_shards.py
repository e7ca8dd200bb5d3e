"""Shards hold the documents' tokens with ends between them, survive kills with the same bytes, and rows cover them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from heedful.errors import InputError
from heedful.project import Silent
from heedful.train.pretraining import corpus as corpus_module
from heedful.train.pretraining.corpus import Texts
from heedful.train.pretraining.rows import Stretch, TextRows, at_most, pieces, split, windows
from heedful.train.pretraining.shards import Shard, documents_of, write_shards
from heedful.train.pretraining.tokenizer import encoder_of, special_ids, train_tokenizer

SENTENCES = ["the cat sat on the mat. ", "今天天气很好，我们去公园。", "one two three\n"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(Texts(["".join(SENTENCES) * 9]), "decoder", vocabulary_size=400, max_length=64)


@pytest.fixture(autouse=True)
def short_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus_module, "BLOCK", 30)


TEXTS = [sentence * (3 + number) for number in range(6) for sentence in SENTENCES] + ["", "a"]


def written(texts: list[str], tokenizer: Any, folder: Path, watcher: Any = None, size: int = 60) -> list[Shard]:
    return write_shards(
        Texts(texts),
        encoder_of(tokenizer),
        folder,
        end_id=special_ids(tokenizer).end,
        identity=Texts(texts).identity,
        watcher=watcher or Silent(),
        shard_tokens=size,
    )


def text_of(tokens: np.ndarray, tokenizer: Any) -> str:
    return str(tokenizer.decode(tokens.tolist(), clean_up_tokenization_spaces=False))


@given(texts=st.lists(st.text(max_size=120), min_size=1, max_size=8), size=st.integers(5, 200))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_documents_come_back(
    tokenizer: Any, tmp_path_factory: pytest.TempPathFactory, texts: list[str], size: int
) -> None:
    folder = tmp_path_factory.mktemp("shards")
    if not any(texts):
        with pytest.raises(InputError, match="nothing to learn from"):
            written(texts, tokenizer, folder)
        return
    shards = written(texts, tokenizer, folder, size=size)
    end = "<|endoftext|>"
    stream = ""
    for shard in shards:
        # The end token before a document that begins a shard only repeats the one before it.
        begins = not shard.header.continues
        stream += text_of(shard.tokens[1:] if begins and stream else shard.tokens, tokenizer)
        assert shard.header.num_documents == len(shard.starts)
    assert stream == end + "".join(text + end for text in texts if text)
    assert sum(shard.header.num_bytes for shard in shards) == sum(len(text.encode()) for text in texts)
    inside = [shard.tokens[start:stop] for shard in shards for start, stop in documents_of(shard)]
    assert "".join(text_of(tokens, tokenizer) for tokens in inside) == stream.removeprefix(end)


class Killer(Silent):
    """Breaks off at the n-th report of progress."""

    def __init__(self, left: int) -> None:
        self.left = left

    def advance(self, task: str, amount: int, note: str) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [2, 9, 17, 30])
def test_killed_and_continued_gives_equal_bytes(after: int, tokenizer: Any, tmp_path: Path, folder_bytes: Any) -> None:
    written(TEXTS, tokenizer, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        written(TEXTS, tokenizer, tmp_path / "killed", Killer(after))
    begun = folder_bytes(tmp_path / "killed")
    written(TEXTS, tokenizer, tmp_path / "killed")
    ended = folder_bytes(tmp_path / "killed")
    assert ended == folder_bytes(tmp_path / "whole")
    assert len({name.split("/")[0] for name in ended}) > 3
    assert begun.items() <= ended.items()
    assert after < 17 or begun, "nothing was kept, so nothing was continued"


def test_damaged_and_foreign_shards_are_written_again(
    tokenizer: Any, tmp_path: Path, folder_bytes: Any, recorder: Any
) -> None:
    shards = written(TEXTS, tokenizer, tmp_path)
    whole = folder_bytes(tmp_path)
    damaged = tmp_path / shards[1].name / "tokens.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    watcher = recorder()
    written(TEXTS, tokenizer, tmp_path, watcher)
    assert watcher.lines == ["shard-00001 is written again: a file does not match its hash"]
    assert folder_bytes(tmp_path) == whole
    watcher = recorder()
    other = written(["a new text"], tokenizer, tmp_path, watcher)
    assert watcher.lines == ["shard-00000 is written again: it is of other texts or of another tokenizer"]
    assert len(other) == 1
    assert not (tmp_path / "shard-00001").exists()


def test_ids_are_as_small_as_the_vocabulary_allows(tokenizer: Any, tmp_path: Path) -> None:
    shard = written(TEXTS, tokenizer, tmp_path, size=10_000)[0]
    assert shard.tokens.dtype == np.uint16
    assert isinstance(shard.tokens, np.memmap)
    assert isinstance(TextRows([shard], np.array([[0, 0, 5]]), seed=1, name="train")[0].tokens, np.memmap)


# -- rows -----------------------------------------------------------------------------------------------------------


def predicted(places: np.ndarray) -> list[tuple[int, int]]:
    return [(int(shard), place) for shard, start, end in places for place in range(start + 1, end)]


def everything(shards: list[Shard]) -> list[Stretch]:
    return [Stretch(number, *places) for number, shard in enumerate(shards) for places in documents_of(shard)]


@pytest.mark.parametrize("length", [1, 7, 16, 1000])
def test_each_token_is_predicted_once(length: int, tokenizer: Any, tmp_path: Path) -> None:
    shards = written(TEXTS, tokenizer, tmp_path)
    all_but_first = [(number, place) for number, shard in enumerate(shards) for place in range(1, len(shard.tokens))]
    train, held_out = split(shards, 0.2, seed=3)
    for cut in (
        lambda stretches: windows(stretches, length),
        lambda stretches: pieces(shards, stretches, length, ends=True),
    ):
        one, other = cut(train), cut(held_out)
        assert sorted([*predicted(one), *predicted(other)]) == all_but_first
        assert not set(predicted(one)) & set(predicted(other))
        assert all(2 <= end - start <= length + 1 for _, start, end in one)
    end = special_ids(tokenizer).end
    for shard, start, stop in pieces(shards, everything(shards), length, ends=True):
        assert end not in shards[shard].tokens[start + 1 : stop - 1]


def test_pieces_without_ends_hold_text_alone(tokenizer: Any, tmp_path: Path) -> None:
    shards = written(TEXTS, tokenizer, tmp_path)
    end = special_ids(tokenizer).end
    found = pieces(shards, everything(shards), 8, ends=False)
    assert all(2 <= stop - start <= 8 for _, start, stop in found)
    assert all(end not in shards[shard].tokens[start:stop] for shard, start, stop in found)


def test_many_documents_are_held_out_whole(tokenizer: Any, tmp_path: Path) -> None:
    texts = [f"{SENTENCES[0]}{number}" for number in range(40)]
    shards = written(texts, tokenizer, tmp_path, size=100_000)
    train, held_out = split(shards, 0.1, seed=3)
    held = "".join(text_of(shards[0].tokens[one.start : one.end], tokenizer) for one in held_out).split("<|endoftext|>")
    assert len(held) == 5
    assert set(held[:-1]) < set(texts)
    assert sum(one.end - one.start for one in train + held_out) == len(shards[0].tokens) - 1
    assert split(shards, 0.1, seed=3) == (train, held_out) != split(shards, 0.1, seed=4)
    assert split(shards, 0.0, seed=3)[1] == []


def test_few_documents_lose_their_ends(tokenizer: Any, tmp_path: Path) -> None:
    shards = written([SENTENCES[0] * 50], tokenizer, tmp_path, size=100_000)
    (train,), (held_out,) = split(shards, 0.25, seed=3)
    total = len(shards[0].tokens) - 1
    assert (train, held_out.end) == (Stretch(0, 1, held_out.start), total + 1)
    assert held_out.end - held_out.start == round(0.25 * total)


@given(num_places=st.integers(1, 9), num_rows=st.integers(0, 30))
def test_places_are_visited_equally_often(num_places: int, num_rows: int) -> None:
    places = np.array([[0, number, 2 * number + 2] for number in range(num_places)])
    rows = TextRows([_fake_shard(2 * num_places + 2)], places, seed=1, name="train", num_rows=num_rows)
    visits = [rows[index].id for index in range(num_rows)]
    assert rows.lengths == [row.num_tokens for row in rows]
    counts = [visits.count(one) for one in set(visits)] + [0] * (num_places - len(set(visits)))
    assert len(visits) == num_rows == len(list(rows))
    assert max(counts) - min(counts) <= 1
    # What is drawn for a row is drawn anew at every visit.
    assert len({row.seed for row in rows}) == num_rows


def test_other_text_is_of_another_place() -> None:
    places = np.array([[0, 0, 2], [0, 2, 5], [0, 5, 9]])
    rows = TextRows([_fake_shard(9)], places, seed=1, name="train", num_rows=60, pairs=True)
    others = {(int(row.tokens[0]), int(row.other[0])) for row in rows if row.other is not None}
    assert others == {(one, two) for one in (0, 2, 5) for two in (0, 2, 5) if one != two}
    alone = TextRows([_fake_shard(9)], places[:1], seed=1, name="train", pairs=True)
    assert alone[0].other is None


def test_validation_is_bounded() -> None:
    places = np.array([[0, 10 * number, 10 * number + 10] for number in range(100)])
    chosen = at_most(places, 95, seed=1)
    assert len(chosen) == 9
    assert (np.diff(chosen[:, 1]) > 0).all()
    assert at_most(places, 1000, seed=1) is places
    assert len(at_most(places, 1, seed=1)) == 1


def _fake_shard(num: int) -> Shard:
    return Shard("shard-00000", None, np.arange(num), np.array([0]))  # type: ignore[arg-type]


def test_texts_may_come_from_a_stream(tokenizer: Any, tmp_path: Path) -> None:
    class Stream(Texts):
        def documents(self) -> Iterator[Any]:
            return ((character for character in text) for text in self.texts)

    one = written(TEXTS, tokenizer, tmp_path / "one")
    other = write_shards(
        Stream(TEXTS),
        encoder_of(tokenizer),
        tmp_path / "other",
        end_id=special_ids(tokenizer).end,
        identity="other",
        watcher=Silent(),
        shard_tokens=60,
    )
    assert [shard.tokens.tolist() for shard in one] == [shard.tokens.tolist() for shard in other]
