"""The remote engine against a real server on loopback: what is sent, what is asked again, keys, clear errors, prompt ends."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from endpoint import Answer, Asked, Cut, Endpoint, Raw, Reply, Silence, Status, expected, response
from heedful.errors import EngineError, InputError, SettingsError
from heedful.generate.engine import Request, Sampling, ScoreRequest, generate
from heedful.generate.remote import RemoteEngine
from heedful.records import Message

KEY = "sk-very-secret"


def in_turn(*replies: Reply) -> Callable[[Asked], Reply]:
    waiting = list(replies)
    return lambda asked: waiting.pop(0) if waiting else Answer()


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", KEY)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def engine(endpoint: Endpoint) -> Iterator[RemoteEngine]:
    with impatient(endpoint) as engine:
        yield engine


def impatient(endpoint: Endpoint, **settings: Any) -> RemoteEngine:
    """Waits milliseconds where a user's waits seconds."""
    settings = {"api_key_env": "TEST_KEY", "timeout": 5, "first_wait": 0.002} | settings
    return RemoteEngine(endpoint.url, "some-model", **settings)


def ask(text: str = "hello", **sampling: Any) -> Request:
    return Request(text, (Message("system", "s"), Message("user", text)), sampling=Sampling(**sampling))


# -- what is sent, what comes back -------------------------------------------------------------------------------------


def test_what_is_sent_and_what_comes_back(engine: RemoteEngine, endpoint: Endpoint) -> None:
    request = ask(n=2, temperature=0.5, top_p=0.9, top_k=7, seed=3, max_tokens=11, stop=("x",))
    first, second = engine.submit(request).result()
    assert (first.text, second.text) == ("answer 0 to hello", "answer 1 to hello")
    # Two words of prompt; four words in each answer, told once.
    assert (first.usage.prompt_tokens, first.usage.completion_tokens) == (2, 8)
    assert (second.usage.prompt_tokens, second.usage.completion_tokens) == (0, 0)
    (asked,) = endpoint.asked
    assert asked.body == {
        "model": "some-model",
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "hello"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 11,
        "n": 2,
        "seed": 3,
        "stop": ["x"],
        "top_k": 7,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert asked.headers["authorization"] == f"Bearer {KEY}"


def test_everything_else_that_can_be_asked_for_has_vllms_name(engine: RemoteEngine, endpoint: Endpoint) -> None:
    engine.submit(ask()).result()
    engine.submit_whole(
        ask(
            min_p=0.1,
            min_tokens=2,
            repetition_penalty=1.1,
            presence_penalty=0.2,
            frequency_penalty=0.3,
            logit_bias=((5, -1.0), (7, 2.0)),
        )
    ).result()
    plain, full = (asked.body for asked in endpoint.asked)
    assert {key: value for key, value in full.items() if key not in plain} == {
        "min_p": 0.1,
        "min_tokens": 2,
        "repetition_penalty": 1.1,
        "presence_penalty": 0.2,
        "frequency_penalty": 0.3,
        "logit_bias": {"5": -1.0, "7": 2.0},
    }
    assert plain.keys() - full.keys() == {"stream", "stream_options"}, "a whole answer is not streamed"


def test_what_a_chat_endpoint_cannot_honour_is_refused_by_name(engine: RemoteEngine, endpoint: Endpoint) -> None:
    with pytest.raises(InputError, match="num_beams, length_penalty"):
        engine.submit(ask(num_beams=2, length_penalty=0.5))
    with pytest.raises(InputError, match="prompt_ids"):
        engine.submit(Request("r", prompt_ids=(1,)))
    with pytest.raises(InputError, match="adapter"):
        engine.submit(Request("r", (Message("user", "a"),), adapter="mine"))
    with pytest.raises(EngineError, match="cannot score given answers"):
        engine.score([ScoreRequest("s", (Message("user", "a"),), "b")])
    assert not endpoint.asked


@pytest.mark.parametrize("whole", [False, True])
def test_logprobs_with_alternatives(engine: RemoteEngine, endpoint: Endpoint, whole: bool) -> None:
    request = Request("r", (Message("user", "hello"),), logprobs=True, top_logprobs=2)
    handle = engine.submit_whole(request) if whole else engine.submit(request)
    (answer,) = handle.result()
    # "answer 0 to hello": an id is a word's length, its alternative has an id one higher.
    assert answer.token_ids == (6, 1, 2, 5)
    assert answer.logprobs == (-0.5, -0.5, -0.5, -0.5)
    assert answer.top_logprobs is not None
    assert answer.top_logprobs[0] == ((6, -0.5), (7, -1.5))
    assert len(answer.top_logprobs) == 4
    assert endpoint.asked[0].body["top_logprobs"] == 2


def test_logprobs_that_are_not_told_are_an_error(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Raw(
        response(b'{"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}'), close=False
    )
    with pytest.raises(EngineError, match="told no log-probabilities"):
        engine.submit(Request("r", (Message("user", "hello"),), logprobs=True)).result()
    words = b'[{"token": "x", "logprob": -1, "top_logprobs": [{"token": "x", "logprob": -1}]}]'
    endpoint.behave = lambda asked: Raw(
        response(b'{"choices": [{"message": {"content": "x"}, "logprobs": {"content": ' + words + b"}}]}"), close=False
    )
    with pytest.raises(EngineError, match="as texts, not as ids"):
        engine.submit(Request("r", (Message("user", "hello"),), logprobs=True, top_logprobs=1)).result()
    (answer,) = engine.submit(Request("r", (Message("user", "hello"),), logprobs=True)).result()
    assert (answer.logprobs, answer.token_ids) == ((-1.0,), ())
    assert len(endpoint.asked) == 3, "asking again would not help"


def test_answers_come_in_request_order(engine: RemoteEngine) -> None:
    requests = [ask(f"question {number}") for number in range(300)]
    assert [g.text for g in generate(engine, requests)] == [expected(request.id) for request in requests]
    assert (engine.num_in_flight, engine.spent.answers) == (0, 300)


@pytest.mark.parametrize(
    ("said", "meant"), [("stop", "stop"), ("length", "length"), ("max_tokens", "length"), ("content_filter", "error")]
)
def test_reasons(engine: RemoteEngine, endpoint: Endpoint, said: str, meant: str) -> None:
    endpoint.behave = lambda asked: Answer(finish_reason=said)
    assert engine.submit(ask()).result()[0].finish_reason == meant


def test_a_server_that_does_not_stream_and_one_that_tells_no_usage(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = in_turn(Answer(plain=True), Answer(usage=False), Answer(usage=False, plain=True))
    for _ in range(3):
        events = list(engine.submit(ask()))
        assert "".join(event.text for event in events) == expected("hello")
        assert events[-1].generation is not None
    assert engine.spent.answers == 3


def test_a_server_that_does_not_know_n(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Raw(
        response(b'{"choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "stop"}]}')
    )
    with pytest.raises(EngineError, match=r"gave 1 answers .* instead of 2; it does not seem to know `n`"):
        engine.submit(ask(n=2)).result()
    assert len(endpoint.asked) == 1


# -- what is asked again -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trouble",
    [
        Status(408),
        Status(425),
        Status(429),
        Status(500),
        Status(502),
        Status(503),
        Status(504),
        Status(520),
        Cut(),
        Raw(b""),
        Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
        Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
        Raw(response(b"<html>")),
        Raw(response(b'{"choices": [{"index": 0}]}'), close=False),
        Raw(response(b'{"choices": []}'), close=False),
    ],
    ids=repr,
)
@pytest.mark.parametrize("whole", [False, True])
def test_what_can_succeed_is_asked_again(endpoint: Endpoint, trouble: Reply, whole: bool) -> None:
    endpoint.behave = in_turn(trouble, trouble)
    with impatient(endpoint) as engine:
        handle = engine.submit_whole(ask()) if whole else engine.submit(ask())
        assert handle.result()[0].text == expected("hello")
        assert (engine.spent.requests, engine.spent.answers) == (3, 1)
    assert (len(endpoint.asked), endpoint.served) == (3, {"hello": 1})


@pytest.mark.parametrize("code", [301, 400, 401, 402, 403, 404, 405, 413, 422])
def test_what_cannot_succeed_is_asked_once(engine: RemoteEngine, endpoint: Endpoint, code: int) -> None:
    endpoint.behave = lambda asked: Status(code, body={"error": "no such thing"})
    with pytest.raises(EngineError, match=rf"refused request 'hello' \(status {code}"):
        engine.submit(ask()).result()
    assert len(endpoint.asked) == 1


def test_an_empty_account_is_not_a_busy_server(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(429, body={"error": {"code": "insufficient_quota", "message": "pay"}})
    with pytest.raises(EngineError, match="the account is empty"):
        engine.submit(ask()).result()
    assert len(endpoint.asked) == 1


def test_patience_ends_with_a_clear_error(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(503, body={"error": "overloaded"})
    with (
        impatient(endpoint, max_attempts=4) as engine,
        pytest.raises(EngineError, match=r"no answer to request 'hello' in 4 attempts \(last: status 503.*overloaded"),
    ):
        engine.submit(ask()).result()
    assert len(endpoint.asked) == 4


def test_a_server_that_is_busy_with_others_is_asked_as_long_as_it_takes(endpoint: Endpoint) -> None:
    # "later" is refused 30 times, far more often than there are attempts, while others are answered.
    endpoint.behave = lambda asked: Status(429) if asked.prompt == "later" and asked.times < 30 else Answer()
    with impatient(endpoint, max_attempts=4) as engine:
        later = engine.submit(ask("later"))
        number = 0
        while not later.is_done and number < 10_000:
            engine.submit(ask(f"other {number}")).result()
            number += 1
        assert later.result()[0].text == expected("later")


def test_a_wrong_address_is_told_soon(endpoint: Endpoint) -> None:
    endpoint.close()
    with impatient(endpoint) as engine, pytest.raises(EngineError, match=r"in 3 attempts .*check that the server runs"):
        engine.submit(ask()).result()
    assert engine.spent.requests == 0, "nothing was sent"


@pytest.mark.parametrize(
    "value", [b"<html>", b'{"choices": [{"index": 0}]}', b'{"error": "x"}', b'["list"]', b'{"choices": null}']
)
def test_something_else_than_a_completion_is_a_clear_error(
    engine: RemoteEngine, endpoint: Endpoint, value: bytes
) -> None:
    endpoint.behave = lambda asked: Raw(response(value), close=False)
    with pytest.raises(EngineError, match=r"3 times with something that is not a complete chat completion"):
        engine.submit(ask()).result()
    assert len(endpoint.asked) == 3


def test_a_silent_server_times_out_and_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.behave = in_turn(Silence(), Silence())
    with impatient(endpoint, timeout=0.1) as engine:
        assert engine.submit(ask()).result()[0].text == expected("hello")
        assert engine.submit_whole(ask("more", max_tokens=1)).result()[0].text == expected("more")
        # Nobody knows whether the server computed those two.
        assert (engine.spent.uncertain_requests, engine.spent.answers) == (2, 2)
    assert endpoint.left == ["hello", "hello"]


def test_a_whole_answer_may_be_silent_while_it_is_written(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer(latency=0.3)
    with impatient(endpoint, timeout=0.1) as engine:
        # 0.1 s and a fifth of a second for each of 10 tokens.
        assert engine.submit_whole(ask(max_tokens=10)).result()[0].text == expected("hello")
    assert len(endpoint.asked) == 1


def test_a_whole_answer_that_trickles_is_late(endpoint: Endpoint) -> None:
    # A byte each millisecond: never silent, and never done.
    endpoint.behave = lambda asked: Answer(cut=1) if asked.times == 0 else Answer()
    with impatient(endpoint, timeout=0.1) as engine:
        long = ask("word " * 200, max_tokens=1)
        assert engine.submit_whole(long).result()[0].text == expected("word " * 200)
        assert engine.spent.uncertain_requests == 1


def test_retry_after_is_kept_by_everybody(endpoint: Endpoint) -> None:
    endpoint.behave = in_turn(Status(429, {"Retry-After": "0.5"}))
    with impatient(endpoint) as engine:
        started = time.monotonic()
        first = engine.submit(ask("first"))
        while not endpoint.asked:
            time.sleep(0.001)
        time.sleep(0.05)
        second = engine.submit(ask("second"))
        first.result(), second.result()
    # The times at which the requests came: the first at once, all others after the server's half second.
    later = [moment - started for moment, _ in endpoint.peaks[1:]]
    assert len(later) == 2
    assert min(later) > 0.45


def test_retry_after_as_a_date(endpoint: Endpoint) -> None:
    # The server's clock is a year behind; two seconds later by its own clock is two seconds later.
    headers = {"Date": "Wed, 01 Jan 2025 00:00:00 GMT", "Retry-After": "Wed, 01 Jan 2025 00:00:01 GMT"}
    endpoint.behave = in_turn(Status(503, headers))
    with impatient(endpoint) as engine:
        started = time.monotonic()
        engine.submit(ask()).result()
        assert time.monotonic() - started > 0.95


def test_a_server_that_asks_for_an_hour_is_not_waited_for(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(429, {"Retry-After": "3600"})
    handles = [engine.submit(ask(str(number))) for number in range(20)]
    for handle in handles:
        with pytest.raises(EngineError, match="asks to come back in 3,600 seconds"):
            handle.result()


# -- keys ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("echo", [f"bad key {KEY}", "bad key sk-v******cret", f'"{KEY[:-1]}"'])
def test_a_refused_key_is_explained_and_never_shown(
    engine: RemoteEngine, endpoint: Endpoint, echo: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    endpoint.behave = lambda asked: Status(401, body={"error": echo})
    with pytest.raises(EngineError, match=r"read from \$TEST_KEY, which is set, but not accepted") as caught:
        engine.submit(ask()).result()
    assert "[key]" in str(caught.value)
    shown = str(caught.value) + engine.identity + repr(engine) + repr(vars(engine)) + caplog.text
    assert KEY[:6] not in shown
    assert len(endpoint.asked) == 1, "a refusal is not asked again"


def test_without_a_key_none_is_sent(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    endpoint.behave = in_turn(Answer(), Status(403))
    with impatient(endpoint) as engine:
        engine.submit(ask()).result()
        with pytest.raises(EngineError, match=r"\$TEST_KEY, which is not set"):
            engine.submit(ask()).result()
    assert "authorization" not in endpoint.asked[0].headers


def test_a_key_with_a_line_break_is_refused_without_being_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", f"{KEY}\r\nX-Other: 1")
    with pytest.raises(SettingsError, match=r"\$TEST_KEY holds characters") as caught:
        RemoteEngine("http://localhost/v1", "m", api_key_env="TEST_KEY")
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("localhost:8000/v1", "must begin with http"),
        (f"https://me:{KEY}@host/v1", "holds a user name or a password"),
        (f"https://host/v1?key={KEY}", r"ends before \? and #"),
        ("https://host/v1#model", r"ends before \? and #"),
        ("https:///v1", "names no host"),
        ("https://host:port/v1", "cannot be read"),
    ],
)
def test_addresses_without_secrets(url: str, problem: str) -> None:
    with pytest.raises(SettingsError, match=problem) as caught:
        RemoteEngine(url, "m")
    assert KEY not in str(caught.value)


# -- the end -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def threads() -> Callable[[], list[str]]:
    """Engines' threads that this test started and that still run; other tests may have left some."""
    before = set(threading.enumerate())
    return lambda: [one.name for one in threading.enumerate() if one not in before and "heedful" in one.name]


def soon(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 10
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


def test_cancelling_closes_the_connection(engine: RemoteEngine, endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer(latency=60) if asked.prompt == "slow" else Answer()
    slow = engine.submit(ask("slow", n=2))
    assert soon(lambda: endpoint.in_flight == 1)
    slow.cancel()
    assert [g.finish_reason for g in slow.result()] == ["cancelled", "cancelled"]
    assert soon(lambda: endpoint.left == ["slow"])
    assert engine.submit(ask("quick")).result()[0].text == expected("quick"), "others go on"
    slow.cancel()
    assert engine.num_in_flight == 0


def test_cancelling_what_was_not_sent_sends_nothing(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Answer(latency=0.2)
    with impatient(endpoint, max_in_flight=1) as engine:
        first, second, third = (engine.submit(ask(text)) for text in ("first", "second", "third"))
        second.cancel()
        assert second.result()[0].finish_reason == "cancelled"
        assert [handle.result()[0].text for handle in (first, third)] == [expected("first"), expected("third")]
    assert endpoint.served == {"first": 1, "third": 1}


def test_cancelling_thousands_while_others_go_on(endpoint: Endpoint) -> None:
    endpoint.latency = 0.002
    with impatient(endpoint, max_in_flight=16) as engine:
        handles = [engine.submit(ask(str(number))) for number in range(3000)]
        for handle in handles[::2]:
            handle.cancel()
        results = [handle.result()[0] for handle in handles]
        assert all(one.text == expected(str(number)) for number, one in enumerate(results) if number % 2)
        # What was answered before it was cancelled stays answered.
        assert {one.finish_reason for one in results[::2]} <= {"cancelled", "stop"}
        assert [one.finish_reason for one in results[::2]].count("cancelled") > 1000
        assert engine.num_in_flight == 0
    assert max(endpoint.served.values()) == 1


def test_cancelling_while_waiting_for_a_retry(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Status(500)
    with impatient(endpoint, first_wait=100.0) as engine:
        handle = engine.submit(ask(n=2))
        assert soon(lambda: len(endpoint.asked) == 1)
        handle.cancel()
        assert [g.finish_reason for g in handle.result()] == ["cancelled", "cancelled"]
    assert len(endpoint.asked) == 1


def test_closing_with_requests_in_flight_is_prompt(endpoint: Endpoint, threads: Callable[[], list[str]]) -> None:
    endpoint.behave = lambda asked: Silence()
    engine = impatient(endpoint)
    handles = [engine.submit(ask(str(number))) for number in range(100)]
    assert soon(lambda: endpoint.in_flight == 8)
    started = time.monotonic()
    engine.close()
    assert time.monotonic() - started < 2
    assert {handle.result()[0].finish_reason for handle in handles} == {"cancelled"}
    assert soon(lambda: len(endpoint.left) == 8)
    assert threads() == []
    with pytest.raises(EngineError, match="closed"):
        engine.submit(ask())
    engine.close()


def test_an_engine_that_nobody_closes_ends_with_its_last_use(
    endpoint: Endpoint, threads: Callable[[], list[str]]
) -> None:
    handle = impatient(endpoint).submit(ask())
    gc.collect()
    assert handle.result()[0].text == expected("hello"), "the handle keeps the engine alive"
    del handle
    gc.collect()
    assert soon(lambda: not threads())


SCRIPT = """
import sys
from heedful.generate.engine import Request
from heedful.generate.remote import RemoteEngine
from heedful.records import Message
engine = RemoteEngine(sys.argv[1], "m")
handles = [engine.submit(Request(str(n), (Message("user", f"{n}"),))) for n in range(20)]
print("asked", flush=True)
"""


def script(endpoint: Endpoint, ending: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT + ending, endpoint.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
    )


def test_an_interpreter_that_ends_does_not_hang(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Silence()
    process = script(endpoint, "")
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "asked\n", "")


def test_interrupting_somebody_who_waits(endpoint: Endpoint) -> None:
    endpoint.behave = lambda asked: Silence()
    process = script(
        endpoint,
        """
try:
    with engine:
        handles[0].result()
except KeyboardInterrupt:
    import threading
    print("interrupted", [thread.name for thread in threading.enumerate()], flush=True)
""",
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "asked\n"
    assert soon(lambda: endpoint.in_flight == 8)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors) == (0, "interrupted ['MainThread']\n", "")
