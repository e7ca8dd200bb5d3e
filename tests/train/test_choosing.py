"""Which weights and which settings are kept: by answers while training, and by a sweep that stops losers early."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from heedful.errors import InputError, SettingsError
from heedful.generate import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.project import Silent
from heedful.project.settings import parse_settings
from heedful.records import Example, RequirementSpec
from heedful.train import TuneSettings
from heedful.train.loop import Schedule
from heedful.train.sweep import combinations
from heedful.train.tuning import predict_only
from heedful.train.watching.answers import AnswerMeasures
from heedful.train.watching.goodness import best_entry
from tiny_runs import changed, run, six_steps


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    return six_steps(tiny_model, epochs=4, micro_batch_tokens=2048, lora_rank=4)


# -- by answers --------------------------------------------------------------------------------------------------------


@pytest.fixture
def letters(conversation: Any) -> list[Example]:
    """Validation wants another answer than training teaches, but for its first letters."""
    short = RequirementSpec("words", {"maximum": 3})
    rows = [conversation(f"letter {n}", "aaaa") for n in range(6)]
    return rows + [conversation(f"letter {n}", "aab", split="validation", requirements=(short,)) for n in (7, 8)]


def test_the_measures_are_those_of_the_saved_model(
    letters: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    result = run(letters, changed(settings, best_by="rouge_l", lora_dropout=0.0), tmp_path, recorder())
    evaluated = [entry for entry in result.history if "validation_loss" in entry]
    assert all(0 <= entry["validation_rouge_l"] <= 1 for entry in evaluated)
    assert all({"validation_exact_match", "validation_requirements"} <= entry.keys() for entry in evaluated)
    best = max(evaluated, key=lambda entry: (entry["validation_rouge_l"], -entry["validation_loss"]))
    assert (result.best_step, result.best_measure) == (best["step"], best["validation_rouge_l"])
    assert f"best rouge_l {result.best_measure:.3f} at step {result.best_step}" in result.describe_best()
    tuned = load(tmp_path / "out" / "model")
    measures = AnswerMeasures(tuned, letters[-2:], changed(settings, best_by="rouge_l"), seed=5)()
    assert {f"validation_{name}": value for name, value in measures.items()} == {
        name: best[name] for name in ("validation_rouge_l", "validation_exact_match", "validation_requirements")
    }


def test_measures_by_hand(
    letters: list[Example], settings: TuneSettings, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measures = AnswerMeasures(load(tiny_model), letters[-2:], changed(settings, evaluation_answers=9), seed=1)
    monkeypatch.setattr(AnswerMeasures, "_texts", lambda self: ["aab", "one two three four"])
    # One of two equals its reference and shares all its words with it; the other shares none, and has four words.
    assert measures() == {"rouge_l": 0.5, "exact_match": 0.5, "requirements": 0.5}


def test_answers_are_those_of_the_engine_and_leave_the_model_alone(
    letters: list[Example], settings: TuneSettings, tiny_model: Path
) -> None:
    import torch

    loaded = load(tiny_model)
    loaded.model.train()
    rows = letters[-2:]
    state = torch.random.get_rng_state()
    measures = AnswerMeasures(loaded, rows, changed(settings, evaluation_answers=2), seed=1)
    texts = measures._texts()
    assert torch.equal(state, torch.random.get_rng_state())
    assert loaded.model.training
    engine = LocalEngine(load(tiny_model))
    longest = max(len(loaded.tokenizer(row.answer).input_ids) for row in rows)
    sampling = Sampling(temperature=0.0, max_tokens=longest + 16)
    asked = [Request(id=row.id, messages=row.prompt, sampling=sampling) for row in measures.rows]
    assert texts == [generation.text for generation in generate(engine, asked)]
    engine.close()


@pytest.mark.parametrize("stop_at", [4, 12])
def test_chosen_by_answers_a_stopped_run_ends_with_the_same_bytes(
    letters: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any, stop_at: int
) -> None:
    settings = changed(settings, best_by="exact_match", epochs=3)
    run(letters, settings, tmp_path / "whole", recorder())
    with pytest.raises(KeyboardInterrupt):
        run(letters, settings, tmp_path / "stopped", recorder(stop_at))
    run(letters, settings, tmp_path / "stopped", recorder())
    assert folder_bytes(tmp_path / "stopped" / "out") == folder_bytes(tmp_path / "whole" / "out")


def test_watching_answers_changes_no_weight(
    letters: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(letters, settings, tmp_path / "plain", recorder())
    run(letters, changed(settings, evaluation_answers=2), tmp_path / "watched", recorder())
    plain, watched = (folder_bytes(tmp_path / name / "out") for name in ("plain", "watched"))
    assert {name for name in plain if plain[name] != watched[name]} == {"history.json", "model/heedful.json"}
    entries = json.loads(watched["history.json"])
    kinds = ("validation_rouge_l", "validation_exact_match", "validation_requirements")
    assert [{k: v for k, v in entry.items() if k not in kinds} for entry in entries] == json.loads(
        plain["history.json"]
    )


def test_what_cannot_be_chosen_by_is_refused(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    with pytest.raises(InputError, match="no validation row has a requirement"):
        run(small_data, changed(settings, best_by="requirements"), tmp_path, recorder())


def test_of_equals_the_lower_loss_is_better() -> None:
    history = [
        {"step": 1, "validation_loss": 2.0, "validation_exact_match": 0.5},
        {"step": 2},
        {"step": 3, "validation_loss": 1.5, "validation_exact_match": 0.5},
        {"step": 4, "validation_loss": 1.0, "validation_exact_match": 0.25},
    ]
    assert best_entry(history, "exact_match") == history[2]
    assert best_entry(history, "loss") == history[3]
    assert best_entry([{"step": 1}], "loss") is None


# -- the sweep -----------------------------------------------------------------------------------------------------------


def test_every_combination_in_order() -> None:
    assert combinations({"learning_rate": (0.1, 0.2), "lora_rank": (2, 4)}) == [
        {"learning_rate": 0.1, "lora_rank": 2},
        {"learning_rate": 0.1, "lora_rank": 4},
        {"learning_rate": 0.2, "lora_rank": 2},
        {"learning_rate": 0.2, "lora_rank": 4},
    ]
    assert TuneSettings(sweep={"learning_rate": (0.1, 0.2)}).has_sweep
    assert not TuneSettings(sweep={"epochs": (3,)}).has_sweep, "one value is nothing to compare"
    assert not TuneSettings().has_sweep


@pytest.mark.parametrize(
    ("sweep", "said"),
    [
        ({"learning_rates": [0.1]}, "'learning_rates' is no setting that can be tried; did you mean 'learning_rate'?"),
        ({"best_by": ["loss", "rouge_l"]}, "'best_by' is no setting that can be tried"),
        ({"epochs": []}, "epochs has no values"),
    ],
)
def test_a_sweep_of_what_cannot_be_compared_is_refused(sweep: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        parse_settings(TuneSettings, {"sweep": sweep}, where="heedful.toml")


def test_the_rungs_lie_at_evaluations() -> None:
    schedule = Schedule(20, TuneSettings(epochs=2, batch_size=2, evaluations_per_epoch=2))
    # 20 steps, evaluated after 5, 10, 15 and 20.
    assert [schedule.first_evaluation(share) for share in (0.01, 0.25, 0.3, 0.5, 1.0)] == [5, 5, 10, 10, 20]


def test_losers_stop_early_and_the_winner_is_a_plain_run(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    rates = (1e-6, 0.02, 1e-5)
    watcher = recorder()
    result = run(small_data, changed(settings, sweep={"learning_rate": rates}), tmp_path / "sweep", watcher)
    # 12 steps, evaluated after 2, 3, 5, 6, ...; 3 candidates, so 2 rounds: to 12/4 = 3 steps, and to 12/2 = 6.
    by_rate = {one.values["learning_rate"]: one for one in result.sweep}
    assert {rate: (one.steps, one.stopped_in_round) for rate, one in by_rate.items()} == {
        0.02: (6, None),
        1e-5: (6, 2),
        1e-6: (3, 1),
    }
    assert result.sweep[0].values == {"learning_rate": 0.02}
    assert result.best_measure is None
    assert (
        result.describe_best() == f"best validation loss {result.best_validation_loss:.3f} at step {result.best_step}"
    )
    assert result.num_steps == 12
    plain = run(small_data, changed(settings, learning_rate=0.02), tmp_path / "plain", recorder())
    assert plain.history == result.history
    sweep, alone = (folder_bytes(tmp_path / name / "out") for name in ("sweep", "plain"))
    table = json.loads(sweep.pop("sweep.json"))
    assert sweep == alone, "the winner is what its settings alone give"
    assert [row["values"]["learning_rate"] for row in table] == [0.02, 1e-5, 1e-6]
    said = next(line for line in watcher.lines if line.startswith("sweep: 3 tried"))
    assert said.count("\n") == 3
    assert "learning_rate 1e-06" in said
    assert "stopped in round 1" in said


@pytest.mark.parametrize("stop_at", [9, 24])
def test_a_stopped_sweep_ends_with_the_same_bytes(
    small_data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    folder_bytes: Any,
    stop_at: int,
) -> None:
    settings = changed(settings, epochs=2, sweep={"learning_rate": (0.001, 0.02), "lora_rank": (2, 4)})
    run(small_data, settings, tmp_path / "whole", recorder())
    with pytest.raises(KeyboardInterrupt):
        run(small_data, settings, tmp_path / "stopped", recorder(stop_at))
    again = recorder()
    run(small_data, settings, tmp_path / "stopped", again)
    assert folder_bytes(tmp_path / "stopped" / "out") == folder_bytes(tmp_path / "whole" / "out")
    if stop_at == 24:
        whole = recorder()
        run(small_data, settings, tmp_path / "again", whole)
        assert again.milestones.count("train.stepped") < whole.milestones.count("train.stepped")


def test_a_sweep_needs_validation_rows(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    rows = [row for row in small_data if row.split == "train"]
    with pytest.raises(InputError, match="a sweep compares by validation rows"):
        run(rows, changed(settings, sweep={"epochs": (1, 2)}), tmp_path, recorder())


def test_values_of_a_sweep_are_checked(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    with pytest.raises(SettingsError, match=r"tune\.sweep \(learning_rate -1\.0\).*greater than 0"):
        run(small_data, changed(settings, sweep={"learning_rate": (-1.0, 0.1)}), tmp_path, recorder())


# -- the prediction --------------------------------------------------------------------------------------------------------


def test_predicting_changes_no_bit(
    small_data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    folder_bytes: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heedful.train.tuning.LEAST_PASSES", 1)
    settings = changed(settings, epochs=2, micro_batch_tokens=80)
    said = recorder()
    run(small_data, settings, tmp_path / "with", said)
    assert sum("steps will take about" in line for line in said.lines) == 1
    plain = recorder()
    run(small_data, changed(settings, predict=False), tmp_path / "without", plain)
    assert not any("will take" in line for line in plain.lines)
    one, other = (folder_bytes(tmp_path / name / "out") for name in ("with", "without"))
    assert {name for name in one if one[name] != other[name]} == {"model/heedful.json"}, "it holds the settings"


def test_a_dry_run_writes_nothing(small_data: list[Example], settings: TuneSettings, tmp_path: Path) -> None:
    prediction = predict_only(small_data, settings, seed=5, watcher=Silent())
    assert prediction.num_steps == 12
    assert 0 < prediction.low < prediction.seconds < prediction.high
    assert 10**7 < prediction.bytes_needed < prediction.bytes_there
    assert prediction.as_dict()["num_steps"] == 12
    assert list(tmp_path.iterdir()) == []


def test_too_little_memory_is_refused_before_the_first_step(
    small_data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("heedful.train.tuning.LEAST_PASSES", 1)
    monkeypatch.setattr("heedful.train.watching.predicting.bytes_there", lambda device: 10**6)
    watcher = recorder()
    with pytest.raises(SettingsError, match=r"0\.0 GB are there: lower tune\.micro_batch_tokens"):
        run(small_data, settings, tmp_path, watcher)
    assert watcher.milestones == []
    run(small_data, changed(settings, predict=False), tmp_path, recorder())


def test_the_line_through_two_measurements() -> None:
    from heedful.train.watching.predicting import seconds_of

    # 1 s + 1 s for each 100 tokens
    assert seconds_of([50, 100, 400], (400, 5.0), (100, 2.0)) == pytest.approx([1.5, 2.0, 5.0])
    # A line that falls, or begins below zero, says nothing: proportional to the longer one.
    assert seconds_of([100, 400], (400, 1.0), (100, 2.0)) == pytest.approx([0.25, 1.0])
    assert seconds_of([100, 400], (400, 10.0), (100, 1.0)) == pytest.approx([2.5, 10.0])
    # Sizes alike: proportional.
    assert seconds_of([55, 110], (110, 3.0), (100, 2.0)) == pytest.approx([1.1, 2.2])
