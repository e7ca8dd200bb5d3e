"""Loading and converting: only safe files, clear errors, nothing half-made."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BartConfig,
    BartForConditionalGeneration,
    BertConfig,
    BertForMaskedLM,
    LlamaConfig,
    LlamaForSequenceClassification,
    T5EncoderModel,
    ViTConfig,
    ViTModel,
)

from heedful.errors import ModelError, SettingsError
from heedful.models import LoadedModel, convert, identity_of, load
from heedful.models.scratch import byte_tokenizer, tiny_gpt2, tiny_llama, tiny_t5
from heedful.project import Silent


def test_the_tiny_model_is_the_same_for_the_same_seed(tmp_path: Path, tiny_model: Path) -> None:
    before = torch.random.get_rng_state()
    assert identity_of(tiny_llama(tmp_path / "same", seed=0)) == identity_of(tiny_model)
    assert identity_of(tiny_llama(tmp_path / "other", seed=1)) != identity_of(tiny_model)
    assert torch.equal(torch.random.get_rng_state(), before), "the global random state must look untouched"


def test_a_loaded_model_is_ready_for_use(tiny_model: Path) -> None:
    loaded = load(tiny_model)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())
    assert loaded.identity == identity_of(tiny_model)
    assert loaded.info is None
    assert load(tiny_model, dtype="bfloat16").model.dtype == torch.bfloat16


@pytest.mark.parametrize(("feed_forward", "tied"), [("relu", True), ("gated-gelu", False), ("relu", False)])
def test_t5_models_are_encoder_decoders(tmp_path: Path, feed_forward: str, tied: bool) -> None:
    loaded = load(tiny_t5(tmp_path, seed=0, feed_forward=feed_forward, tied=tied))
    assert loaded.is_encoder_decoder
    assert type(loaded.model).__name__ == "T5ForConditionalGeneration"
    assert (loaded.model.lm_head.weight is loaded.model.shared.weight) is tied
    # 1.0 scales what it ties; 1.1 has a head of its own, and does not.
    assert loaded.model.config.scale_decoder_outputs is tied
    assert loaded.identity == identity_of(tiny_t5(tmp_path / "again", seed=0, feed_forward=feed_forward, tied=tied))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load(tmp_path)


def test_other_models_are_not(tiny_model: Path, tmp_path: Path) -> None:
    assert not load(tiny_model).is_encoder_decoder
    assert not load(tiny_gpt2(tmp_path, seed=0)).is_encoder_decoder


_SMALL = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
_BART = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda: BertForMaskedLM(BertConfig(vocab_size=30, **_SMALL)),
            "bert model, an encoder: it reads text and cannot",
        ),
        (lambda: ViTModel(ViTConfig(image_size=16, patch_size=8, **_SMALL)), "vit model, no language model"),
        (
            lambda: BartForConditionalGeneration(
                BartConfig(vocab_size=30, d_model=8, encoder_ffn_dim=8, decoder_ffn_dim=8, **_BART)
            ),
            "of the kind 'bart'; of those Heedful runs the T5 family",
        ),
        (
            lambda: LlamaForSequenceClassification(LlamaConfig(vocab_size=30, pad_token_id=0, **_SMALL)),
            "lacks weights that a LlamaForCausalLM needs, lm_head.weight",
        ),
    ],
    ids=["encoder", "pictures", "another encoder-decoder", "classifier"],
)
def test_models_that_cannot_answer_are_refused(tmp_path: Path, make: Callable[[], Any], words: str) -> None:
    make().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=words):
        load(tmp_path)


def test_half_a_t5_is_refused(tmp_path: Path) -> None:
    tiny_t5(tmp_path / "whole", seed=0)
    T5EncoderModel.from_pretrained(tmp_path / "whole").save_pretrained(tmp_path / "half")
    with pytest.raises(ModelError, match="t5"):
        load(tmp_path / "half")
    shutil.copy(tmp_path / "whole" / "config.json", tmp_path / "half" / "config.json")
    with pytest.raises(ModelError, match=r"lacks weights that a T5ForConditionalGeneration needs, decoder\."):
        load(tmp_path / "half")


def test_any_text_round_trips_through_the_tiny_tokenizer() -> None:
    tokenizer = byte_tokenizer()
    for text in ("Hello  the world\n\n\tand more ", "你好，世界", "é🙂\x00"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text


def test_an_unknown_dtype_names_the_valid_ones(tiny_model: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'float16'"):
        load(tiny_model, dtype="floa16")


def test_pickles_are_never_loaded(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pickled"
    shutil.copytree(tiny_model, folder)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"no weights|safetensors"):
        load(folder)


def test_a_cut_weight_file_is_a_clear_error(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cut"
    shutil.copytree(tiny_model, folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        load(folder)


def test_a_folder_without_a_model_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no config\.json"):
        load(tmp_path)


def test_a_file_that_is_no_gguf_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEEDFUL_CACHE", str(tmp_path / "cache"))
    file = tmp_path / "broken.gguf"
    file.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="cannot be read as a GGUF model"):
        load(file)
    assert not list((tmp_path / "cache").rglob("safetensors-v*")), "a failed conversion leaves nothing"


def test_conversion_happens_once_and_clears_what_a_killed_one_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEEDFUL_CACHE", str(tmp_path / "cache"))
    calls = []

    def fake(gguf: Path, folder: Path) -> None:
        calls.append(gguf)
        (folder / "model.safetensors").write_text("x")

    monkeypatch.setattr(convert, "_convert", fake)
    gguf = tmp_path / "model.gguf"
    gguf.write_bytes(b"weights")
    home = convert.conversion_folder(gguf).parent
    (home / ".safetensors-v1.abc.partial").mkdir(parents=True)
    first = convert.converted(gguf, Silent())
    assert convert.converted(gguf, Silent()) == first
    assert calls == [gguf]
    assert sorted(path.name for path in home.iterdir()) == ["lock", "safetensors-v1"]
    gguf.write_bytes(b"other weights")
    assert convert.converted(gguf, Silent()) != first, "another content is another conversion"


@pytest.mark.model
def test_the_real_model_is_an_ordinary_folder(smollm2: LoadedModel) -> None:
    config = json.loads((smollm2.folder / "config.json").read_text())
    assert "quantization_config" not in config
    assert smollm2.model.lm_head.weight.data_ptr() == smollm2.model.model.embed_tokens.weight.data_ptr()
    assert str(smollm2.folder.parent) not in json.dumps(config), "no path of this machine"
    record = json.loads((smollm2.folder / convert.RECORD_NAME).read_text())
    assert len(record["source_sha256"]) == 64
    assert smollm2.identity == identity_of(smollm2.name)


@pytest.mark.model
def test_the_real_tokenizer_behaves(smollm2: LoadedModel) -> None:
    tokenizer = smollm2.tokenizer
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer("<|im_start|>a<|im_end|>").input_ids == [1, tokenizer("a").input_ids[0], 2]
    for text in ("Hello  world\n\n\tdef f():\n    return 12345 ", "指令：把“你好”翻译成英文。\n", "é🙂"):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
