"""Tuning on mixed tasks, other prompts, wrong answers and groups: it reports them, continues bit for bit, and refuses nonsense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import ProjectError, SettingsError
from heedful.models import load
from heedful.project import Silent
from heedful.records import Example, Task, TaskExample
from heedful.train import TuneSettings
from heedful.train.loop import SupervisedLoop
from heedful.train.task_settings import EncodingSettings, MixingSettings
from heedful.train.tuning import predict_only
from tiny_runs import changed, run, six_steps


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    return six_steps(tiny_model, batch_size=4, micro_batch_tokens=120, lora_dropout=0.0)


@pytest.fixture
def data(conversation: Any) -> list[Example]:
    """Nine additions in three wordings and three echoes; each addition knows a wrong answer."""
    made = []
    for number in range(3):
        for wording in ("add {0} and {0}", "what is {0} and {0}?", "{0} plus {0}"):
            row = conversation(wording.format(number), f"the sum is {2 * number}", task="add")
            made.append(
                row.with_meta(
                    wrong=[{"output": "the sum is 9", "reason": ""}],
                    groups={"paraphrase": f"sum {number}"},
                    instruction="Add the number to itself.",
                    input=str(number),
                )
            )
        made.append(conversation(f"say {number}", f"{number}", task="say"))
    return [*made, conversation("add 5 and 5", "the sum is 10", task="add", split="validation")]


def test_tasks_are_reported_and_mixed(
    data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    plain = run(data, settings, tmp_path / "plain", quiet := recorder())
    assert not any(line.startswith("task ") for line in quiet.lines), (
        "where every row is read once there is nothing to say"
    )
    assert [(entry["task"], entry["rows_per_epoch"]) for entry in plain.ledger["mixing"]] == [("add", 9), ("say", 3)]
    mixed = changed(settings, mixing=MixingSettings(shares={"add": 0, "say": 1}, rows_per_epoch=8))
    result = run(data, mixed, tmp_path / "mixed", watcher := recorder())
    assert result.num_steps == 4  # 8 rows in batches of 4, twice
    assert json.loads((tmp_path / "mixed" / "out" / "ledger.json").read_text())["mixing"] == [
        {"task": "add", "rows": 9, "rows_per_epoch": 0, "share": 0.0, "readings_of_a_row": [0, 0]},
        {"task": "say", "rows": 3, "rows_per_epoch": 8, "share": 1.0, "readings_of_a_row": [5, 6]},
    ]
    assert any(line.startswith("task ") and "5 or 6 times" in line for line in watcher.lines)
    # All tokens read are those of "say": 16 rows of one length.
    (length,) = {len(row) for row in ids_of(data, settings) if len(row) < 30}
    assert result.history[-1]["tokens"] == 16 * length


def ids_of(data: list[Example], settings: TuneSettings) -> list[list[int]]:
    from heedful.render import renderer_for

    renderer = renderer_for(load(settings.model))
    return [renderer.render(row.messages).input_ids for row in data if row.task == "say"]


def test_prompts_say_the_task(data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    task = Task("t", "add", "Double it.", positive=(TaskExample("7", "14"),))
    said = changed(settings, encoding=EncodingSettings(forms={"definition_and_examples": 1.0}), epochs=1)
    with_record = run(data, said, tmp_path / "record", watcher := recorder(), tasks=[task])
    assert with_record.ledger["encoding"] == [
        {
            "forms": {"definition_and_examples": 9, "as_is": 4},
            "unknown_task": 4,
            "examples_shown": 9,
            "examples_dropped": 0,
            "without_examples": 0,
        }
    ]
    assert any(line.startswith("prompts: definition_and_examples 9") for line in watcher.lines)
    without = run(data, said, tmp_path / "rows", recorder())
    assert without.ledger["encoding"][0]["examples_shown"] == 18
    assert with_record.ledger["train"]["trained"] == without.ledger["train"]["trained"]


def test_wrong_answers_become_less_likely(
    data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    punishing = changed(settings, negative_weight=1.0, epochs=4)
    result = run(data, punishing, tmp_path / "with", recorder())
    # "9" stands where "0", "2" and "4" would: one token a row, "the sum is" and the end of turn are no fault.
    assert result.ledger["wrong_outputs"] == [{"rows": 9, "wrong_outputs": 9, "tokens": 9}]
    assert all(entry["unlikelihood"] > 0 for entry in result.history if "unlikelihood" in entry)
    without = run(data, changed(settings, epochs=4), tmp_path / "without", recorder())
    chances = [chance_of_wrong(tuned.model_folder, data[0]) for tuned in (result, without)]
    assert chances[0] < chances[1]


def chance_of_wrong(folder: Path, row: Example) -> float:
    import torch

    from heedful.render import renderer_for

    loaded = load(folder)
    renderer = renderer_for(loaded)
    ids = renderer.render(row.messages).input_ids
    nine = renderer.pair((*row.prompt, row.messages[-1].__class__("assistant", "9"))).target_ids[0]
    place = max(place for place, token in enumerate(ids) if renderer.decode([token]) == "0")
    with torch.no_grad():
        return float(loaded.model(input_ids=torch.tensor([ids])).logits[0, place - 1].softmax(-1)[nine])


@pytest.mark.parametrize("values", [{"negative_weight": 0.5}, {}])
def test_micro_batches_change_nothing(
    data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, values: Any
) -> None:
    small = changed(settings, learning_rate=1e-3, mixing=MixingSettings(temperature=2), **values)
    histories = [
        run(data, changed(small, micro_batch_tokens=limit), tmp_path / str(limit), recorder()).history
        for limit in (1, 10_000)
    ]
    for alone, together in zip(*histories, strict=True):
        assert alone == pytest.approx(together, rel=1e-5, abs=1e-6)  # soon next to nothing is left to unlearn


def test_contrastive_steps_are_whole_whatever_the_limit(
    data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    pulling = changed(settings, contrastive_weight=0.5, learning_rate=1e-3)
    histories = [
        run(data, changed(pulling, micro_batch_tokens=limit), tmp_path / str(limit), recorder()).history
        for limit in (1, 10_000)
    ]
    for one, other in zip(*histories, strict=True):
        assert one == pytest.approx(other, rel=1e-5)
        assert one["contrastive"] > 0, "every batch has something to pull together"
        assert "validation_contrastive" not in one


@pytest.mark.parametrize(("values", "num_rows"), [({"contrastive_weight": 0.5}, 4), ({}, 1)])
def test_what_is_tried_out_is_what_is_trained(
    data: list[Example], settings: TuneSettings, monkeypatch: pytest.MonkeyPatch, values: Any, num_rows: int
) -> None:
    tried: list[int] = []
    try_out = SupervisedLoop.try_out

    def noted(loop: Any, rows: Any) -> None:
        tried.append(len(rows))
        try_out(loop, rows)

    monkeypatch.setattr(SupervisedLoop, "try_out", noted)
    predict_only(data, changed(settings, micro_batch_tokens=1, **values), seed=5, watcher=Silent())
    assert tried == [num_rows] * 3  # whole steps of 4 rows where they are compared, else rows alone


@pytest.mark.parametrize(
    "values",
    [
        {"mixing": {"temperature": 3.0}, "negative_weight": 0.5},
        {"contrastive_weight": 0.5, "contrastive_by": "paraphrase", "contrastive_projection": 8},
        {"contrastive_weight": 0.5, "packing": False},
    ],
)
def test_stopped_and_continued_it_ends_with_the_same_bytes(
    data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    folder_bytes: Any,
    values: dict[str, Any],
) -> None:
    chosen = changed(settings, lora_dropout=0.2, **values)
    run(data, chosen, tmp_path / "whole", watcher := recorder())
    expected = folder_bytes(tmp_path / "whole" / "out")
    for stop_at in range(3, len(watcher.milestones), 4):
        folder = tmp_path / f"stopped-{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            run(data, chosen, folder, recorder(stop_at))
        run(data, chosen, folder, recorder())
        assert folder_bytes(folder / "out") == expected


def test_a_projection_is_not_saved(data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    whole = changed(settings, adapter="none", learning_rate=1e-3, contrastive_weight=0.5, contrastive_projection=8)
    result = run(data, whole, tmp_path, recorder())
    names = [name for name, _ in load(result.model_folder).model.named_parameters()]
    assert names == [name for name, _ in load(settings.model).model.named_parameters()]


def test_what_is_taught_tells_runs_apart(
    data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    punishing = changed(settings, negative_weight=0.5)
    run(data, punishing, tmp_path, recorder())
    other = [row.with_meta(wrong=[{"output": "no idea", "reason": ""}]) if row.task == "add" else row for row in data]
    with pytest.raises(ProjectError, match="another run"):
        run(other, punishing, tmp_path, recorder())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"negative_weight": 1.0, "contrastive_weight": 1.0}, "choose one"),
        ({"contrastive_weight": 1.0, "batch_size": 3}, "even number"),
        ({"contrastive_weight": 1.0, "batch_size": 2, "mixing": {"cap": 1}}, "pairs of rows"),
        ({"mixing": {"shares": {"adds": 1.0}}}, "did you mean 'add'"),
    ],
)
def test_what_cannot_be_is_refused(
    data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        run(data, changed(settings, **values), tmp_path, recorder())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"negative_weight": 1.0}, "no training row knows a wrong output"),
        ({"contrastive_weight": 1.0, "contrastive_by": "paraphrase"}, "groups.paraphrase"),
    ],
)
def test_rows_without_what_is_needed_are_refused(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, values: Any, words: str
) -> None:
    with pytest.raises(SettingsError, match=words):
        run(small_data, changed(settings, **values), tmp_path, recorder())
