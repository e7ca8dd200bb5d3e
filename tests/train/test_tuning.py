"""Tuning from end to end on a tiny model: it learns, it stops, it keeps the best, and a kill changes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from heedful.errors import NothingToTrainError, ProjectError, RunError
from heedful.models import load
from heedful.records import Example, Message, write_examples
from heedful.render import renderer_for
from heedful.train import TuneSettings
from heedful.train.loop import Schedule
from heedful.train.optimizer import MasterAdamW
from tiny_runs import changed, run, six_steps


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    return six_steps(tiny_model)


# -- what it leaves behind ---------------------------------------------------------------------------------------


def test_result_and_files(small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    watcher = recorder()
    result = run(small_data, settings, tmp_path, watcher)
    assert result.num_steps == 6  # 7 rows in batches of 3, twice
    assert [entry["step"] for entry in result.history] == [1, 2, 3, 4, 5, 6]
    assert json.loads((tmp_path / "out" / "history.json").read_text()) == result.history
    assert json.loads((tmp_path / "out" / "ledger.json").read_text()) == result.ledger
    # Each epoch reads every token once.
    assert [result.history[step]["tokens"] for step in (2, 5)] == [
        result.ledger["train"]["tokens"],
        2 * result.ledger["train"]["tokens"],
    ]
    assert [entry["epoch"] for entry in result.history] == [0.3333, 0.6667, 1.0, 1.3333, 1.6667, 2.0]
    evaluated = {entry["step"]: entry["validation_loss"] for entry in result.history if "validation_loss" in entry}
    assert sorted(evaluated) == [2, 3, 5, 6]
    assert result.best_validation_loss == min(evaluated.values()) == evaluated[result.best_step]
    assert watcher.milestones.count("train.stepped") == 6
    assert watcher.notes[0].startswith("loss ")
    assert watcher.lines[0].startswith("token ledger")
    tuned = load(tmp_path / "out" / "model")
    assert tuned.info is not None
    assert tuned.info.template_hash == renderer_for(tuned).template_hash
    assert tuned.info.extra["best_step"] == result.best_step


def test_equal_arguments_give_equal_bytes(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    torch.manual_seed(1)
    run(small_data, settings, tmp_path / "first", recorder())
    torch.manual_seed(2)  # nothing may read the global state
    state = torch.random.get_rng_state()
    run(small_data, settings, tmp_path / "second", recorder())
    assert torch.equal(state, torch.random.get_rng_state())
    assert not torch.are_deterministic_algorithms_enabled()
    first, second = (folder_bytes(tmp_path / name / "out") for name in ("first", "second"))
    assert first == second
    other = run(small_data, settings, tmp_path / "third", recorder(), seed=6)
    assert other.history != json.loads(first["history.json"])


def test_the_base_is_untouched_and_every_adapter_moved(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, tiny_model: Path
) -> None:
    before = (tiny_model / "model.safetensors").read_bytes()
    run(small_data, settings, tmp_path, recorder())
    assert (tiny_model / "model.safetensors").read_bytes() == before
    tuned = load(tmp_path / "out" / "model").model
    with tuned.disable_adapter():
        base = load(tiny_model).model
        ids = torch.tensor([[3, 5, 7, 11]])
        assert torch.equal(tuned(input_ids=ids).logits, base(input_ids=ids).logits)
    weights = load_file(tmp_path / "out" / "model" / "adapter_model.safetensors")
    assert all(bool(value.any()) for name, value in weights.items() if "lora_B" in name)


def test_full_fine_tuning(small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    settings = changed(settings, adapter="none", learning_rate=0.003)
    result = run(small_data, settings, tmp_path, recorder())
    assert result.history[-1]["loss"] < result.history[0]["loss"]
    tuned = load(tmp_path / "out" / "model")
    assert tuned.info is not None
    assert not tuned.info.adapter


def test_overfits_two_rows_and_then_says_them(
    conversation: Any, settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    rows = [conversation("one?", "it is one."), conversation("two?", "no, two!")]
    settings = changed(settings, epochs=60, batch_size=2, lora_rank=8, lora_dropout=0.0, checkpoint_every=100)
    result = run(rows, settings, tmp_path, recorder())
    assert result.history[-1]["loss"] < 0.02
    assert result.history[-1]["token_accuracy"] == 1.0
    assert (result.best_step, result.best_validation_loss) == (60, None)
    tuned = load(tmp_path / "out" / "model")
    renderer = renderer_for(tuned)
    for row in rows:
        prompt = renderer.prompt_ids(row.messages[:1])
        answer: list[int] = []
        while not answer or (answer[-1] not in renderer.end_of_turn_ids and len(answer) < 40):
            logits = tuned.model(input_ids=torch.tensor([prompt + answer])).logits
            answer.append(int(logits[0, -1].argmax()))
        assert renderer.decode(answer) == row.answer
        assert answer[-1] in renderer.end_of_turn_ids


def test_micro_batches_do_not_change_what_is_learned(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    settings = changed(settings, lora_dropout=0.0, learning_rate=0.001)
    histories = [
        run(small_data, changed(settings, micro_batch_tokens=limit), tmp_path / str(limit), recorder()).history
        for limit in (1, 10_000)  # every row alone; every step at once
    ]
    for alone, together in zip(*histories, strict=True):
        assert alone == pytest.approx(together, rel=1e-5)


# -- which weights are kept -----------------------------------------------------------------------------------------


def test_the_weights_with_the_lowest_validation_loss_are_kept(
    conversation: Any, settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    # Validation contradicts training: what is learned about the answer "aaaa" makes "zzzz" ever less likely, after
    # the first steps have taught what both share (the end of the turn, no other bytes).
    rows = [conversation(f"letter {n}", "aaaa") for n in range(6)]
    rows += [conversation("letter 9", "zzzz", split="validation")]
    settings = changed(settings, epochs=6, lora_dropout=0.0, evaluations_per_epoch=2)
    result = run(rows, settings, tmp_path, recorder())
    losses = {entry["step"]: entry["validation_loss"] for entry in result.history if "validation_loss" in entry}
    assert result.best_step == min(losses, key=lambda step: losses[step])
    assert result.best_step < 12, "validation was meant to worsen; the test proves nothing otherwise"
    assert losses[12] > result.best_validation_loss + 0.1
    kept = load_file(tmp_path / "out" / "model" / "adapter_model.safetensors")
    last = load_file(tmp_path / "checkpoints" / "step-00000012" / "weights.safetensors")
    assert not any(torch.equal(kept[name], last[name.replace(".weight", ".default.weight")]) for name in kept)
    # Told to stop at the best step, the same run has the same loss there as the kept weights have when loaded.
    assert validation_loss(tmp_path / "out" / "model", rows[-1]) == pytest.approx(result.best_validation_loss, rel=1e-5)


def validation_loss(model: Path, row: Example) -> float:
    from heedful.train.objectives.instruction import loss, rows
    from heedful.train.rows.batches import pad

    loaded = load(model)
    batch = pad(rows([row], renderer_for(loaded), max_length=1000))
    with torch.no_grad():
        return float(loss(loaded.model, batch)[0]) / batch.weight


# -- killed and continued --------------------------------------------------------------------------------------------


# With dropout peft computes the adapters, without it we do.
@pytest.mark.parametrize(
    ("adapter", "dropout", "every"),
    [pytest.param("lora", 0.2, 1, marks=pytest.mark.slow), ("lora", 0.0, 3), ("none", 0.0, 3), ("prefix", 0.0, 5)],
)
def test_stopped_at_any_milestone_it_ends_with_the_same_bytes(
    small_data: list[Example],
    settings: TuneSettings,
    tmp_path: Path,
    recorder: Any,
    folder_bytes: Any,
    adapter: str,
    dropout: float,
    every: int,
) -> None:
    settings = changed(settings, adapter=adapter, virtual_tokens=5, lora_dropout=dropout)
    watcher = recorder()
    run(small_data, settings, tmp_path / "whole", watcher)
    expected = folder_bytes(tmp_path / "whole" / "out")
    assert len(watcher.milestones) >= 12
    for stop_at in range(1, len(watcher.milestones) + 1, every):
        folder = tmp_path / f"stopped-{stop_at}"
        with pytest.raises(KeyboardInterrupt):
            run(small_data, settings, folder, recorder(stop_at))
        again = recorder()
        run(small_data, settings, folder, again)
        assert folder_bytes(folder / "out") == expected, f"stopped at {stop_at}: {watcher.milestones[stop_at - 1]}"
        written = watcher.milestones[:stop_at].count("checkpoint.written")
        assert any("training continues" in line for line in again.lines) == (written > 0)


def test_stopped_again_and_again(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())
    for _ in range(50):
        try:
            # Every attempt dies soon after it begins: three milestones are enough for a step and a checkpoint.
            run(small_data, changed(settings, checkpoint_every=1), tmp_path / "stopped", recorder(4))
        except KeyboardInterrupt:
            continue
        break
    else:
        pytest.fail("no progress is made between kills")
    whole, stopped = (folder_bytes(tmp_path / name / "out") for name in ("whole", "stopped"))
    assert {name for name in whole if whole[name] != stopped[name]} == {"model/heedful.json"}, "it names the settings"


def test_a_damaged_checkpoint_costs_steps_and_nothing_else(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())
    folder = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        run(small_data, settings, folder, recorder(10))
    newest = max((folder / "checkpoints").glob("step-*"))
    weights = newest / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 0x40
    weights.write_bytes(content)
    watcher = recorder()
    run(small_data, settings, folder, watcher)
    assert any(f"{newest.name} is damaged" in line for line in watcher.lines)
    assert any("training continues after step" in line for line in watcher.lines)
    assert folder_bytes(folder / "out") == folder_bytes(tmp_path / "whole" / "out")


_CHILD = """
import sys, os, signal
from pathlib import Path
from heedful.project import Silent
from heedful.records import read_examples
from heedful.train import TuneSettings, tune

class Killer(Silent):
    num_seen = 0
    def milestone(self, name):
        Killer.num_seen += 1
        if Killer.num_seen == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)

folder = Path(sys.argv[1])
tune(read_examples(folder / "rows.parquet"), TuneSettings.model_validate_json((folder / "settings.json").read_text()),
     out=folder / "out", checkpoints=folder / "checkpoints", seed=5, watcher=Killer())
"""


@pytest.mark.slow
def test_kill_minus_nine(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any, folder_bytes: Any
) -> None:
    run(small_data, settings, tmp_path / "whole", recorder())
    folder = tmp_path / "killed"
    folder.mkdir()
    write_examples(folder / "rows.parquet", small_data)
    (folder / "settings.json").write_text(settings.model_dump_json())
    command = [sys.executable, "-c", _CHILD, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    killed = subprocess.run([*command, "9"], env=environment, check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / "out" / "model").exists()
    subprocess.run([*command, "0"], env=environment, check=True, timeout=300)
    assert folder_bytes(folder / "out") == folder_bytes(tmp_path / "whole" / "out")


def test_checkpoints_of_other_data_or_settings_are_refused(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    run(small_data, settings, tmp_path, recorder())
    for examples, other, seed in (
        (small_data[1:], settings, 5),
        (small_data, changed(settings, learning_rate=0.01), 5),
        (small_data, settings, 6),
    ):
        with pytest.raises(ProjectError, match="another run"):
            run(examples, other, tmp_path, recorder(), seed=seed)
    # How often to write checkpoints is nobody's business but the disk's.
    run(small_data, changed(settings, checkpoint_every=3), tmp_path, recorder())


# -- what is refused ----------------------------------------------------------------------------------------------------


def test_nothing_to_train_stops_before_training(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    for examples, other, words in (
        ([row for row in small_data if row.split != "train"], settings, "split 'train'"),
        (small_data, changed(settings, max_length=8), "nothing would be trained"),
        ([Example("a", (Message("user", "no answer"),), "import", "test", split="train")], settings, "no row holds"),
    ):
        watcher = recorder()
        with pytest.raises(NothingToTrainError, match=words):
            run(examples, other, tmp_path, watcher)
        assert watcher.lines[0].startswith("token ledger"), "the ledger is said first: it is the explanation"
        assert watcher.milestones == []


def test_no_end_of_turn_is_an_error(conversation: Any, settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    with pytest.raises(NothingToTrainError, match="never learn to stop"):
        run(
            [conversation("hi", "a long answer")],
            changed(settings, max_length=20, too_long="cut"),
            tmp_path,
            recorder(),
        )


def test_rows_whose_answers_are_cut_off_are_left_out_and_named(
    small_data: list[Example], conversation: Any, settings: TuneSettings, tmp_path: Path, recorder: Any
) -> None:
    long = conversation("very " * 60 + "long", "lost")
    result = run(
        [*small_data, long], changed(settings, max_length=100, too_long="cut"), tmp_path, watcher := recorder()
    )
    assert result.ledger["train"]["untrained_examples"] == [long.id]
    assert long.id in watcher.lines[0]
    assert result.num_steps == 6, "eight rows in batches of three would be six steps too, but of other tokens"
    kept = result.ledger["train"]["tokens"] - 100
    assert result.history[-1]["tokens"] == 2 * kept


def test_divergence_is_said(small_data: list[Example], settings: TuneSettings, tmp_path: Path, recorder: Any) -> None:
    with pytest.raises(RunError, match="lower the learning rate"):
        run(small_data, changed(settings, learning_rate=1e30, epochs=3), tmp_path, recorder())


# -- the schedule -------------------------------------------------------------------------------------------------------


def test_learning_rate_by_hand() -> None:
    schedule = Schedule(16, TuneSettings(learning_rate=1.0, epochs=1, batch_size=2, warmup_share=0.25))
    # 8 steps, 2 of warmup; then (1 + cos(pi k / 7)) / 2 for k = 1 .. 6
    assert [round(schedule.learning_rate(step), 4) for step in range(1, 9)] == [
        0.5, 1.0, 0.9505, 0.8117, 0.6113, 0.3887, 0.1883, 0.0495,
    ]  # fmt: skip


def test_without_warmup_the_first_step_counts() -> None:
    schedule = Schedule(2, TuneSettings(learning_rate=1.0, epochs=1, batch_size=2, warmup_share=0.0))
    assert schedule.num_steps == 1
    assert schedule.learning_rate(1) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("evaluations", "places"), [(1, [5]), (2, [2, 5]), (5, [1, 2, 3, 4, 5]), (50, [1, 2, 3, 4, 5])]
)
def test_evaluations_are_spread_over_an_epoch(evaluations: int, places: list[int]) -> None:
    schedule = Schedule(10, TuneSettings(epochs=2, batch_size=2, evaluations_per_epoch=evaluations))
    assert [step for step in range(1, 11) if schedule.evaluates(step)] == places + [place + 5 for place in places]


def test_norms_and_biases_do_not_decay() -> None:

    layers = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    optimizer = MasterAdamW(dict(layers.named_parameters()), weight_decay=0.01)._adamw
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decay[id(p)] for name, p in layers.named_parameters()} == {
        "0.weight": 0.01, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0,
    }  # fmt: skip
