"""Files and single prompts with several samples to a prompt: what is kept, what is told of votes, and a kill changes nothing."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

import heedful
from forked import Nursery, nursery
from heedful.cli import main
from heedful.errors import InputError
from heedful.generate import Event, Request, Sampling, best_of, generate, majority
from heedful.generate.final_answer import final_answer
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.pipeline import engines, generating
from heedful.pipeline.asking import Asked
from heedful.pipeline.generating import generate_file
from heedful.project import Silent, Watcher
from heedful.records import Generation, Message, Usage

WARM = Sampling(temperature=0.8, seed=5, max_tokens=12)
FLAGS = ["--temperature", "0.8", "--seed", "5", "--max-tokens", "12"]
SAID = ["It is 41.", "So 42", "42.0!", "forty-two"]


class Guessing:
    """Gives the same four samples to everything; remembers what it was asked."""

    preferred_batch, is_independent, num_in_flight = 3, False, 0

    def __init__(self, identity: str = "guessing") -> None:
        self.identity = identity
        self.requests: list[Request] = []

    def check(self, request: Request) -> None:
        pass

    def submit(self, request: Request) -> Any:
        self.requests.append(request)
        return _Guesses(request)

    def score(self, items: Any) -> Iterator[Any]:
        raise NotImplementedError

    def close(self) -> None:
        pass


class _Guesses:
    def __init__(self, request: Request) -> None:
        self._request = request

    def __iter__(self) -> Iterator[Event]:
        raise NotImplementedError

    def result(self) -> tuple[Generation, ...]:
        logprobs = (-0.1, -2.0, -1.0, -3.0)
        return tuple(
            Generation(
                self._request.id,
                text,
                token_ids=(7,),
                logprobs=(logprob,) if self._request.logprobs else None,
                usage=Usage(10, 3),
                index=place,
            )
            for place, (text, logprob) in enumerate(zip(SAID, logprobs, strict=True))
        )

    def cancel(self) -> None:
        pass


class Stop(Exception):  # noqa: N818
    """In place of a kill."""


class Stopping(Silent):
    """Ends the run at one milestone; remembers what is said."""

    def __init__(self, after: int | None = None) -> None:
        self.after, self.said = after, list[str]()

    def milestone(self, name: str) -> None:
        if name == "journal.appended" and self.after is not None:
            self.after -= 1
            if self.after == 0:
                raise Stop

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Guessing, set[str]]]:
    """The engines that were opened, with what they were to be able to do."""
    made: list[tuple[Guessing, set[str]]] = []

    def new_engine(name: str, watcher: Watcher, *, needs: Sequence[str] = (), precision: str = "") -> Guessing:
        made.append((Guessing(), set(needs)))
        return made[-1][0]

    monkeypatch.setattr(engines, "new_engine", new_engine)
    monkeypatch.setattr(generating, "new_engine", new_engine)
    return made


def prompts(path: Path, number: int = 40) -> str:
    rows = ({"prompt": f"question {place} {'茶' * (place % 5)}", "id": f"q{place}"} for place in range(number))
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def run(path: str, out: Path, asked: Asked, watcher: Watcher | None = None, model: str = "some") -> dict[str, Any]:
    return generate_file([path], out, asked, model=model, watcher=watcher or Silent())


# -- what is kept --------------------------------------------------------------------------------------------------------


def test_majority_rows_hold_the_answer_the_votes_and_the_share(tmp_path: Path, opened: list[Any]) -> None:
    summary = run(prompts(tmp_path / "a.jsonl", 2), tmp_path / "out.jsonl", Asked(WARM, majority=4))
    row = lines(tmp_path / "out.jsonl")[1]
    # The likelier of the two that say 42; the prompt counted once, all four answers' tokens.
    answer = {"text": "42.0!", "finish_reason": "stop", "prompt_tokens": 10, "completion_tokens": 12, "complaints": []}
    assert row["answers"] == [answer]
    # Of the single votes, the likelier answer first.
    assert row["majority"] == {"answer": "42", "share": 0.5, "votes": {"42": 2, "41": 1, "forty-two": 1}}
    assert list(row["majority"]["votes"]) == ["42", "41", "forty-two"]
    assert list(row) == ["id", "messages", "answers", "majority", "model"]
    assert (summary["mean_share"], summary["completion_tokens"], summary["answers"]) == (0.5, 24, 2)
    assert "50% on average say what the majority says" in summary["text"]
    (engine, needs) = opened[0]
    assert needs == {"several", "logprobs"}
    assert all(request.sampling.n == 4 and request.logprobs for request in engine.requests)


def test_best_of_rows_look_like_any_others(tmp_path: Path, opened: list[Any]) -> None:
    path, out = prompts(tmp_path / "a.jsonl", 2), tmp_path / "out.jsonl"
    summary = run(path, out, Asked(WARM, best_of=4))
    (row, _) = lines(out)
    assert [answer["text"] for answer in row["answers"]] == ["It is 41."]
    assert list(row) == ["id", "messages", "answers", "model"]
    assert "logprobs" not in row["answers"][0], "they were asked for to choose, not to be told"
    assert "mean_share" not in summary
    run(path, out, Asked(WARM, best_of=4, top_logprobs=0))
    assert lines(out)[0]["answers"][0]["logprobs"] == [-0.1]


def test_what_was_cut_off_says_its_own_length_and_the_row_counts_all(tiny_model: Path, tmp_path: Path) -> None:
    sampling = Sampling(temperature=1, seed=1, max_tokens=3)
    run(prompts(tmp_path / "a.jsonl", 1), tmp_path / "out.jsonl", Asked(sampling, best_of=4), model=str(tiny_model))
    (answer,) = lines(tmp_path / "out.jsonl")[0]["answers"]
    assert answer["complaints"] == ["cut off after 3 tokens; raise max_tokens (--max-tokens) to allow more"]
    assert answer["completion_tokens"] == 12


def test_an_endpoint_need_not_tell_logprobs_to_be_asked_for_a_majority() -> None:
    asked = Asked(WARM, majority=4)
    message = (Message("user", "?"),)
    assert asked.of("some").request("x", message).logprobs
    assert not asked.of("https://host/v1#some").request("x", message).logprobs
    assert Asked(WARM, best_of=4).of("https://host/v1#some").request("x", message).logprobs


def test_with_a_real_model_it_is_what_the_functions_give(tiny_model: Path, tmp_path: Path) -> None:
    path = prompts(tmp_path / "a.jsonl", 12)
    requests = [
        Request(f"q{place}", (Message("user", f"question {place} {'茶' * (place % 5)}".strip()),), sampling=WARM)
        for place in range(12)
    ]
    run(path, tmp_path / "best.jsonl", Asked(WARM, best_of=4), model=str(tiny_model))
    run(path, tmp_path / "most.jsonl", Asked(WARM, majority=4), model=str(tiny_model))
    with LocalEngine(load(tiny_model)) as engine:
        best = [one.text for one in best_of(engine, requests, 4)]
        most = list(majority(engine, requests, 4))
        every = list(
            generate(
                engine,
                [Request("y", requests[0].messages, sampling=Sampling(temperature=0.8, seed=5, max_tokens=12, n=4))],
            )
        )
    assert [row["answers"][0]["text"] for row in lines(tmp_path / "best.jsonl")] == best
    found = lines(tmp_path / "most.jsonl")
    assert [row["answers"][0]["text"] for row in found] == [one.generation.text for one in most]
    assert [row["majority"] for row in found] == [
        {"answer": one.answer, "share": one.share, "votes": dict(one.votes)} for one in most
    ]
    assert set(found[0]["majority"]["votes"]) == {final_answer(one.text) for one in every} - {""}


def test_the_command_and_the_function_write_the_same(tiny_model: Path, tmp_path: Path) -> None:
    path = prompts(tmp_path / "a.jsonl", 5)
    for name in ("best_of", "majority"):
        summary = heedful.generate_file(
            path, tiny_model, out=tmp_path / "a" / "out.jsonl", temperature=0.8, seed=5, max_tokens=12, **{name: 3}
        )
        assert summary["answered"] == 5
        flag = f"--{name.replace('_', '-')}"
        out = tmp_path / "b" / "out.jsonl"
        assert main(["generate", path, "--out", str(out), "--model", str(tiny_model), *FLAGS, flag, "3"]) == 0
        assert out.read_bytes() == (tmp_path / "a" / "out.jsonl").read_bytes()


# -- one prompt ----------------------------------------------------------------------------------------------------------


def test_one_prompt_shows_the_answer_and_the_votes_beside_it(
    opened: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", "What is 6 * 7?", "--model", "some", *FLAGS, "--majority", "4"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "42.0!\n"
    assert captured.err.splitlines()[-1] == "2 of 4 answers say 42; others: 41 (1), forty-two (1)"
    assert main(["generate", "What is 6 * 7?", "--model", "some", *FLAGS, "--majority", "4", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["text"], told["majority"]["answer"], told["majority"]["share"]) == ("42.0!", "42", 0.5)
    assert main(["generate", "What is 6 * 7?", "--model", "some", *FLAGS, "--best-of", "4"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "It is 41.\n"
    assert "answers say" not in captured.err
    assert [needs for _, needs in opened] == [{"logprobs"}] * 3


def test_votes_do_not_steer_a_terminal_nor_fill_it(
    opened: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"{__name__}.SAID", ["a\x1b[2Jz", "b" * 500, "c", "d"])
    assert main(["generate", "Hi", "--model", "some", *FLAGS, "--majority", "4"]) == 0
    (said,) = [line for line in capsys.readouterr().err.splitlines() if "answers say" in line]
    assert "\x1b" not in said
    assert len(said) < 200


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--best-of", "4"], "best_of: temperature is 0, which is greedy: all 4 samples would be equal"),
        (["--majority", "4", "--temperature", "1", "--top-k", "1"], "majority: top_k is 1, which is greedy"),
        (["--majority", "4", "--best-of", "4", "--temperature", "1"], "exclude each other"),
        (["--majority", "4", "--n", "2", "--temperature", "1"], "leave n (--n) at 1"),
        (["--best-of", "0"], "--best-of"),
    ],
)
def test_what_cannot_be_meant_is_said_before_anything_is_loaded(
    opened: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    path = prompts(tmp_path / "a.jsonl", 2)
    for arguments in (["Hi"], [path, "--out", str(tmp_path / "out.jsonl")]):
        assert main(["generate", *arguments, "--model", "some", *flags]) == 2
        captured = capsys.readouterr()
        assert said in captured.err
        assert "Traceback" not in captured.err
    assert opened == []


def test_the_function_says_the_same() -> None:
    with pytest.raises(InputError, match="exclude each other"):
        heedful.generate_file("a.jsonl", "some", out="b.jsonl", temperature=1, best_of=2, majority=2)
    with pytest.raises(InputError, match="0 samples, expected at least 1"):
        heedful.generate_file("a.jsonl", "some", out="b.jsonl", majority=0)


# -- interrupted ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", [Asked(WARM, best_of=4), Asked(WARM, majority=4)])
def test_interrupted_it_goes_on_to_the_same_bytes(tmp_path: Path, opened: list[Any], asked: Asked) -> None:
    path = prompts(tmp_path / "a.jsonl", 29)
    run(path, tmp_path / "whole.jsonl", asked)
    for after in (1, 2):
        out = tmp_path / f"{after}.jsonl"
        with pytest.raises(Stop):
            run(path, out, asked, Stopping(after))
        assert run(path, out, asked)["resumed"] == 12 * after
        assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


@pytest.mark.parametrize("other", [Asked(WARM), Asked(WARM, best_of=3), Asked(WARM, majority=4)])
def test_another_number_or_way_begins_anew(tmp_path: Path, opened: list[Any], other: Asked) -> None:
    path, out = prompts(tmp_path / "a.jsonl", 24), tmp_path / "out.jsonl"
    with pytest.raises(Stop):
        run(path, out, Asked(WARM, best_of=4), Stopping(1))
    watcher = Stopping()
    assert run(path, out, other, watcher)["resumed"] == 0
    assert any("begins anew" in line for line in watcher.said)


@pytest.fixture(scope="module")
def forking() -> Iterator[Nursery]:
    with nursery() as running:
        yield running


@pytest.mark.slow
def test_killed_it_ends_with_the_same_bytes(tmp_path: Path, tiny_model: Path, forking: Nursery) -> None:
    path, log = prompts(tmp_path / "rows.jsonl", 60), tmp_path / "log"
    flags = ["--model", str(tiny_model), *FLAGS, "--majority", "4", "--logprobs", "1"]

    def write(out: Path, kill_at: tuple[str, int] | None = None) -> int:
        return forking.run(["generate", path, "--out", str(out), *flags], output=log, kill_at=kill_at)

    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert write(whole) == 0, log.read_text()
    assert write(out, ("journal.appended", 1)) == -signal.SIGKILL, log.read_text()
    assert not out.exists()
    assert write(out) == 0, log.read_text()
    assert "of 60 rows had been answered" in log.read_text()
    assert out.read_bytes() == whole.read_bytes()
