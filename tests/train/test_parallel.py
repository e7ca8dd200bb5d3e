"""Two processes over gloo learn what one learns, share what they must, and the first alone writes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from heedful.project import Silent
from heedful.records import Example, write_examples
from heedful.train import TuneSettings
from heedful.train.pretraining import PretrainSettings, Texts, pretrain
from heedful.train.together.parallel import ALONE, Processes, SeveralProcesses
from tiny_runs import changed, run

_CHILD = """
import sys
from pathlib import Path
from heedful.cli.ending import end_now
from heedful.project import Silent
from heedful.records import read_examples
from heedful.train import TuneSettings, tune
from heedful.train.together.along import dismiss, follow
from heedful.train.together.parallel import launched_rank

folder = Path(sys.argv[1])
if launched_rank():
    end_now(follow())
settings = TuneSettings.model_validate_json((folder / "settings.json").read_text())
tune(read_examples(folder / "rows.parquet"), settings, out=folder / "out", checkpoints=folder / "checkpoints", seed=5,
     watcher=Silent())
dismiss()
end_now(0)
"""

_PRETRAINING_CHILD = """
import json, sys
from pathlib import Path
from heedful.cli.ending import end_now
from heedful.project import Silent
from heedful.train.pretraining import PretrainSettings, Texts, pretrain
from heedful.train.together.along import dismiss, follow
from heedful.train.together.parallel import launched_rank

folder = Path(sys.argv[1])
if launched_rank():
    end_now(follow())
settings = PretrainSettings.model_validate_json((folder / "settings.json").read_text())
pretrain(Texts(json.loads((folder / "texts.json").read_text())), settings, out=folder / "out", work=folder / "work", seed=5,
         watcher=Silent())
dismiss()
end_now(0)
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def launched(command: list[str], number: int = 2) -> list[subprocess.Popen[str]]:
    """What torchrun does: the same command several times, each with its rank."""
    port = free_port()
    return [
        subprocess.Popen(
            command,
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": str(number),
                "LOCAL_WORLD_SIZE": str(number),
                "RANK": str(rank),
                "LOCAL_RANK": str(rank),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(number)
    ]


def ended(processes: list[subprocess.Popen[str]]) -> list[tuple[int, str, str]]:
    """(exit code, standard output, standard error) of each."""
    results = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=200)
            results.append((process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return results


@pytest.fixture
def settings(tiny_model: Path) -> TuneSettings:
    """Three steps of seven rows."""
    return TuneSettings(
        precision="float32",
        model=str(tiny_model),
        adapter="none",
        learning_rate=0.001,
        epochs=1,
        batch_size=3,
        micro_batch_tokens=80,
        checkpoint_every=1,
        evaluations_per_epoch=1,
    )


def together(examples: list[Example], settings: TuneSettings, folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    write_examples(folder / "rows.parquet", examples)
    (folder / "settings.json").write_text(settings.model_dump_json())
    for code, _, err in ended(launched([sys.executable, "-c", _CHILD, str(folder)])):
        assert code == 0, err
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (path,) = (folder / "out" / "model").glob("*model.safetensors")
    return load_file(path)


def assert_equal_runs(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(
            value, theirs[name], rtol=0, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )
    histories = [json.loads((folder / "out" / "history.json").read_text()) for folder in (one, other)]
    for entry, again in zip(*histories, strict=True):
        assert entry == pytest.approx(again, rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("shards", [False, True], ids=["data", "shards"])
@pytest.mark.parametrize("adapter", ["none", "lora"])
def test_two_processes_learn_what_one_learns(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, adapter: str, shards: bool
) -> None:
    settings = changed(settings, adapter=adapter)
    alone = tmp_path / "alone"
    run(small_data, settings, alone, Silent())
    both = together(small_data, changed(settings, shards=shards), tmp_path / "both")
    assert_equal_runs(alone, both)
    # What two processes wrote, one continues from, and the other way round.
    assert sorted(path.name for path in (both / "checkpoints").glob("step-*")) == ["step-00000002", "step-00000003"]
    kept = [load_file(folder / "checkpoints" / "step-00000003" / "optimizer.safetensors") for folder in (alone, both)]
    assert kept[0].keys() == kept[1].keys()
    for name, value in kept[0].items():
        torch.testing.assert_close(
            value, kept[1][name], rtol=1e-3, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}"
        )


@pytest.mark.slow
@pytest.mark.parametrize("shards", [False, True], ids=["data", "shards"])
def test_two_processes_go_on_where_they_were(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path, shards: bool
) -> None:
    import shutil

    # In bf16, where exact weights are kept beside those that a process computes with.
    settings = changed(settings, shards=shards, precision="bfloat16")
    whole = together(small_data, settings, tmp_path / "whole")
    again = tmp_path / "again"
    shutil.copytree(whole / "checkpoints", again / "checkpoints")
    shutil.rmtree(again / "checkpoints" / "step-00000003")
    together(small_data, settings, again)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name


@pytest.mark.slow
@pytest.mark.parametrize("budget", ["7 steps", "0.01 minutes"])
def test_two_processes_pretrain_what_one_does(tmp_path: Path, budget: str) -> None:
    texts = [f"the {color} cat sees {number} birds." for number in range(60) for color in ("red", "blue", "green")]
    settings = PretrainSettings(
        size="1x32",
        vocabulary_size=512,
        context_length=32,
        budget=budget,
        batch_size=6,
        precision="float32",
        checkpoint_every=3,
    )
    both, alone = tmp_path / "both", tmp_path / "alone"
    both.mkdir()
    (both / "texts.json").write_text(json.dumps(texts))
    (both / "settings.json").write_text(settings.model_dump_json())
    for code, _, err in ended(launched([sys.executable, "-c", _PRETRAINING_CHILD, str(both)])):
        assert code == 0, err
    num_steps = len(json.loads((both / "out" / "history.json").read_text()))
    assert num_steps == 7 or "minutes" in budget
    counted = settings.model_copy(update={"budget": f"{num_steps} steps"})
    pretrain(Texts(texts), counted, out=alone / "out", work=alone / "work", seed=5, watcher=Silent())
    assert_equal_runs(alone, both)


@pytest.mark.slow
def test_the_command_line_with_two_processes(small_data: list[Example], settings: TuneSettings, tmp_path: Path) -> None:
    write_examples(tmp_path / "rows.parquet", small_data)
    chosen = settings.model_dump(exclude={"sweep", "mixing", "encoding"}, exclude_defaults=True)
    sets = [part for name, value in chosen.items() for part in ("--set", f"tune.{name}={json.dumps(value)}")]
    command = [sys.executable, "-m", "heedful", "tune", str(tmp_path / "rows.parquet"), "--out", str(tmp_path / "out")]
    results = ended(launched([*command, "--set", "project.seed=5", *sets]))
    assert [code for code, _, _ in results] == [0, 0], results
    assert "the model is in" in results[0][1]
    assert results[1][1] == "", "the others are silent"
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()


@pytest.mark.slow
def test_sigterm_to_all_ends_all_with_a_checkpoint(
    small_data: list[Example], settings: TuneSettings, tmp_path: Path
) -> None:
    write_examples(tmp_path / "rows.parquet", small_data)
    (tmp_path / "settings.json").write_text(changed(settings, epochs=4000).model_dump_json())
    processes = launched([sys.executable, "-c", _CHILD, str(tmp_path)])
    deadline = time.monotonic() + 120
    while not list((tmp_path / "checkpoints").glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    # A launcher passes it on to everyone; that they hear it at different steps must not matter.
    processes[1].send_signal(signal.SIGTERM)
    results = ended(processes)
    assert all("stopped by SIGTERM after step" in err for _, _, err in results), results


# -- how rows are dealt --------------------------------------------------------------------------------------------------


def dealt(rank: int, count: int, lengths: list[int]) -> list[int]:
    processes = SeveralProcesses.__new__(SeveralProcesses)
    processes.rank, processes.count = rank, count
    return processes.share(range(len(lengths)), lengths)


def test_rows_are_dealt_there_and_back() -> None:
    lengths = [1, 2, 3, 4, 5, 6, 7]
    # Longest first: 7 to the first, 6 and 5 to the second, 4 and 3 to the first, 2 and 1 to the second.
    assert [lengths[index] for index in dealt(0, 2, lengths)] == [7, 4, 3]
    assert [lengths[index] for index in dealt(1, 2, lengths)] == [6, 5, 2, 1]
    assert sorted(dealt(0, 3, lengths) + dealt(1, 3, lengths) + dealt(2, 3, lengths)) == list(range(7))
    assert dealt(1, 2, [4]) == [], "a process may have nothing to read"


def test_alone_everything_is_as_it_was() -> None:
    assert isinstance(ALONE, Processes)
    assert ALONE.share([3, 1], [9, 9, 9, 9]) == [3, 1]
    assert list(ALONE.evened(["a", "b"], lambda: "c")) == [("a", 1.0), ("b", 1.0)]
    assert ALONE.total([1.0, 2.0]) == [1.0, 2.0]
    assert ALONE.from_first({"a": 1}) == {"a": 1}
