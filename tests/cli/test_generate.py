"""`heedful generate`: --out decides between an instruction and files; what it says, prints and refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from heedful.cli import main
from heedful.generate.engine import Request, Sampling
from heedful.generate.fake import FakeEngine
from heedful.pipeline import engines, generating
from heedful.project import Watcher


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, set[str]]]:
    """Models and needs, as engines were asked for; every answer is hostile to terminals."""
    asked: list[tuple[str, set[str]]] = []

    def new_engine(name: str, watcher: Watcher, *, needs: Sequence[str] = (), precision: str = "") -> FakeEngine:
        asked.append((name, set(needs)))
        return Recording(lambda request: f"\x1b]0;owned\x07{request.messages[-1].content} \u202eyes")

    monkeypatch.setattr(engines, "new_engine", new_engine)
    monkeypatch.setattr(generating, "new_engine", new_engine)
    Recording.requests.clear()
    return asked


class Recording(FakeEngine):
    requests: list[Request] = []  # noqa: RUF012

    def submit(self, request: Request) -> Any:
        Recording.requests.append(request)
        return super().submit(request)

    def check(self, request: Request) -> None:
        pass


def run(*arguments: str, expected: int = 0) -> None:
    assert main(["generate", "--model", "some", *arguments]) == expected


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    run(*arguments, expected=2)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err
    return captured.err


def rows(path: Path, *values: dict[str, Any]) -> str:
    path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")
    return str(path)


def test_one_answer_as_ever(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    run("Say yes.", "--input", "Now.", "--json")
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {
        "text": "\x1b]0;owned\x07Say yes.\n\nNow. \u202eyes",
        "finish_reason": "stop",
        "prompt_tokens": 3,
        "completion_tokens": 4,
        "complaints": [],
    }
    assert captured.err.count("answered by the fake engine") == 1
    assert opened == [("some", set())]


def test_what_a_model_writes_does_not_steer_a_terminal(
    opened: list[Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run("Hi")
    assert capsys.readouterr().out == "\x1b]0;owned\x07Hi \u202eyes\n", "a pipe gets what was written"
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    run("Hi", "--forbid", "Hi")
    captured = capsys.readouterr()
    assert "␛]0;owned␇" in captured.out
    assert not {"\x1b", "\x07", "\u202e"} & set(captured.out + captured.err)
    assert "not satisfied" in captured.err


def test_several_answers(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    run("Hi", "--n", "2", "--json")
    found = json.loads(capsys.readouterr().out)
    assert [answer["finish_reason"] for answer in found["answers"]] == ["stop", "stop"]
    run("Hi", "--n", "2", "--max-tokens", "1")
    captured = capsys.readouterr()
    assert [line[:3] for line in captured.out.splitlines() if line] == ["[1]", "[2]"]
    assert "[2] cut off after 1 tokens" in captured.err


def test_every_way_of_choosing_tokens_reaches_the_engine(opened: list[Any], tmp_path: Path) -> None:
    flags = [
        "--max-tokens",
        "9",
        "--temperature",
        "0.7",
        "--seed",
        "5",
        "--top-p",
        "0.9",
        "--top-k",
        "40",
        "--min-p",
        "0.05",
    ]
    flags += ["--n", "2", "--stop", "END", "--stop", "。"]
    expected = Sampling(
        max_tokens=9, temperature=0.7, seed=5, top_p=0.9, top_k=40, min_p=0.05, n=2, stop=("END", "。")
    )  # fmt: skip
    run("Hi", *flags)
    run(rows(tmp_path / "a.jsonl", {"prompt": "Hi"}), "--out", str(tmp_path / "out.jsonl"), *flags)
    assert [request.sampling for request in Recording.requests] == [expected, expected]
    assert opened[1] == ("some", {"several"})


@pytest.mark.parametrize(
    ("flags", "needs"), [(["--logprobs", "0"], {"logprobs"}), (["--sampling", "num_beams=3"], set())]
)
def test_what_is_asked_for_decides_which_engines_can_answer(
    opened: list[Any], capsys: pytest.CaptureFixture[str], flags: list[str], needs: set[str]
) -> None:
    # The fake engine can do neither, and says so.
    assert "the fake engine cannot honour" in failure(capsys, "Hi", *flags)
    assert opened == [("some", needs)]


def test_logprobs_of_one_answer(tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["generate", "Hi", "--model", str(tiny_model), "--max-tokens", "3", "--logprobs", "2", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["token_ids"]) == len(found["logprobs"]) == len(found["top_logprobs"]) == 3


def test_a_gguf_file_is_a_model(tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from heedful.models import load
    from heedful.models.gguf_writer import GgufFacts, write_gguf

    loaded = load(tiny_model)
    gguf = tmp_path / "tiny.gguf"
    write_gguf(loaded, gguf, type="f32", facts=GgufFacts("tiny", loaded.tokenizer.chat_template, end_of_turn=2))
    texts = []
    for model in (tiny_model, gguf):
        assert main(["generate", "Say something.", "--model", str(model), "--max-tokens", "12", "--json"]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1] != ""


# -- files -----------------------------------------------------------------------------------------------------------------


def test_rows_in_rows_out(opened: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = rows(tmp_path / "a.jsonl", {"prompt": "one"}, {"prompt": "two", "id": "second"})
    run(path, "--out", str(tmp_path / "out.jsonl"))
    captured = capsys.readouterr()
    assert "2 rows answered by the fake engine" in captured.out
    assert captured.err.count("answered by the fake engine") == 1
    found = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in found] == ["a.jsonl:1", "second"]
    assert found[0]["answers"][0]["text"] == "\x1b]0;owned\x07one \u202eyes"
    run(str(tmp_path / "a.*"), "--out", str(tmp_path / "out.jsonl"), "--words", "30:", "--json")
    summary = json.loads(capsys.readouterr().out)
    assert (summary["rows"], summary["breaking_requirements"], summary["out"]) == (2, 2, str(tmp_path / "out.jsonl"))
    assert all("30" in request.messages[-1].content for request in Recording.requests[-2:]), "it is said in the prompt"


def test_bad_rows_are_an_error_until_skipping_is_asked_for(
    opened: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rows(tmp_path / "a.jsonl", {"prompt": "one"}, {"text": "two"})
    out = tmp_path / "out.jsonl"
    said = failure(capsys, path, "--out", str(out))
    assert "1 of 2 rows cannot be answered" in said
    assert "a.jsonl, line 2: field 'instruction' is missing" in said
    assert "--skip-bad-rows" in said
    assert (opened, out.exists()) == ([], False)
    run(path, "--out", str(out), "--skip-bad-rows", "--json")
    summary = json.loads(capsys.readouterr().out)
    assert (summary["answered"], summary["skipped"], len(summary["bad_rows"])) == (1, 1, 1)
    assert Path(summary["skipped_rows"]).is_file()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["Say", "yes"], "put the instruction in quotes"),
        (["{file}"], "is a file; to answer its rows, add --out PATH"),
        (["Say yes.", "--skip-bad-rows"], "--skip-bad-rows is for the rows of files"),
        (["{file}", "--out", "{out}", "--input", "tea"], "--input belongs to an instruction"),
        (["Say yes", "--out", "{out}"], "is no file: with --out, arguments name files"),
        (["Say yes.\nThen no.", "--out", "{out}"], "is no file: with --out, arguments name files"),
        (["x" * 5000, "--out", "{out}"], "is no file: with --out, arguments name files"),
        (["absent.jsonl", "--out", "{out}"], "absent.jsonl: no such file or folder"),
        (["{file}", "--out", "{out}.csv"], "ends in .jsonl"),
        (["Hi", "--sampling", "min_token=3"], "did you mean 'min_tokens'?"),
        (["Hi", "--sampling", "temperature=3"], "has an option of its own, --temperature"),
        (["Hi", "--top-p", "1.5"], "top-p"),
        (["Hi", "--words", "many"], "words"),
    ],
)
def test_what_cannot_be_meant_is_said(
    opened: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    file = rows(tmp_path / "a.jsonl", {"prompt": "one"})
    given = [argument.format(file=file, out=tmp_path / "out.jsonl") for argument in arguments]
    assert expected in failure(capsys, *given)
    assert Recording.requests == []


def test_a_long_instruction_is_no_file(opened: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    run("word " * 2000, "--json")
    assert "word" in json.loads(capsys.readouterr().out)["text"]
    run("What is in rows.jsonl", "--json")
    assert "rows.jsonl" in json.loads(capsys.readouterr().out)["text"]


def test_help_says_what_is_a_file_and_loads_nothing_heavy() -> None:
    environment = {**os.environ, "COLUMNS": "100"}
    command = [sys.executable, "-m", "heedful", "generate", "--help"]
    text = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
    words = " ".join(text.split())
    for said in ("Without --out there is one argument, an instruction.", "Killed, the same command continues."):
        assert said in words
    for flag in (
        "--out",
        "--skip-bad-rows",
        "--top-p",
        "--top-k",
        "--min-p",
        "--n",
        "--stop",
        "--sampling",
        "--logprobs",
    ):
        assert f"{flag} " in words
    # typer itself takes pydantic for the help of any command; ours must come from nothing else that is heavy.
    code = "import sys; from heedful.cli import main; main(['generate', '--help'])\n"
    code += "print(sorted({'torch', 'daft', 'transformers', 'pyarrow', 'regex', 'rich', 'numpy'} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.splitlines()[-1] == "[]"
