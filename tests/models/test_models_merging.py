"""Merging: the sum answers as its parts, and its folder is an ordinary one that every other tool loads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from heedful.errors import TemplateMismatchError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, add_lora, identity_of, load, save_checkpoint
from heedful.models.merging import merged, save_merged
from heedful.records import Message
from heedful.render import renderer_for

PROMPTS = ("hello there", "用中文回答：茶是什么？", "3 + 4 =  7\n\nyes or no?")


@pytest.fixture(scope="module")
def adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose adapter changes answers."""
    loaded = add_lora(load(tiny_model), rank=4, alpha=8, dropout=0.0, seed=3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    folder = tmp_path_factory.mktemp("merging") / "adapter"
    save_checkpoint(loaded, folder, template_hash=renderer_for(loaded).template_hash, extra={"step": 7})
    return folder


@pytest.fixture(scope="module")
def folder(adapter: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The merged model, saved."""
    loaded = load(adapter)
    renderer = renderer_for(loaded)
    out = tmp_path_factory.mktemp("merging") / "merged"
    save_merged(
        merged(loaded),
        out,
        base="the-base",
        end_of_turn_ids=renderer.end_of_turn_ids,
        template_hash=renderer.template_hash,
        extra={"step": 7},
    )
    return out


def greedy(name: Path) -> list[tuple[int, ...]]:
    engine = LocalEngine(load(name))
    requests = [Request(prompt, (Message("user", prompt),), sampling=Sampling(max_tokens=24)) for prompt in PROMPTS]
    return [answer.token_ids for answer in generate(engine, requests)]


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        values: torch.Tensor = model(torch.arange(1, 60)[None]).logits
    return values


def test_the_sum_answers_as_base_and_adapter_do(adapter: Path, tiny_model: Path) -> None:
    apart, together = logits(load(adapter).model), logits(merged(load(adapter)).model)
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)
    assert (logits(load(tiny_model).model) - apart).abs().max() > 1, "the adapter must have been in force"


def test_every_weight_is_base_plus_scaled_product(adapter: Path, tiny_model: Path) -> None:
    base, sum_, parts = (dict(m.named_parameters()) for m in (load(tiny_model).model, merged(load(adapter)).model, load(adapter).model))  # fmt: skip
    name = "model.layers.1.self_attn.k_proj.weight"
    a, b = (parts[f"base_model.{name[:-7].replace('model', 'model.model', 1)}.lora_{x}.default.weight"] for x in "AB")
    # alpha 8 over rank 4.
    torch.testing.assert_close(sum_[name], base[name] + 2 * b @ a)
    assert set(sum_) == set(base)


def test_plain_transformers_gives_the_same_greedy_answers(adapter: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.float32
    plain = []
    for prompt in PROMPTS:
        ids = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        # No end is named: generate() must find it in the folder.
        output = model.generate(**ids, do_sample=False, max_new_tokens=24)
        plain.append(tuple(output[0, ids["input_ids"].shape[1] :].tolist()))
    assert plain == greedy(adapter) == greedy(folder)


def test_the_folder_says_where_answers_end_and_where_it_came_from(folder: Path, tiny_model: Path) -> None:
    generation, config, info = (
        json.loads((folder / name).read_text(encoding="utf-8"))
        for name in ("generation_config.json", "config.json", "heedful.json")
    )
    # <|endoftext|> 0, <|im_start|> 1, <|im_end|> 2
    assert (generation["eos_token_id"], generation["pad_token_id"], generation["bos_token_id"]) == (2, 0, 1)
    assert not generation["_from_model_config"], "else some tools make it anew, without the ends"
    assert config["eos_token_id"] == 2
    assert (info["base_model"], info["base_identity"]) == ("the-base", identity_of(tiny_model))
    assert info["adapter"] is False
    assert info["extra"] == {"step": 7}
    paths = [path for path in folder.iterdir() if str(tiny_model).encode() in path.read_bytes()]
    assert not paths, "no path of the place where it was made"


def test_two_ends_are_both_named(adapter: Path, tmp_path: Path) -> None:
    loaded = load(adapter)
    save_merged(merged(loaded), tmp_path, base="b", end_of_turn_ids=(2, 0), template_hash="h", extra={})
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [2, 0]


def test_the_template_is_still_proven(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    assert renderer_for(load(tmp_path)).prompt_ids([Message("user", "a")])
    template = tmp_path / "chat_template.jinja"
    template.write_text(template.read_text().replace("assistant", "helper"))
    with pytest.raises(TemplateMismatchError, match="chat template"):
        renderer_for(load(tmp_path))


def test_a_model_without_an_adapter_is_merged_already(tiny_model: Path) -> None:
    loaded = load(tiny_model)
    assert merged(loaded) is loaded


@pytest.mark.model
@pytest.mark.slow
def test_merging_the_real_model_changes_logits_by_rounding_only(smollm2: LoadedModel, tmp_path: Path) -> None:
    loaded = add_lora(load(smollm2.name), rank=4, alpha=8, dropout=0.0, seed=3)
    with torch.no_grad():
        for name, parameter in loaded.model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.02, generator=torch.Generator().manual_seed(1))
    base, apart = logits(smollm2.model), logits(loaded.model)
    effect, error = (apart - base).abs().max(), (apart - logits(merged(loaded).model)).abs().max()
    assert effect > 1
    assert error < effect / 500, "rounding, not another model"
