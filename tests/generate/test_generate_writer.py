"""Streaming text: whole characters, joined pieces equal the whole, nothing of a stop string is shown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.generate.local.writer import TextWriter
from heedful.models.scratch import byte_tokenizer
from heedful.render import Renderer


def decode_bytes(ids: Sequence[int]) -> str:
    """Token = byte."""
    return bytes(ids).decode("utf-8", "replace")


def write(ids: Sequence[int], stop: Sequence[str] = ()) -> tuple[list[str], TextWriter]:
    writer = TextWriter(decode_bytes, stop)
    pieces = []
    for token in ids:
        pieces.append(writer.push(token))
        if writer.stopped:
            break
    return [*pieces, writer.finish()], writer


def test_characters_come_whole() -> None:
    pieces, writer = write("你a".encode())
    assert pieces == ["", "", "你", "a", ""]
    assert writer.text == "你a"


def test_a_broken_character_comes_out_at_the_end() -> None:
    pieces, _ = write("你".encode()[:2])
    assert "".join(pieces) == "\ufffd"


@pytest.mark.parametrize(
    ("text", "stop", "expected", "stopped"),
    [
        ("one\ntwo", ["\n"], "one", True),
        ("one END two", ["END"], "one ", True),
        ("one EN", ["END"], "one EN", False),
        # A failed beginning is shown after all.
        ("one EN two", ["END"], "one EN two", False),
        ("EEND", ["END"], "E", True),
        # The stop string that is complete first wins, not the one that begins first.
        ("xabcd", ["abcd", "bc"], "xa", True),
        ("再见。你好", ["。"], "再见", True),
        ("END", ["END"], "", True),
    ],
)
def test_stop_strings(text: str, stop: list[str], expected: str, stopped: bool) -> None:
    pieces, writer = write(text.encode(), stop)
    assert "".join(pieces) == writer.text == expected
    assert writer.stopped is stopped


@given(st.text("abc", max_size=30), st.lists(st.text("abc", min_size=1, max_size=4), max_size=3), st.randoms())
def test_the_cut_does_not_depend_on_the_tokens(text: str, stop: list[str], random: object) -> None:
    assert hasattr(random, "randint")
    vocabulary = [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
    tokens, place = [], 0
    while place < len(text):
        size = random.randint(1, len(text) - place)
        tokens.append(vocabulary.index(text[place : place + size]))
        place += size
    writer = TextWriter(lambda ids: "".join(vocabulary[i] for i in ids), stop)
    shown = ""
    for token in tokens:
        shown += writer.push(token)
        assert not any(word in shown for word in stop)
        if writer.stopped:
            break
    shown += writer.finish()
    # By characters, the plain way.
    expected = text
    for end in range(1, len(text) + 1):
        found = [len(word) for word in stop if text[:end].endswith(word)]
        if found:
            expected = text[: end - max(found)]
            break
    assert shown == writer.text == expected


@settings(deadline=None)
@given(st.lists(st.integers(3, 275), max_size=30))
def test_pieces_join_to_what_decoding_everything_gives(ids: list[int]) -> None:
    renderer = RENDERER
    writer = TextWriter(renderer.decode, ())
    pieces = [writer.push(token) for token in ids] + [writer.finish()]
    assert "".join(pieces) == writer.text == renderer.decode(ids)


RENDERER = Renderer(byte_tokenizer())
