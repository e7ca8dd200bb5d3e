"""Streamed answers: pieces while they come, streams that end badly, and what is not paid for twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endpoint import Answer, Asked, Endpoint, Raw, Status, events, expected
from heedful.errors import EngineError
from heedful.generate.engine import Request, Sampling
from heedful.generate.remote import RemoteEngine, connection
from heedful.generate.remote.wire import BrokenAnswerError, StreamReader
from heedful.records import Message


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def engine(endpoint: Endpoint) -> Iterator[RemoteEngine]:
    with RemoteEngine(endpoint.url, "m", first_wait=0.002, timeout=5) as engine:
        yield engine


def ask(text: str = "hello", **sampling: Any) -> Request:
    return Request(text, (Message("user", text),), sampling=Sampling(**sampling))


def asked(request: Request) -> Asked:
    """What the endpoint would see."""
    body = {
        "messages": [{"content": message.content} for message in request.messages],
        "n": request.sampling.n,
        "stream_options": {"include_usage": True},
    }
    return Asked(body, b"", 0, 0, 1)


# -- any way to cut a stream -------------------------------------------------------------------------------------------------


words = st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=30)


@given(words, st.integers(1, 3), st.sampled_from(["\n", "\r", "\r\n"]), st.sampled_from(["done", "silent"]), st.data())
def test_pieces_add_up_to_the_whole(text: str, n: int, newline: str, end: str, draws: st.DataObject) -> None:
    request = ask(n=n)
    data = events(asked(request), Answer(text, newline=newline, end=end))
    cuts = sorted(draws.draw(st.lists(st.integers(0, len(data)), max_size=20)))
    reader = StreamReader(request)
    shown = [""] * n
    for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
        for index, piece in reader.feed(data[start:stop]):
            shown[index] += piece
    reading = reader.end()
    assert shown == [text] * n == [generation.text for generation in reading.generations]
    assert reading.usage is not None
    assert reading.usage.completion_tokens == n * len(text.split())


@given(st.integers(0, 400), st.integers(1, 2))
def test_a_stream_that_stops_early_is_broken(size: int, n: int) -> None:
    request = ask(n=n)
    data = events(asked(request), Answer("some words, five of them"))
    # Before the last event that carries a reason to end.
    complete = data.index(b'"stop"')
    reader = StreamReader(request)
    reader.feed(data[: min(size, complete)])
    with pytest.raises(BrokenAnswerError):
        reader.end()
    assert {generation.finish_reason for generation in reader.so_far()} == {"cancelled"}


@pytest.mark.parametrize(
    "event",
    [
        b"nonsense",
        b"[1]",
        b'{"choices": [{"index": 7, "delta": {"content": "x"}}]}',
        b'{"choices": [{"index": 0, "delta": {"content": 3}}]}',
        b'{"choices": [null]}',
        b'{"choices": 5}',
        b'{"error": "x"}',
        b"[" * 100_000,
        b"\xff\xfe",
    ],
)
def test_events_that_are_none(event: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        StreamReader(ask()).feed(b"data: " + event + b"\n\n")


# -- from a server -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        Answer("one two 三 four", cut=5, newline="\r\n"),
        Answer("one two 三 four", cut=1, newline="\r"),
        Answer("one two 三 four", end="silent"),
        Answer("one two 三 four", usage=False),
    ],
    ids=repr,
)
def test_pieces_come_one_by_one(engine: RemoteEngine, endpoint: Endpoint, reply: Answer) -> None:
    endpoint.behave = lambda asked: reply
    *pieces, last = engine.submit(ask())
    assert [piece.text for piece in pieces] == ["one", " two", " 三", " four"]
    assert last.generation is not None
    assert (last.text, last.generation.text, last.generation.finish_reason) == ("", "one two 三 four", "stop")


def test_pieces_come_while_the_rest_is_written(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer("one two", end="hangs")
    handle = engine.submit(ask())
    pieces = iter(handle)
    assert [next(pieces).text, next(pieces).text] == ["one", " two"]
    handle.cancel()
    (generation,) = handle.result()
    assert (generation.text, generation.finish_reason) == ("one two", "cancelled")
    assert [event.generation for event in pieces] == [generation]


def test_the_answers_of_one_request_in_turns(engine: RemoteEngine) -> None:
    texts = ["", ""]
    done = []
    for event in engine.submit(ask(n=2)):
        texts[event.index] += event.text
        done += [event.generation] if event.generation else []
    assert texts == [expected("hello"), expected("hello", 1)] == [generation.text for generation in done]


def test_reading_after_waiting_and_waiting_after_reading(engine: RemoteEngine) -> None:
    handle = engine.submit(ask())
    result = handle.result()
    assert "".join(event.text for event in handle) == result[0].text
    assert handle.result() == result
    assert list(handle) == [], "events are read once"


@pytest.mark.parametrize("end", ["cut", "error"])
def test_a_broken_stream_that_nobody_has_read_is_repeated(engine: RemoteEngine, endpoint: Endpoint, end: str) -> None:
    endpoint.behave = lambda asked: Answer(end=end) if asked.times == 0 else Answer()
    handle = engine.submit(ask())
    assert handle.result()[0].text == expected("hello")
    assert "".join(event.text for event in handle) == expected("hello"), "nothing of the first attempt is left"
    assert (engine.spent.requests, engine.spent.answers, engine.spent.uncertain_requests) == (2, 1, 1)


@pytest.mark.parametrize("end", ["cut", "error"])
def test_a_broken_stream_that_somebody_reads_is_an_error_after_its_pieces(
    engine: RemoteEngine, endpoint: Endpoint, end: str
) -> None:
    def behave(asked: Asked) -> Answer:
        return Answer(end=end, cut=1)

    endpoint.behave = behave
    engine.submit(ask("warm")).cancel()
    handle = engine.submit(ask())
    text = ""
    with pytest.raises(EngineError, match=r"broke off its answer to request 'hello' after \d+ pieces"):
        for event in handle:
            text += event.text
    assert expected("hello").startswith(text)
    assert text
    assert [one.prompt for one in endpoint.asked].count("hello") == 1, (
        "it is not paid for twice without anybody knowing"
    )


def test_a_stream_that_falls_silent_is_late(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer(end="hangs") if asked.times == 0 else Answer()
    with RemoteEngine(endpoint.url, "m", first_wait=0.002, timeout=0.1) as engine:
        assert engine.submit(ask()).result()[0].text == expected("hello")
        assert engine.spent.uncertain_requests == 1
    assert endpoint.left == ["hello"]


def test_a_connection_is_used_again_after_a_stream(engine: RemoteEngine, endpoint: Endpoint) -> None:
    for number in range(5):
        engine.submit(ask(str(number))).result()
        # The last bytes after [DONE] are read after the answer is told.
        time.sleep(0.01)
    assert endpoint.num_connections == 1


def test_an_error_instead_of_a_stream(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(400, body={"error": {"message": "too long"}})
    with pytest.raises(EngineError, match="too long"):
        list(engine.submit(ask()))


def test_something_after_done_is_ignored(engine: RemoteEngine, endpoint: Endpoint) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    body = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}}]}\n\ndata: [DONE]\n\ndata: garbage\n\n'
    endpoint.behave = lambda asked: Raw(head + body)
    (generation,) = engine.submit(ask()).result()
    assert (generation.text, generation.finish_reason) == ("x", "stop")


def test_a_server_that_holds_the_line_after_done(engine: RemoteEngine, endpoint: Endpoint) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    body = b'data: {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n'
    endpoint.behave = lambda asked: Raw(head + body, close=False)
    began = time.monotonic()
    assert engine.submit(ask()).result()[0].text == "x"
    assert time.monotonic() - began < 0.9, "told at once, while the rest is waited for"
    engine.close()
    assert time.monotonic() - began < 2


def test_a_stream_without_an_end_does_not_fill_the_memory(
    engine: RemoteEngine, endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_MOST_BYTES", 100_000)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    endpoint.behave = lambda asked: Raw(head + b": nothing\n\n" * 20_000) if asked.times < 2 else Answer()
    assert engine.submit(ask()).result()[0].text == expected("hello")
    assert engine.spent.uncertain_requests == 2
