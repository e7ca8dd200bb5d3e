"""Adapters: equal seeds, equal files; what we save loads with plain peft and transformers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from heedful.errors import ModelError
from heedful.generate.engine import Request, Sampling
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, add_lora, identity_of, load, save_checkpoint
from heedful.records import Message
from heedful.render import renderer_for

# Plain peft, without our own precautions, meets a deprecation in transformers.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


def lora(loaded: LoadedModel, seed: int = 3) -> LoadedModel:
    return add_lora(loaded, rank=4, alpha=8, dropout=0.0, seed=seed)


def shake(model: Any) -> None:
    """Stand-in for training: fresh adapters answer as their base."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)


def saved(base: Path | str, folder: Path) -> Path:
    loaded = lora(load(base))
    shake(loaded.model)
    save_checkpoint(loaded, folder, template_hash=renderer_for(loaded).template_hash, extra={"step": 7})
    return folder


def adapter_weights(loaded: LoadedModel) -> dict[str, torch.Tensor]:
    return {name: value for name, value in loaded.model.named_parameters() if "lora_" in name}


def test_equal_seeds_give_equal_adapters_and_nobody_elses_randomness_moves(tiny_model: Path) -> None:
    torch.manual_seed(11)
    before = torch.random.get_rng_state()
    first = adapter_weights(lora(load(tiny_model)))
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(12)
    second, third = adapter_weights(lora(load(tiny_model))), adapter_weights(lora(load(tiny_model), seed=4))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], third[name]) for name in first)


def test_every_linear_layer_but_the_head_is_adapted_and_nothing_else_is_trained(tiny_model: Path) -> None:
    loaded = lora(load(tiny_model))
    trained = {name for name, parameter in loaded.model.named_parameters() if parameter.requires_grad}
    layers = {name.split(".lora_")[0].split(".layers.")[1] for name in trained}
    kinds = ["q_proj", "k_proj", "v_proj", "o_proj"]
    expected = {f"{n}.self_attn.{kind}" for n in (0, 1) for kind in kinds}
    expected |= {f"{n}.mlp.{kind}_proj" for n in (0, 1) for kind in ("gate", "up", "down")}
    assert layers == expected
    assert all(".lora_" in name for name in trained)


def test_an_adapter_comes_back_as_it_was(tiny_model: Path, tmp_path: Path) -> None:
    folder = saved(tiny_model, tmp_path / "adapter")
    loaded = load(folder)
    again = lora(load(tiny_model))
    shake(again.model)
    mine, theirs = adapter_weights(loaded), adapter_weights(again)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)
    assert loaded.info is not None
    assert loaded.info.base_model == str(tiny_model.resolve())
    assert loaded.info.base_identity == identity_of(tiny_model)
    assert loaded.info.extra == {"step": 7}
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.identity == identity_of(folder) != identity_of(tiny_model)


def test_equal_weights_give_equal_files(tiny_model: Path, tmp_path: Path) -> None:
    first, second = (saved(tiny_model, tmp_path / name) for name in ("first", "second"))
    files = {path.name: path.read_bytes() for path in first.iterdir()}
    assert files == {path.name: path.read_bytes() for path in second.iterdir()}
    config = json.loads(files["adapter_config.json"])
    # peft writes sets, whose order changes from process to process.
    assert config["target_modules"] == sorted(config["target_modules"])
    assert list(config) == sorted(config)
    assert b"".join(files.values()).count(str(tmp_path).encode()) == 0, "no path of the place where it was made"


def plain_answer(base: Path, adapter: Path, message: str, max_tokens: int) -> list[int]:
    """Greedy ids from peft and transformers alone."""
    tokenizer = AutoTokenizer.from_pretrained(adapter)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": message}], add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    output = model.generate(**prompt, do_sample=False, max_new_tokens=max_tokens, pad_token_id=0)
    return list(output[0, prompt["input_ids"].shape[1] :].tolist())


@pytest.mark.parametrize("message", ["hello there", "用中文回答"])
def test_plain_peft_gives_the_same_greedy_answer(tiny_model: Path, tmp_path: Path, message: str) -> None:
    folder = saved(tiny_model, tmp_path / "adapter")
    request = Request("r", (Message("user", message),), sampling=Sampling(max_tokens=24))
    ours = LocalEngine(load(folder)).submit(request).result()[0]
    assert list(ours.token_ids) == plain_answer(tiny_model, folder, message, 24)
    base = LocalEngine(load(tiny_model)).submit(request).result()[0]
    assert base.token_ids != ours.token_ids, "the adapter must have been in force"


@pytest.mark.model
@pytest.mark.slow
def test_plain_peft_gives_the_same_greedy_answer_on_the_real_model(smollm2: LoadedModel, tmp_path: Path) -> None:
    folder = saved(smollm2.name, tmp_path / "adapter")
    request = Request("r", (Message("user", "Name three fruits."),), sampling=Sampling(max_tokens=16))
    ours = LocalEngine(load(folder)).submit(request).result()[0]
    assert list(ours.token_ids) == plain_answer(smollm2.folder, folder, "Name three fruits.", 16)


def test_damage_is_named(tiny_model: Path, tmp_path: Path) -> None:
    folder = saved(tiny_model, tmp_path / "adapter")
    weights = folder / "adapter_model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-4] + b"\x00\x00\x00\x01")
    with pytest.raises(ModelError, match=r"adapter_model\.safetensors is damaged"):
        load(folder)
    weights.unlink()
    with pytest.raises(ModelError, match=r"incomplete: adapter_model\.safetensors is missing"):
        load(folder)
    weights.write_bytes(data)
    info = folder / "heedful.json"
    text = info.read_text()
    info.write_text(text[:40])
    with pytest.raises(ModelError, match=r"heedful\.json is damaged"):
        load(folder)
    info.write_text(text.replace(identity_of(tiny_model), "0" * 32))
    with pytest.raises(ModelError, match="now stands for"):
        load(folder)
    info.unlink()
    with pytest.raises(ModelError, match=r"adapter without heedful\.json"):
        load(folder)


def test_an_adapter_on_an_adapter_is_refused(tiny_model: Path) -> None:
    with pytest.raises(ModelError, match="already carries an adapter"):
        lora(lora(load(tiny_model)))


def test_the_engine_knows_unsaved_adapters_apart(tiny_model: Path) -> None:
    base = LocalEngine(load(tiny_model)).identity
    fresh = lora(load(tiny_model))
    first = LocalEngine(fresh).identity
    shake(fresh.model)
    assert len({base, first, LocalEngine(fresh).identity}) == 3, "else cached answers of one would be given for another"
