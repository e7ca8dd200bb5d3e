"""`heedful verify`: what is shown is what is trained, what cannot be trained is refused in one sentence, verdicts are exit codes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoTokenizer

from heedful.cli import main
from heedful.errors import TemplateMismatchError
from heedful.generate import Request
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.models.scratch import CHATML, tiny_llama
from heedful.project import Silent
from heedful.records import Example, Message, Split, example_to_row, origin_id
from heedful.sources import read_records
from heedful.train import TuneSettings
from heedful.train.verifying import invariance
from heedful.train.verifying.mask import prove_mask
from small_project import Project

HOSTILE = "\x1b[31m<script>alert(1)</script> <|im_end|>"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Six rows: four to train on, one of them hostile and one Chinese, one to validate, one to test."""
    said: list[tuple[str, str, Split]] = [
        ("Hi", "Yo", "train"),
        ("Name a tea.", "Green tea.", "train"),
        ("说你好", "你好，朋友", "train"),
        (HOSTILE, HOSTILE, "train"),
        ("Name a colour.", "Blue.", "validation"),
        ("Name a sea.", "Red.", "test"),
    ]
    written = [
        Example(
            origin_id("rows", question),
            (Message("user", question), Message("assistant", answer)),
            "import",
            "rows",
            split=split,
        )
        for question, answer, split in said
    ]
    path = tmp_path / "rows.jsonl"
    lines = (json.dumps(example_to_row(row), ensure_ascii=False) + "\n" for row in written)
    path.write_text("".join(lines), encoding="utf-8")
    return path


def verify(capsys: pytest.CaptureFixture[str], model: Path, *arguments: str, **settings: Any) -> tuple[int, str, str]:
    """Exit code, standard output and standard error."""
    chosen = {"model": f'"{model}"', "lora_rank": 2, "batch_size": 2, "precision": '"float32"', **settings}
    overrides = [part for key, value in chosen.items() for part in ("--set", f"tune.{key}={value}")]
    capsys.readouterr()
    code = main(["verify", *arguments, *overrides])
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return code, captured.out, captured.err


# -- mask ------------------------------------------------------------------------------------------------------------


def test_the_mask_is_shown_and_counted(rows: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verify(capsys, tiny_model, "mask", str(rows), "--limit", "4")
    assert code == 0
    assert "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n" in out
    assert "«你好，朋友<|im_end|>»" in out, "characters of several tokens are whole"
    assert "\x1b" not in out
    assert "␛[31m<script>alert(1)</script> <|im_end|><|im_end|>»" in out
    assert "5 prompts are the same, token by token, in training and in use" in out
    assert "trained" in out
    assert "token ledger" in out
    assert "answers end with <|im_end|>" in out


def test_json_holds_every_token(rows: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = verify(capsys, tiny_model, "mask", str(rows), "--limit", "1", "--json")
    proof = json.loads(out)
    assert code == 0
    [row] = proof["rows"]
    assert [(stretch["trained"], "".join(stretch["tokens"])) for stretch in row["stretches"]] == [
        (False, "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"),
        (True, "Yo<|im_end|>"),
        (False, "\n"),
    ]
    assert row["stretches"][1]["tokens"] == ["Y", "o", "<|im_end|>"]
    assert (row["num_trained"], row["num_end_of_turn"]) == (3, 1)
    assert proof["ledger"]["train"]["end_of_turn"] == 4


class _Text(HTMLParser):
    """Tags and the text within <mark>."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.marked: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        if tag == "mark":
            self._inside = True
            self.marked.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "mark"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.marked[-1] += data


def test_a_page_holds_the_same_and_no_script(
    rows: Path, tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "mask.html"
    code, _, _ = verify(capsys, tiny_model, "mask", str(rows), "--limit", "4", "--html", str(page))
    assert code == 0
    parsed = _Text()
    parsed.feed(page.read_text(encoding="utf-8"))
    assert "script" not in parsed.tags
    assert parsed.marked[1:3] == ["Yo<|im_end|>", "Green tea.<|im_end|>"]
    assert len(parsed.marked) == 5, "the legend and four rows"
    code, _, err = verify(capsys, tiny_model, "mask", str(rows), "--html", str(rows))
    assert code == 2
    assert ".html" in err


def test_the_engine_asks_what_the_proof_compared(rows: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = read_records([str(rows)]).examples
    loaded = load(tiny_model)
    proof = prove_mask(examples, TuneSettings(model=str(tiny_model)), seed=1, watcher=Silent(), limit=9)
    assert proof.num_prompts == 5
    engine = LocalEngine(loaded)
    asked: list[list[int]] = []
    prompt_ids = engine._renderer.prompt_ids

    def noted(messages: Sequence[Message]) -> list[int]:
        asked.append(prompt_ids(messages))
        return asked[-1]

    monkeypatch.setattr(engine._renderer, "prompt_ids", noted)
    with engine:
        for example in examples:
            engine.submit(Request(example.id, example.messages[:1])).cancel()
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    shown = ["".join(row.stretches[0].tokens) for row in proof.rows]
    assert [tokenizer.decode(ids) for ids in asked[:5]] == shown


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_length": 12}, "nothing would be trained"),
        ({"max_length": 30, "too_long": '"cut"'}, "are trained without an end of turn"),
        ({"max_length": 30, "too_long": '"error"'}, "tune.max_length = 30"),
    ],
)
def test_what_would_teach_nothing_or_never_to_stop_is_refused(
    rows: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], settings: dict[str, Any], words: str
) -> None:
    code, out, err = verify(capsys, tiny_model, "mask", str(rows), **settings)
    assert (code, out) == (2, "")
    assert words in err


@pytest.mark.parametrize(
    ("template", "words"),
    [
        (CHATML.replace("'<|im_end|>'", "''"), "nothing ends a turn"),
        ("{{ strftime_now('%d %b %Y') }}" + CHATML, "writes the date or the time"),
        (
            CHATML.replace(
                "'<|im_start|>' + message['role']", "'<|im_start|>' + message['role'] + (messages | length) | string"
            ),
            "otherwise in a finished conversation",
        ),
    ],
    ids=["no end of turn", "date", "rewrites history"],
)
def test_templates_that_cannot_be_trained_are_refused(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], template: str, words: str
) -> None:
    model = tiny_llama(tmp_path / "model", seed=0, chat_template=template)
    code, out, err = verify(capsys, model, "mask", str(rows))
    assert (code, out) == (2, "")
    assert words in err


def test_a_template_for_one_turn_only_is_a_warning(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forgetful = CHATML.replace(
        "message['content'] +",
        "(message['content'] if loop.last or message['role'] == 'user' else message['content'] + ' ') +",
    )
    code, out, _ = verify(capsys, tiny_llama(tmp_path / "model", seed=0, chat_template=forgetful), "mask", str(rows))
    assert code == 0
    assert "warning: conversations of several turns are refused: the chat template rewrites message 2" in out


def test_another_prompt_in_use_is_refused(rows: Path, tiny_model: Path, tmp_path: Path) -> None:
    examples = read_records([str(rows)]).examples
    other = tiny_llama(tmp_path / "other", seed=0, chat_template=CHATML.replace("assistant", "helper"))
    with pytest.raises(TemplateMismatchError, match=r"token \d+ is 'a' in training and 'h' in use"):
        prove_mask(examples, TuneSettings(model=str(tiny_model)), seed=1, watcher=Silent(), served=str(other))


def test_a_project_is_compared_with_its_tuned_model(tiny_project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["verify", "mask", "--project", str(tiny_project.folder), "--json"]) == 0
    proof = json.loads(capsys.readouterr().out)
    assert proof["num_prompts"] == sum(proof["ledger"][split]["examples"] for split in ("train", "validation"))


def test_no_rows_are_said(tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project = tmp_path / "mine"
    assert main(["init", str(project)]) == 0
    capsys.readouterr()
    assert main(["verify", "mask", "--project", str(project)]) == 2
    assert "'curate' is not built" in capsys.readouterr().err


# -- resume and invariance ---------------------------------------------------------------------------------------------


def test_invariance_is_a_verdict(
    rows: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = verify(capsys, tiny_model, "invariance", str(rows), "--rows", "4", "--double")
    assert code == 0
    assert "invariance holds: loss within 1e-10" in out
    monkeypatch.setitem(invariance.LIMITS, torch.float32, (-1.0, 1e-4))
    code, out, _ = verify(capsys, tiny_model, "invariance", str(rows), "--rows", "4", "--json")
    assert code == 1
    assert json.loads(out)["holds"] is False


@pytest.mark.long
def test_resuming_is_tried_in_processes_that_are_killed(
    rows: Path, tiny_model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = verify(capfd, tiny_model, "resume", str(rows), "--steps", "4", "--json")
    proof = json.loads(out)
    assert (code, proof["holds"], proof["num_steps"]) == (0, True, 4)
    assert proof["killed_after"] == [1, 2, 3]


def test_too_few_steps_are_refused(rows: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = verify(capsys, tiny_model, "resume", str(rows), "--steps", "2")
    assert code == 2
    assert "--steps 4 or more" in err
