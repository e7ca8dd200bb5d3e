"""`heedful export`: what leaves a project loads in the libraries that people have, and says what it could not take along."""

from __future__ import annotations

import json
import shutil
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import DatasetCard, ModelCard
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from heedful.cli import main
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.records import Example, Message, read_examples, write_examples
from heedful.sources import read_records
from small_project import Project

# Plain peft, without our own precautions, meets a deprecation in transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")

PROMPTS = ("hello there", "茶有哪些种类？", "List  two\tkinds of tea: 1. green")


@pytest.fixture
def project(tiny_project: Project, tmp_path: Path) -> Path:
    """A copy of the finished project: exporting feedback makes a store in it, and some tests change rows."""
    return Path(shutil.copytree(tiny_project.folder, tmp_path / "project"))


@pytest.fixture
def exported(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """`exported("data", "out", ...)` runs the command, which must succeed; returns its JSON."""

    def run(what: str, name: str, *more: str) -> Any:
        capsys.readouterr()
        arguments = [
            "export",
            "--what",
            what,
            "--out",
            str(tmp_path / name),
            "--project",
            str(project),
            "--json",
            *more,
        ]
        assert main(arguments) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    return run


def tuned_folder(project: Path) -> Path:
    return next(project.glob(".heedful/artifacts/tune/*/model"))


def data_file(project: Path) -> Path:
    return next(project.glob(".heedful/artifacts/curate/*/data.parquet"))


def ours(name: Path) -> list[list[int]]:
    """Greedy answers of our engine."""
    requests = [Request(prompt, (Message("user", prompt),), sampling=Sampling(max_tokens=16)) for prompt in PROMPTS]
    return [list(answer.token_ids) for answer in generate(LocalEngine(load(name)), requests)]


def plain(model: Any, tokenizer: Any) -> list[list[int]]:
    """Greedy answers of transformers' own loop."""
    answers = []
    for prompt in PROMPTS:
        message = [{"role": "user", "content": prompt}]
        ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        output = model.generate(**ids, do_sample=False, max_new_tokens=16, pad_token_id=0)
        answers.append(output[0, ids["input_ids"].shape[1] :].tolist())
    return answers


# -- the model --------------------------------------------------------------------------------------------------------------


def test_the_model_answers_the_same_in_plain_transformers_and_here(
    project: Path, tiny_model: Path, tmp_path: Path, exported: Callable[..., Any]
) -> None:
    result = exported("model", "model")
    folder = tmp_path / "model"
    expected = ours(tuned_folder(project))
    assert plain(AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)) == expected
    assert ours(folder) == expected
    assert set(result["files"]) == {path.name for path in folder.iterdir()}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert len(modes) == 1, "what some library wrote for its owner's eyes only must be readable like the rest"
    card = ModelCard.load(folder / "README.md")
    assert (card.data.library_name, card.data.language) == ("transformers", ["en", "zh"])
    assert "| Perplexity ↓ | 3 |" in card.text
    # The base was a folder of this machine: its name is told, not where it lies.
    assert not [path for path in folder.iterdir() if bytes(tiny_model.parent) in path.read_bytes()]


def test_the_adapter_loads_in_plain_peft(
    project: Path, tiny_model: Path, tmp_path: Path, exported: Callable[..., Any]
) -> None:
    exported("adapter", "adapter")
    folder = tmp_path / "adapter"
    base = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.float32)
    assert plain(PeftModel.from_pretrained(base, folder), AutoTokenizer.from_pretrained(folder)) == ours(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(tiny_model.resolve())
    source = tuned_folder(project)
    assert {path.name for path in folder.iterdir()} == {path.name for path in source.iterdir()} | {"README.md"}
    assert all((folder / path.name).read_bytes() == path.read_bytes() for path in source.iterdir())
    assert ModelCard.load(folder / "README.md").data.tags == ["heedful", "instruction-tuning", "lora"]


def test_the_gguf_is_the_merged_model(project: Path, tmp_path: Path, exported: Callable[..., Any]) -> None:
    import gguf

    assert exported("gguf", "model.gguf", "--type", "f32")["type"] == "f32"
    exported("model", "model")
    merged = load(tmp_path / "model")
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    weight = merged.model.state_dict()["model.layers.1.mlp.down_proj.weight"].numpy()
    assert (tensors["blk.1.ffn_down.weight"] == weight).all()
    found = gguf.GGUFReader(tmp_path / "model.gguf").fields
    assert found["tokenizer.chat_template"].contents() == merged.tokenizer.chat_template
    assert found["general.name"].contents() == "tiny"
    # A GGUF is a model's name like any other, and the template inside is the trained one.
    assert ours(tmp_path / "model.gguf") == ours(tuned_folder(project))


def test_a_model_that_was_not_evaluated_says_so(project: Path, tmp_path: Path, exported: Callable[..., Any]) -> None:
    shutil.rmtree(project / ".heedful" / "artifacts" / "evaluate")
    exported("model", "model")
    assert "**Not evaluated.**" in (tmp_path / "model" / "README.md").read_text(encoding="utf-8")


# -- the data ---------------------------------------------------------------------------------------------------------------


def with_rows(project: Path, rows: Sequence[Example]) -> None:
    """Put further rows into the training split."""
    path = data_file(project)
    write_examples(path, [*read_examples(path), *rows])


def example(name: str, *turns: str, **more: Any) -> Example:
    """A row of turns that begin with `s:`, `u:`, `a:` or `t:`."""
    roles = {"s": "system", "u": "user", "a": "assistant", "t": "tool"}
    messages = tuple(Message(roles[turn[0]], turn[2:]) for turn in turns)  # type: ignore[arg-type]
    return Example(name, messages, "import", "added.jsonl", split="train", **more)


SPECIAL = (
    example("several", "u:你好", "a:您好！", "u:再见", "a:再见！"),
    example("system", "s:Be brief.", "u:Tea?", "a:Yes."),
    example("tool", "u:Time?", "a:{}", "t:9:30", "a:Half past nine."),
    example("bad", "u:Tea?", "a:Coffee.", weight=0.0),
    example("triple", "u:Translate.\n\nTea\n\nis", "a:茶", meta='{"input":"Tea\\n\\nis","instruction":"Translate."}'),
    example("edited", "u:Translate it.\n\nTea", "a:茶", meta='{"input":"Tea","instruction":"Translate."}'),
)


def loaded(folder: Path) -> Any:
    """As anyone loads a data set, without the network."""
    import datasets

    datasets.disable_progress_bars()
    return datasets.load_dataset(str(folder), cache_dir=str(folder.parent / "cache"))


@pytest.mark.parametrize("format", ["parquet", "jsonl"])
def test_everything_comes_back(project: Path, tmp_path: Path, exported: Callable[..., Any], format: str) -> None:
    with_rows(project, SPECIAL)
    rows = read_examples(data_file(project))
    result = exported("data", "data", "--format", format)
    assert (result["refused"], sum(result["rows"].values())) == ({}, len(rows))
    read = read_records([str(tmp_path / "data" / f"{split}.{format}") for split in ("train", "validation", "test")])
    assert sorted(read.examples, key=lambda row: row.id) == sorted(rows, key=lambda row: row.id)
    data = loaded(tmp_path / "data")
    assert (
        {name: len(part) for name, part in data.items()} == result["rows"] == {"train": 20, "validation": 1, "test": 3}
    )
    by_id = {row["id"]: row for row in data["train"]}
    assert by_id["several"]["messages"][2] == {"role": "user", "content": "再见"}
    assert by_id["several"]["parents"] == []


def test_alpaca_takes_one_turn_and_lists_the_rest(project: Path, tmp_path: Path, exported: Callable[..., Any]) -> None:
    with_rows(project, SPECIAL)
    result = exported("data", "data", "--format", "alpaca")
    assert result["refused"] == {
        "several turns": 2,
        "a system message": 1,
        "weight 0: kept as a bad example, which training in this format would learn": 1,
    }
    refused = [json.loads(line) for line in (tmp_path / "data" / "refused.jsonl").read_text().splitlines()]
    assert [(row["id"], row["split"]) for row in refused] == [
        (name, "train") for name in ("several", "system", "tool", "bad")
    ]
    data = loaded(tmp_path / "data")
    assert (
        {name: len(part) for name, part in data.items()} == result["rows"] == {"train": 16, "validation": 1, "test": 3}
    )
    assert data["train"].column_names == ["instruction", "input", "output"]
    added = data["train"].to_list()[-2:]
    assert added[0] == {"instruction": "Translate.", "input": "Tea\n\nis", "output": "茶"}
    # What a row remembers of its instruction no longer holds once the message was edited.
    assert added[1] == {"instruction": "Translate it.\n\nTea", "input": "", "output": "茶"}
    card = (tmp_path / "data" / "README.md").read_text(encoding="utf-8")
    assert (
        "**Left out, because the format cannot hold them:** 2 rows (several turns), 1 rows (a system message)" in card
    )


def test_sharegpt_takes_every_turn(project: Path, tmp_path: Path, exported: Callable[..., Any]) -> None:
    with_rows(project, SPECIAL)
    result = exported("data", "data", "--format", "sharegpt")
    assert sum(result["refused"].values()) == 1, "only the bad example"
    by_id = {row["id"]: row["conversations"] for row in loaded(tmp_path / "data")["train"]}
    assert by_id["tool"] == [
        {"from": "human", "value": "Time?"},
        {"from": "gpt", "value": "{}"},
        {"from": "tool", "value": "9:30"},
        {"from": "gpt", "value": "Half past nine."},
    ]
    assert by_id["system"][0] == {"from": "system", "value": "Be brief."}
    # Our own reader makes the same messages of it.
    rows = {row.id: row.messages for row in read_examples(data_file(project)) if row.split == "train" and row.weight}
    read = read_records([str(tmp_path / "data" / "train.jsonl")]).examples
    assert [row.messages for row in read] == list(rows.values())


def test_the_card_of_the_data(project: Path, tmp_path: Path, exported: Callable[..., Any]) -> None:
    exported("data", "data")
    card = DatasetCard.load(tmp_path / "data" / "README.md")
    assert card.data.size_categories == "n<1K"
    splits = ("train", "validation", "test")
    assert card.data.configs[0]["data_files"] == [{"split": name, "path": f"{name}.parquet"} for name in splits]
    for part in ("seeds.jsonl | not stated | 12", "templates", "18 of 18 rows were kept", "## Known risks"):
        assert part in card.text


def test_rows_that_a_format_can_hold_none_of(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_examples(data_file(project), SPECIAL[:4])
    assert refused(project, capsys, "--what", "data", "--format", "alpaca", "--out", str(tmp_path / "x")).endswith(
        "--format parquet holds all\n"
    )
    assert not (tmp_path / "x").exists()


# -- feedback ---------------------------------------------------------------------------------------------------------------


def test_feedback_comes_out_as_lines(project: Path, tmp_path: Path, exported: Callable[..., Any]) -> None:
    from heedful.feedback.store import Store
    from heedful.project.folder import Project as Folder

    assert exported("feedback", "none.jsonl")["rows"] == 0
    store = Store(Folder.open(project).feedback_url)
    talk = store.new_conversation(title="茶")
    question = store.add_message(talk.id, "user", "What is tea?", parent=None)
    answer = store.add_message(talk.id, "assistant", "A car.", parent=question.id, model="tiny")
    store.rate(answer.id, rating=-1, reason="wrong", correction="A drink.")
    store.close()
    assert exported("feedback", "said.jsonl")["rows"] == 1
    row = json.loads((tmp_path / "said.jsonl").read_text(encoding="utf-8"))
    assert (row["answer"], row["correction"], row["rating"]) == ("A car.", "A drink.", -1)


# -- what goes wrong --------------------------------------------------------------------------------------------------------


def refused(project: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one message of an export that must end with exit code 2."""
    capsys.readouterr()
    assert main(["export", *arguments, "--project", str(project)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--what", "modell", "--out", "x"), "--what 'modell': expected one of model, adapter, gguf, data, feedback; did you mean 'model'?"),
        (("--what", "data", "--format", "csv", "--out", "x"), "expected one of parquet, jsonl, alpaca, sharegpt"),
        (("--what", "gguf", "--type", "q4", "--out", "x.gguf"), "expected one of f32, f16, q8_0"),
        (("--what", "model", "--type", "f16", "--out", "x"), "--type is for --what gguf"),
        (("--what", "gguf", "--format", "jsonl", "--out", "x.gguf"), "--format is for --what data"),
        (("--what", "gguf", "--out", "x"), "expected a name that ends in .gguf"),
        (("--what", "feedback", "--out", "x.json"), "expected a name that ends in .jsonl"),
        (("--what", "data", "--out", "here"), "something is there already"),
        (("--what", "data", "--out", "gone"), "something is there already"),
        (("--what", "data", "--out", "file/x"), "is not a folder that you may write into"),
    ],
)  # fmt: skip
def test_mistakes(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], message: str,
) -> None:  # fmt: skip
    place = tmp_path / "place"
    (place / "here").mkdir(parents=True)
    (place / "here" / "mine.txt").write_text("kept")
    (place / "file").write_text("a file")
    (place / "gone").symlink_to(place / "nowhere")
    monkeypatch.chdir(place)
    before = sorted(path.name for path in place.rglob("*"))
    assert message in refused(project, capsys, *arguments)
    assert sorted(path.name for path in place.rglob("*")) == before


def test_no_project_and_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no such folder" in refused(tmp_path / "nowhere", capsys, "--what", "model", "--out", str(tmp_path / "x"))
    assert main(["init", str(tmp_path / "new")]) == 0
    for what, name in (("model", "x"), ("adapter", "x"), ("gguf", "x.gguf"), ("data", "x")):
        message = refused(tmp_path / "new", capsys, "--what", what, "--out", str(tmp_path / name))
        assert "is not built for these settings; `heedful run` builds it" in message
        assert not (tmp_path / name).exists()


def test_a_failure_on_the_way_leaves_nothing(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(facts: Any) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("heedful.report.cards.dataset_card", fails)
    place = tmp_path / "place"
    assert main(["export", "--what", "data", "--out", str(place / "data"), "--project", str(project)]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert list(place.iterdir()) == []


def test_a_fully_trained_model_has_no_adapter(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], exported: Callable[..., Any]
) -> None:
    # What training with tune.adapter = "none" leaves: full weights where the adapter would be.
    exported("model", "full")
    folder = tuned_folder(project)
    kept = {path.name for path in folder.iterdir()}
    shutil.rmtree(folder)
    shutil.copytree(tmp_path / "full", folder)
    for name in kept - {path.name for path in folder.iterdir()}:
        (folder / name).touch()  # the manifest asks for its files
    (folder / "adapter_config.json").unlink()
    manifest = folder.parent / "manifest.json"
    value = json.loads(manifest.read_text())
    value["files"] = {name: sum_ for name, sum_ in value["files"].items() if not name.endswith("adapter_config.json")}
    manifest.write_text(json.dumps(value))
    message = refused(project, capsys, "--what", "adapter", "--out", str(tmp_path / "adapter"))
    assert "no adapter; `heedful export --what model`" in message
