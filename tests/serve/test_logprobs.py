"""Log-probabilities over the API: the engine's own numbers, and tokens whose bytes join to the text, whole and streamed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam
from openai.types.chat.chat_completion_token_logprob import ChatCompletionTokenLogprob

from heedful.feedback.store import Store
from heedful.generate.engine import Event, Request, Sampling, TokenLogprob, generate
from heedful.generate.fake import FakeEngine
from heedful.generate.remote import RemoteEngine
from heedful.generate.several import best_of, by_likelihood
from heedful.models import LoadedModel
from heedful.models.vocabulary import Vocabulary
from heedful.records import Generation, Message, Usage
from heedful.serve.state import ServedModel, State
from live_server import LiveServer, live_server, stream_events

PROMPT = "你好, name a colour."
MESSAGES: list[ChatCompletionMessageParam] = [{"role": "user", "content": PROMPT}]


@pytest.fixture
def client(live: LiveServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{live.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def answers(served: ServedModel, top: int = 0, **sampling: Any) -> list[Generation]:
    """What the engine itself says."""
    request = Request("x", (Message("user", PROMPT),), sampling=Sampling(**sampling), logprobs=True, top_logprobs=top)
    return list(generate(served.engine, [request]))


def joined(tokens: list[ChatCompletionTokenLogprob]) -> bytes:
    return b"".join(bytes(token.bytes or []) for token in tokens)


def tokens_of(choice: Any) -> list[ChatCompletionTokenLogprob]:
    assert choice.logprobs is not None
    return list(choice.logprobs.content)


# -- chat ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1, "seed": 5, "n": 3}])
def test_the_numbers_are_the_engines_and_bytes_join_to_the_text(
    client: openai.OpenAI, tiny_served: ServedModel, sampling: dict[str, Any]
) -> None:
    chat = client.chat.completions.create(
        model="tiny", messages=MESSAGES, max_tokens=40, logprobs=True, top_logprobs=4, **sampling
    )
    vocabulary = tiny_served.vocabulary
    assert vocabulary is not None
    for choice, expected in zip(chat.choices, answers(tiny_served, 4, max_tokens=40, **sampling), strict=True):
        tokens = tokens_of(choice)
        assert [token.logprob for token in tokens] == list(expected.logprobs or ())
        assert [token.token for token in tokens] == [vocabulary.token(index).text for index in expected.token_ids]
        assert joined(tokens).decode("utf-8", "replace") == choice.message.content == expected.text
        for token, top in zip(tokens, expected.top_logprobs or (), strict=True):
            assert [(one.token, one.logprob) for one in token.top_logprobs] == [
                (vocabulary.token(index).text, logprob) for index, logprob in top
            ]


def test_without_alternatives_and_without_logprobs(client: openai.OpenAI) -> None:
    ask = {"model": "tiny", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}
    plain = client.chat.completions.create(**ask)
    assert plain.choices[0].logprobs is None
    told = client.chat.completions.create(**ask, logprobs=True)
    assert [token.top_logprobs for token in tokens_of(told.choices[0])] == [[]] * 4
    # Zero alternatives to nothing are nothing.
    none = client.chat.completions.create(**ask, logprobs=False, top_logprobs=0)
    assert none.choices[0].logprobs is None


@pytest.mark.parametrize("sampling", [{"temperature": 0}, {"temperature": 1, "seed": 9, "n": 2}])
def test_streamed_and_whole_agree(client: openai.OpenAI, sampling: dict[str, Any]) -> None:
    ask = {"model": "tiny", "messages": MESSAGES, "max_tokens": 40, "logprobs": True, "top_logprobs": 2, **sampling}
    whole = client.chat.completions.create(**ask)
    pieces: dict[int, list[ChatCompletionTokenLogprob]] = {}
    texts: dict[int, str] = {}
    for chunk in client.chat.completions.create(**ask, stream=True):
        for choice in chunk.choices:
            texts[choice.index] = texts.get(choice.index, "") + (choice.delta.content or "")
            pieces.setdefault(choice.index, []).extend((choice.logprobs and choice.logprobs.content) or [])
    for choice in whole.choices:
        assert texts[choice.index] == choice.message.content
        assert pieces[choice.index] == tokens_of(choice), "each token once, in order"


class Telling(FakeEngine):
    """Tells of tokens while it writes: 茶 comes in three tokens, of which the text is known with the last."""

    def submit(self, request: Request) -> Any:
        return _TellingHandle(request)


class _TellingHandle:
    ids = (3 + 0, 3 + 1)

    def __init__(self, request: Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[Event]:
        tea = [_byte_token(byte) for byte in "茶".encode()]
        end = 2
        logprobs = (-0.5, -1.0, -1.5, -2.0, float("-inf"))
        ids = (_byte_token(ord("a")), *tea, end)
        told = [TokenLogprob(index, logprob, ((index, logprob),)) for index, logprob in zip(ids, logprobs, strict=True)]
        yield Event(0, "a", logprobs=(told[0], told[1]))
        yield Event(0, "茶", logprobs=(told[2], told[3]))
        top = tuple(one.top for one in told)
        yield Event(0, "", Generation(self._request.id, "a茶", ids, logprobs, top, usage=Usage(1, 5)))

    def cancel(self) -> None:
        pass


def _byte_token(byte: int) -> int:
    from heedful.models.scratch import byte_tokenizer
    from heedful.models.vocabulary import _BYTES

    character = next(character for character, known in _BYTES.items() if known == byte)
    return int(byte_tokenizer().convert_tokens_to_ids(character))


def test_tokens_come_with_their_piece_of_text(tmp_path: Path) -> None:
    from heedful.models.scratch import byte_tokenizer

    vocabulary = Vocabulary(byte_tokenizer().backend_tokenizer)
    store = Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")
    with live_server(State([ServedModel("telling", Telling(), "base", vocabulary)], store, title="t")) as live:
        response = live.ask(logprobs=True, top_logprobs=1, stream=True)
        whole = live.ask(logprobs=True, top_logprobs=1).json()["choices"][0]["logprobs"]["content"]
        plain = live.client.post(
            "/v1/completions", json={"model": "telling", "prompt": "x", "logprobs": 1, "stream": True}
        )
    store.close()
    *events, done = stream_events(response.text.splitlines())
    assert done == "[DONE]"
    choices = [event["choices"][0] for event in events[1:]]
    shown = [
        (choice["delta"].get("content"), [(token["token"], token["bytes"], token["logprob"]) for token in content])
        for choice in choices
        if (content := (choice["logprobs"] or {"content": []})["content"])
    ]
    tea = list("茶".encode())
    assert shown == [
        ("a", [("a", [97], -0.5), (f"bytes:\\x{tea[0]:02x}", tea[:1], -1.0)]),
        (
            "茶",
            [(f"bytes:\\x{byte:02x}", [byte], logprob) for byte, logprob in zip(tea[1:], (-1.5, -2.0), strict=True)],
        ),
        # The end of turn has a likelihood and adds nothing to the text; JSON has no infinity.
        ("", [("<|im_end|>", [], -9999.0)]),
    ]
    assert [token for _, tokens in shown for token in tokens] == [
        (token["token"], token["bytes"], token["logprob"]) for token in whole
    ]
    assert choices[-1]["finish_reason"] == "stop"
    offsets = [
        offset
        for event in stream_events(plain.text.splitlines())[:-1]
        for offset in (event["choices"][0]["logprobs"] or {"text_offset": []})["text_offset"]
    ]
    assert offsets == [0, 1, 1, 1, 2], "all three parts stand where the character does"


def test_the_end_of_turn_is_told_and_adds_no_bytes(client: openai.OpenAI) -> None:
    chat = client.chat.completions.create(
        model="tiny", messages=MESSAGES, temperature=0, max_tokens=4, logprobs=True, logit_bias={"2": 100}
    )
    (token,) = tokens_of(chat.choices[0])
    assert (token.token, token.bytes, chat.choices[0].finish_reason) == ("<|im_end|>", [], "stop")
    assert token.logprob < -1, "the model's own opinion, not the bias"


def test_tokens_of_a_stop_text_are_left_out(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    ask = {"model": "tiny", "messages": MESSAGES, "max_tokens": 30, "temperature": 1, "seed": 5, "logprobs": True}
    whole = client.chat.completions.create(**ask).choices[0]
    text = whole.message.content or ""
    stop = text[6:9]
    for stream in (False, True):
        if stream:
            chunks = list(client.chat.completions.create(**ask, stop=stop, stream=True))
            tokens = [
                token
                for chunk in chunks
                for choice in chunk.choices
                if choice.logprobs
                for token in choice.logprobs.content or []
            ]
        else:
            cut = client.chat.completions.create(**ask, stop=stop).choices[0]
            assert (cut.message.content, cut.finish_reason) == (text[: text.index(stop)], "stop")
            tokens = tokens_of(cut)
        assert tokens == tokens_of(whole)[: len(tokens)]
        assert joined(tokens).decode("utf-8", "replace").startswith(text[: text.index(stop)])
        # The last one may straddle the end of the text; none begins behind it.
        assert len(joined(tokens[:-1]).decode("utf-8", "replace")) <= text.index(stop)
        assert len(tokens) < len(tokens_of(whole))


@pytest.mark.parametrize("stream", [False, True])
def test_engines_that_cannot_tell_refuse_by_name(live: LiveServer, stream: bool) -> None:
    response = live.ask(model="owner/fixed", logprobs=True, stream=stream)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == "logprobs"
    assert "'owner/fixed' are not known to this server" in error["message"]


def test_our_own_client_gets_the_numbers_back(live: LiveServer, tiny_served: ServedModel) -> None:
    # Its alternatives are ids, which it asks for in vLLM's way.
    expected = answers(tiny_served, 3, max_tokens=20, temperature=0.8, seed=4, n=2)
    with RemoteEngine(f"{live.url}/v1", "tiny") as remote:
        there = ServedModel("there", remote, "other")
        found = answers(there, 3, max_tokens=20, temperature=0.8, seed=4, n=2)
    for one, other in zip(found, expected, strict=True):
        assert (one.text, one.token_ids, one.logprobs) == (other.text, other.token_ids, other.logprobs)
        assert one.top_logprobs == other.top_logprobs


# -- plain completions ---------------------------------------------------------------------------------------------------


def test_completions_tell_tokens_where_they_stand(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    ask = {"model": "tiny", "prompt": "从前 once", "temperature": 1, "seed": 2, "max_tokens": 40}
    (choice,) = client.completions.create(**ask, logprobs=3).choices
    assert tiny_served.vocabulary is not None
    request = Request(
        "x",
        prompt_ids=tuple(tiny_served.vocabulary.encode("从前 once")),
        sampling=Sampling(temperature=1, seed=2, max_tokens=40),
        logprobs=True,
    )
    (expected,) = generate(tiny_served.engine, [request])
    told = choice.logprobs
    assert told is not None
    assert told.token_logprobs == list(expected.logprobs or ())
    assert told.tokens is not None
    assert told.text_offset is not None
    for token, offset in zip(told.tokens, told.text_offset, strict=True):
        assert token.startswith(("bytes:", "<|")) or choice.text[offset:].startswith(token)
    for token, logprob, top in zip(told.tokens, told.token_logprobs, told.top_logprobs or [], strict=True):
        assert top[token] == logprob
        assert 3 <= len(top) <= 4, "the likeliest, and the chosen one where it is not among them"
    (bare,) = client.completions.create(**ask, logprobs=0).choices
    assert bare.logprobs is not None
    assert (bare.logprobs.top_logprobs, bare.logprobs.token_logprobs) == (None, told.token_logprobs)
    pieces = [chunk.choices[0] for chunk in client.completions.create(**ask, logprobs=3, stream=True)]
    streamed = [piece.logprobs for piece in pieces if piece.logprobs]
    for name in ("tokens", "token_logprobs", "top_logprobs", "text_offset"):
        assert [item for piece in streamed for item in getattr(piece, name)] == getattr(told, name)


def test_best_of_returns_the_likeliest_and_counts_all(client: openai.OpenAI, tiny_served: ServedModel) -> None:
    assert tiny_served.vocabulary is not None
    ask = {"model": "tiny", "prompt": "Once", "temperature": 1, "seed": 7, "max_tokens": 10}
    sampling = Sampling(temperature=1, seed=7, max_tokens=10)
    request = Request("x", prompt_ids=tuple(tiny_served.vocabulary.encode("Once")), sampling=sampling)
    (best,) = best_of(tiny_served.engine, [request], 6)
    answer = client.completions.create(**ask, best_of=6)
    assert [(choice.index, choice.text, choice.logprobs) for choice in answer.choices] == [(0, best.text, None)]
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (
        best.usage.prompt_tokens,
        best.usage.completion_tokens,
    )
    assert answer.usage.completion_tokens > 30, "of all six"
    two = client.completions.create(**ask, best_of=6, n=2, logprobs=0)
    samples = by_likelihood(
        generate(
            tiny_served.engine,
            [
                Request(
                    "x",
                    prompt_ids=request.prompt_ids,
                    sampling=Sampling(temperature=1, seed=7, max_tokens=10, n=6),
                    logprobs=True,
                )
            ],
        )
    )
    assert [(choice.index, choice.text) for choice in two.choices] == [(0, samples[0].text), (1, samples[1].text)]
    assert [choice.logprobs and choice.logprobs.token_logprobs for choice in two.choices] == [
        list(one.logprobs or ()) for one in samples[:2]
    ]
    # As many as are wanted: nothing is chosen, so greedy and streamed answers are fine.
    assert len(client.completions.create(**{**ask, "temperature": 0}, best_of=2, n=2).choices) == 2


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ({"best_of": 2, "n": 3}, "best_of", "expected at least n, which is 3"),
        ({"best_of": 3, "stream": True}, "best_of", "cannot be streamed"),
        ({"best_of": 3, "temperature": 0}, "best_of", "temperature is 0, which is greedy"),
        ({"best_of": 17}, "best_of", "less than or equal to 16"),
        ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
        ({"logprobs": True}, "logprobs", "valid integer"),
    ],
)
def test_completions_that_cannot_be_meant(live: LiveServer, body: dict[str, Any], param: str, said: str) -> None:
    response = live.client.post("/v1/completions", json={"model": "tiny", "prompt": "Once", **body})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert said in error["message"]
    assert "request '" not in error["message"]


# -- a real model --------------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.slow
def test_chinese_of_a_real_model(smollm2: LoadedModel, tmp_path: Path) -> None:
    from heedful.generate.local import LocalEngine

    text = "你好，世界。" * 6
    store = Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")
    with LocalEngine(smollm2) as engine:
        served = ServedModel("small", engine, "base", Vocabulary(smollm2.tokenizer.backend_tokenizer))
        body = {"model": "small", "temperature": 0, "max_tokens": 24}
        with live_server(State([served], store, title="t")) as live:
            plain = live.client.post("/v1/completions", json={**body, "prompt": text, "logprobs": 2}).json()
            asked = {**body, "messages": [{"role": "user", "content": f"Repeat: {text}"}], "logprobs": True}
            chat = live.client.post("/v1/chat/completions", json=asked).json()["choices"][0]
    store.close()
    continued = plain["choices"][0]
    assert "你好" in continued["text"]
    assert any(token.startswith("bytes:") for token in continued["logprobs"]["tokens"]), "characters in several tokens"
    for token, offset in zip(continued["logprobs"]["tokens"], continued["logprobs"]["text_offset"], strict=True):
        assert token.startswith(("bytes:", "<|")) or continued["text"][offset:].startswith(token)
    data = b"".join(bytes(token["bytes"]) for token in chat["logprobs"]["content"])
    assert data.decode("utf-8", "replace") == chat["message"]["content"]
    json.dumps(chat)
