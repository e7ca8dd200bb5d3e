"""From texts to a folder: every objective learns, what is saved answers alike, and a kill changes no bit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
)

from heedful.errors import InputError, SettingsError
from heedful.models import load
from heedful.models.lstm import LstmLanguageModel
from heedful.project import Silent, parse_settings
from heedful.render import renderer_for
from heedful.train.pretraining import PretrainResult, PretrainSettings, Texts, pretrain

WORDS = ["red", "blue", "green", "cat", "dog", "bird", "sees", "hears", "likes", "the", "a"]


@pytest.fixture(scope="module")
def corpus() -> Texts:
    """Sixty documents of a small language that soon is learned: the same three sentences with other words."""
    random = np.random.default_rng(7)
    return Texts(
        [
            " ".join(f"the {random.choice(WORDS[:3])} {random.choice(WORDS[3:6])} sees a bird." for _ in range(10))
            for _ in range(60)
        ]
    )


def settings(**values: Any) -> PretrainSettings:
    small = {
        "size": "1x32",
        "vocabulary_size": 512,
        "context_length": 32,
        "budget": "24 steps",
        "batch_size": 8,
        "learning_rate": 0.01,
        "checkpoint_every": 5,
    }
    return PretrainSettings(**{**small, **values})


def run(corpus: Texts, chosen: PretrainSettings, folder: Path, watcher: Any = None, **more: Any) -> PretrainResult:
    return pretrain(
        corpus, chosen, out=folder / "out", work=folder / "work", seed=3, watcher=watcher or Silent(), **more
    )


READERS: dict[tuple[str, str], Any] = {
    ("llama", "causal"): AutoModelForCausalLM,
    ("llama", "prefix"): AutoModelForCausalLM,
    ("t5", "span_corruption"): AutoModelForSeq2SeqLM,
    ("bert", "masked"): AutoModelForMaskedLM,
    ("bert", "masked_next_sentence"): AutoModelForPreTraining,
}


@pytest.mark.parametrize(("architecture", "name"), [*READERS, ("lstm", "causal")])
def test_learns_and_leaves_a_whole_folder(architecture: str, name: str, corpus: Texts, tmp_path: Path) -> None:
    result = run(corpus, settings(architecture=architecture, objective=name), tmp_path)
    first, last = result.history[0]["loss"], result.history[-1]["loss"]
    assert first > 5, "an untrained model knows nothing of 500 tokens"
    assert last < 0.75 * first
    assert result.best_validation_loss is not None
    assert result.best_validation_loss < 0.75 * first
    assert json.loads((tmp_path / "out" / "history.json").read_text()) == result.history
    assert (result.bits_per_byte is not None) == (name == "causal")
    if architecture != "lstm":
        _, report = READERS[architecture, name].from_pretrained(result.model_folder, output_loading_info=True)
        assert not report["missing_keys"]
        assert not report["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(result.model_folder)
    assert tokenizer.decode(tokenizer("the 红 cat <|im_end|>", add_special_tokens=False).input_ids)


def test_saved_weights_are_the_best_ones(corpus: Texts, tmp_path: Path) -> None:
    result = run(corpus, settings(), tmp_path)
    model = AutoModelForCausalLM.from_pretrained(result.model_folder)
    tokenizer = AutoTokenizer.from_pretrained(result.model_folder)
    checkpoints = sorted((tmp_path / "work" / "checkpoints").glob("step-*"))
    # Evaluations keep the best; here the last step's weights are the best ones, and the last checkpoint holds them.
    assert result.best_step == result.num_steps == 24
    exact = load_file(checkpoints[-1] / "weights.safetensors")
    saved = dict(model.named_parameters())
    assert all(torch.equal(saved[name], value) for name, value in exact.items())
    # And what our own loading makes of the folder answers with equal logits, and can be tuned.
    loaded = load(result.model_folder)
    ids = torch.tensor([tokenizer("the red cat sees").input_ids])
    assert torch.equal(loaded.model(ids).logits, model.eval()(ids).logits)
    assert renderer_for(loaded).end_of_turn_ids[0] == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_bits_per_byte_are_those_of_the_saved_model(corpus: Texts, tmp_path: Path) -> None:
    held_out = Texts(["the red cat sees a bird.", "the blue dog sees a bird."])
    result = run(corpus, settings(precision="float32", context_length=64), tmp_path, validation=held_out)
    model = AutoModelForCausalLM.from_pretrained(result.model_folder).eval().double()
    tokenizer = AutoTokenizer.from_pretrained(result.model_folder)
    nats, num_bytes, end = 0.0, 0, tokenizer.eos_token_id
    for text in held_out.texts:
        ids = torch.tensor([[end, *tokenizer(text).input_ids, end]])
        with torch.no_grad():
            nats += float(model(input_ids=ids, labels=ids).loss) * (ids.shape[1] - 1)
        num_bytes += len(text.encode()) + 1  # the end counts as one byte
    assert result.bits_per_byte == pytest.approx(nats / math.log(2) / num_bytes, rel=1e-5)


def test_an_lstm_is_saved_as_lstms_are(corpus: Texts, tmp_path: Path) -> None:
    result = run(corpus, settings(architecture="lstm"), tmp_path)
    model = LstmLanguageModel.load(result.model_folder)
    tokenizer = AutoTokenizer.from_pretrained(result.model_folder)
    known = model.logprobs(torch.tensor(tokenizer("the red cat sees a bird.").input_ids)).mean()
    unknown = model.logprobs(torch.tensor(tokenizer("bird cat a sees. red the").input_ids)).mean()
    assert known > unknown + 0.5


# -- kill and continue ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ["llama", "t5", "bert", "lstm"])
def test_killed_and_continued_gives_equal_bits(
    architecture: str, corpus: Texts, tmp_path: Path, recorder: Any, folder_bytes: Callable[[Path], dict[str, bytes]]
) -> None:
    chosen = settings(architecture=architecture, budget="9 steps", checkpoint_every=2)
    watcher = recorder()
    run(corpus, chosen, tmp_path / "whole", watcher)
    stops = [index + 1 for index, name in enumerate(watcher.milestones) if name == "train.stepped"]
    for stop in (stops[2], stops[1]):  # the second kill comes after the continuation has begun
        with pytest.raises(KeyboardInterrupt):
            run(corpus, chosen, tmp_path / "killed", recorder(stop))
    continuing = recorder()
    run(corpus, chosen, tmp_path / "killed", continuing)
    assert any("training continues after step" in line for line in continuing.lines)
    one, other = (folder_bytes(tmp_path / name / "out") for name in ("whole", "killed"))
    for measured in (one, other):
        del measured["report.md"]
    assert one == other


def test_minutes_are_measured_once(corpus: Texts, tmp_path: Path, recorder: Any) -> None:
    chosen = settings(budget="0.05 minutes")
    with pytest.raises(KeyboardInterrupt):
        run(corpus, chosen, tmp_path, recorder(2))
    plan = json.loads((tmp_path / "work" / "plan.json").read_text())
    # Whatever this machine measured: a continuation takes the number that was written down.
    (tmp_path / "work" / "plan.json").write_text(json.dumps({**plan, "num_steps": 3}))
    for found in (tmp_path / "work" / "checkpoints").glob("*"):
        for file in found.iterdir():
            file.unlink()
        found.rmdir()
    assert run(corpus, chosen, tmp_path).num_steps == 3
    assert plan["num_steps"] >= 1
    assert plan["seconds_per_step"] > 0


# -- budgets and settings ---------------------------------------------------------------------------------------------


def test_budgets_in_steps(corpus: Texts, tmp_path: Path) -> None:
    epochs = run(corpus, settings(budget="2 epochs"), tmp_path / "epochs")
    # Every token but the first is predicted once an epoch.
    assert epochs.history[-1]["tokens"] >= 2 * (epochs.num_text_tokens * 32 // 33 - 64)
    tokens = run(corpus, settings(budget="2k tokens"), tmp_path / "tokens")
    assert tokens.history[-1]["tokens"] == pytest.approx(2000, abs=256)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"budget": "a while"}, "10 minutes"),
        ({"budget": "0 steps"}, "10 minutes"),
        ({"size": "huge"}, "6x384"),
        ({"size": "4x100"}, "multiple of 16"),
        ({"architecture": "bert", "objective": "causal"}, "expected auto, masked"),
        ({"architecture": "gpt"}, "architecture"),
        ({"vocabulary": 100}, "did you mean 'vocabulary_size'"),
    ],
)
def test_impossible_settings_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        parse_settings(PretrainSettings, values, where="--set")


@pytest.mark.parametrize("architecture", ["llama", "t5", "bert", "lstm"])
def test_too_little_text_is_said(architecture: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"fewer than one row of 32.*context_length"):
        run(Texts(["a small text"]), settings(architecture=architecture), tmp_path)
    with pytest.raises(InputError, match="nothing to learn from"):
        run(Texts(["", ""]), settings(architecture=architecture), tmp_path / "empty")


def test_one_row_is_enough_and_nothing_may_be_held_out(tmp_path: Path, recorder: Any) -> None:
    result = run(Texts(["one two three four five " * 9]), settings(validation_share=0.0, budget="2 steps"), tmp_path)
    assert (result.num_steps, result.best_validation_loss, result.bits_per_byte) == (2, None, None)
    assert "nothing was held out" in result.describe()
