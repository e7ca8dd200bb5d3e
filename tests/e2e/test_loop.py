"""The promises of a run, on the real model: nothing twice, only what changed, every row's origin, plain peft."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from heedful.records import read_examples
from interrupted import assert_equal_end, before, killed
from small_project import Project

pytestmark = [pytest.mark.model, pytest.mark.slow]


def artifact(project: Project, stage: str) -> Path:
    (folder,) = (project.folder / ".heedful" / "artifacts" / stage).iterdir()
    return folder


def test_a_second_run_does_nothing_and_says_so(finished: Project) -> None:
    process = finished.heedful("run", prefix=("-X", "importtime", "-m", "heedful"))
    assert process.returncode == 0
    assert "Nothing to do: all 5 stages" in process.stdout
    imported = {line.rpartition("|")[2].strip() for line in process.stderr.splitlines()}
    heavy = {"torch", "transformers", "peft", "daft"}
    assert not heavy & imported, "a run with nothing to do answers at once: it loads no models and no data frames"


def test_a_tune_setting_redoes_tune_and_evaluate_only_and_says_how_long_it_takes(copied: Project) -> None:
    process = copied.heedful("run", "--set", "tune.learning_rate=0.0001")
    assert process.returncode == 0, process.stderr
    built = {folder.name: len(list(folder.iterdir())) for folder in (copied.folder / ".heedful/artifacts").iterdir()}
    assert built == {"import": 1, "construct": 1, "curate": 1, "tune": 2, "evaluate": 2}
    assert re.search(r"tune: \d+ steps to do", process.stderr)
    for stage in ("tune", "evaluate"):
        assert stage in process.stderr
    # Going back finds the old artefacts.
    assert not any(outcome["built"] for outcome in copied.json("run"))


@pytest.mark.long
def test_killed_while_training_it_ends_as_if_nothing_had_happened(finished: Project, tmp_path: Path) -> None:
    project = before("tune", finished, tmp_path / "killed")
    assert killed(project, "train.stepped", 3)
    assert project.heedful("run").returncode == 0
    assert_equal_end(project, finished)


def test_a_comment_in_the_seeds_file_rebuilds_nothing_further_on(copied: Project) -> None:
    seeds = copied.folder / "seeds.jsonl"
    seeds.write_text(seeds.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    outcomes = copied.json("run")
    assert [outcome["stage"] for outcome in outcomes if outcome["built"]] == ["import"], (
        "equal rows, equal content hash"
    )


def test_lineage_of_a_training_row_leads_to_document_or_seed(finished: Project) -> None:
    rows = [row for row in read_examples(artifact(finished, "curate") / "data.parquet") if row.split == "train"]
    constructed = next(row for row in rows if row.method == "templates")
    trail = finished.json("inspect", "lineage", constructed.id[:14])
    assert [step["stage"] for step in trail if step["depth"] == 0] == ["tune", "curate", "construct"]
    assert any(step["depth"] == 1 and "document" in step["what"] and "python-docs" in step["what"] for step in trail)
    imported = next(row for row in rows if row.method == "import")
    trail = finished.json("inspect", "lineage", imported.id)
    assert trail[-1]["stage"] == "import"
    assert "seeds.jsonl" in trail[-1]["what"]


def test_lineage_of_a_normalised_row(copied: Project) -> None:
    seeds = copied.folder / "seeds.jsonl"
    untidy = {
        "instruction": "Name  the capital of France.\u200b \r\n",
        "output": "Paris. \t",
        "language": "en",
        "task": "question_answering",
    }
    seeds.write_text(seeds.read_text(encoding="utf-8") + json.dumps(untidy) + "\n", encoding="utf-8")
    outcomes = {outcome["stage"]: Path(outcome["folder"]) for outcome in copied.json("run", "--until", "curate")}
    before = next(row for row in read_examples(outcomes["import"] / "examples.parquet") if "Paris" in row.answer)
    after = next(row for row in read_examples(outcomes["curate"] / "data.parquet") if "Paris" in row.answer)
    assert before.id == after.id
    assert before.content_hash != after.content_hash
    trail = copied.json("inspect", "lineage", after.id)
    assert [step["stage"] for step in trail] == ["curate", "import"]
    assert after.content_hash[:12] in trail[0]["what"]


@pytest.mark.long
# peft 0.21 reads a property of the model that transformers 5.23 has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
def test_the_adapter_gives_the_same_answers_with_plain_peft(finished: Project) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from heedful.models import load

    folder = artifact(finished, "tune") / "model"
    base_folder = load("smollm2-135m-instruct-q4_1").folder
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(base_folder, dtype=torch.float32), folder
    ).eval()
    for instruction in ("Name three colours.", "What does a compiler do?", "用一句话介绍北京。"):
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": instruction}],
            add_generation_prompt=True,
            return_tensors="pt",
            return_dict=True,
        )["input_ids"]
        with torch.no_grad():
            output = model.generate(ids, max_new_tokens=24, do_sample=False)
        expected = tokenizer.decode(output[0, ids.shape[1] :], skip_special_tokens=True)
        assert finished.json("generate", instruction, "--max-tokens", "24")["text"] == expected


def test_a_tampered_template_is_refused(copied: Project) -> None:
    folder = artifact(copied, "tune") / "model"
    template = folder / "chat_template.jinja"
    changed = template.read_text(encoding="utf-8").replace("helpful", "careless")
    assert changed != template.read_text(encoding="utf-8")
    template.write_text(changed, encoding="utf-8")
    process = copied.heedful("generate", "Name three colours.")
    assert process.returncode == 2, process.stdout
    assert "template" in process.stderr
    assert "Traceback" not in process.stderr


def test_test_rows_are_unseen(finished: Project) -> None:
    rows = read_examples(artifact(finished, "curate") / "data.parquet")
    for kind in ("document", "template", "seed"):
        trained = {row.groups[kind] for row in rows if row.split == "train" and kind in row.groups}
        tested = {row.groups[kind] for row in rows if row.split == "test" and kind in row.groups}
        assert not trained & tested


def test_the_report_lies_beside_the_settings(finished: Project) -> None:
    page = (finished.folder / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)
