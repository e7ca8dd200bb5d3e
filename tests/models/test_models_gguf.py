"""GGUF: what is written is read back by another program (transformers) as exactly what went in; the rest is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from heedful.errors import ModelError
from heedful.models import LoadedModel, load
from heedful.models._libraries import silence, without_stderr
from heedful.models.gguf_tokenizer import gguf_tokenizer
from heedful.models.gguf_writer import GgufFacts, check_gguf, write_gguf
from heedful.models.scratch import byte_tokenizer, tiny_llama

FACTS = GgufFacts(
    "茶 helper", "{{ messages }}", end_of_turn=2, base_model="b", license="Apache-2.0", languages=("en", "zh")
)
TEXTS = (
    "Hello, world! It's what they've said; 'RE you sure? don't",
    "  two spaces\n\n\nthree\t\ttabs \n 3 33 333   2024-11-22 3.14  7",
    "请把这句话翻译成英文：你好！１２３ 半角,混用 and English中文mixed",
    "🚀 🦙🦙 e\u0301 naïve кириллица العربية \u200b\u00a0\u3000",
    "def f(x):\n    return x**2  # square\n\nclass A:\n\tpass\n",
    "<|im_start|>user\nhi<|im_end|>\n",
)  # fmt: skip


def read_back(path: Path) -> Any:
    silence()
    with without_stderr():
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)


def tokenizer_in(path: Path) -> Any:
    return AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)


def fields(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def tensor_types(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}


@pytest.fixture(scope="module")
def tiny(tiny_model: Path) -> LoadedModel:
    return load(tiny_model)


@pytest.fixture(scope="module")
def f32(tiny: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "model.gguf"
    write_gguf(tiny, path, type="f32", facts=FACTS)
    return path


# -- weights ----------------------------------------------------------------------------------------------------------------


def test_f32_comes_back_exactly(tiny: LoadedModel, f32: Path) -> None:
    before, after = tiny.model.state_dict(), read_back(f32).state_dict()
    assert set(before) == set(after)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_heads_of_other_numbers_come_back_too(tmp_path: Path) -> None:
    loaded = load(tiny_llama(tmp_path / "m", seed=2, hidden_size=36, num_heads=9, num_key_value_heads=3))
    write_gguf(loaded, path := tmp_path / "model.gguf", type="f32", facts=FACTS)
    after = read_back(path).state_dict()
    assert all(torch.equal(value, after[name]) for name, value in loaded.model.state_dict().items())


def test_pairs_of_a_head_become_neighbours(tiny: LoadedModel, f32: Path) -> None:
    tensors = {tensor.name: tensor.data for tensor in gguf.GGUFReader(f32).tensors}
    ours = tiny.model.state_dict()
    # Heads of 16 rows: row 0 is followed by row 8, then 1 and 9; the second head begins at row 16.
    order = [0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15]
    for name, key, heads in (("q_proj", "attn_q", 4), ("k_proj", "attn_k", 2)):
        rows = [16 * head + row for head in range(heads) for row in order]
        expected = ours[f"model.layers.0.self_attn.{name}.weight"].numpy()[rows]
        assert np.array_equal(tensors[f"blk.0.{key}.weight"], expected)
    assert np.array_equal(tensors["blk.1.attn_v.weight"], ours["model.layers.1.self_attn.v_proj.weight"].numpy())


def test_f16_is_rounded_once_and_vectors_are_not(tiny: LoadedModel, tmp_path: Path) -> None:
    write_gguf(tiny, path := tmp_path / "model.gguf", type="f16", facts=FACTS)
    after = read_back(path).state_dict()
    for name, value in tiny.model.state_dict().items():
        assert torch.equal(after[name], value.half().float() if value.ndim > 1 else value), name
    types = tensor_types(path)
    assert types["token_embd.weight"] == types["blk.0.ffn_up.weight"] == "F16"
    assert types["blk.0.attn_norm.weight"] == types["output_norm.weight"] == "F32"


def test_q8_0_is_within_half_a_step(tiny: LoadedModel, tmp_path: Path) -> None:
    write_gguf(tiny, path := tmp_path / "model.gguf", type="q8_0", facts=FACTS)
    after = read_back(path).state_dict()
    for name, value in tiny.model.state_dict().items():
        if value.ndim == 1:
            assert torch.equal(after[name], value)
            continue
        blocks, others = (tensor.reshape(-1, 32) for tensor in (value, after[name]))
        largest = blocks.abs().amax(dim=1, keepdim=True)
        # Half of one of 127 steps, and the step itself is kept in 16 bits.
        assert ((blocks - others).abs() <= largest * (0.5 / 127 + 2**-11) + 1e-7).all(), name
    assert set(tensor_types(path).values()) == {"Q8_0", "F32"}
    assert fields(path)["general.file_type"] == 7


def test_rows_that_blocks_do_not_divide_become_f16(tmp_path: Path) -> None:
    loaded = load(tiny_llama(tmp_path / "odd", seed=1, hidden_size=48, num_heads=4))
    write_gguf(loaded, path := tmp_path / "model.gguf", type="q8_0", facts=FACTS)
    types = tensor_types(path)
    assert types["blk.0.attn_q.weight"] == "F16", "48 numbers are not blocks of 32"
    assert types["blk.0.ffn_down.weight"] == "Q8_0", "96 are"
    read_back(path)


def test_an_untied_head_and_spare_embeddings(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=300, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "m")
    byte_tokenizer().save_pretrained(tmp_path / "m")
    loaded = load(tmp_path / "m")
    write_gguf(loaded, path := tmp_path / "model.gguf", type="f32", facts=FACTS)
    assert torch.equal(read_back(path).lm_head.weight, loaded.model.lm_head.weight)
    found = fields(path)
    assert len(found["tokenizer.ggml.tokens"]) == 300
    assert found["tokenizer.ggml.tokens"][276:278] == ["[PAD276]", "[PAD277]"]
    assert set(found["tokenizer.ggml.token_type"][276:]) == {5}


# -- metadata ---------------------------------------------------------------------------------------------------------------


def test_what_the_file_says(tiny: LoadedModel, f32: Path) -> None:
    found = fields(f32)
    expected = {
        "general.architecture": "llama",
        "general.name": "茶 helper",
        "general.license": "Apache-2.0",
        "general.languages": ["en", "zh"],
        "general.base_model.0.name": "b",
        "general.file_type": 0,
        "llama.context_length": 2048,
        "llama.embedding_length": 64,
        "llama.block_count": 2,
        "llama.feed_forward_length": 128,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 16,
        "llama.rope.dimension_count": 16,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": 276,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 2,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": "{{ messages }}",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-6)
    assert found["tokenizer.ggml.tokens"][:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    assert found["tokenizer.ggml.token_type"][:4] == [3, 3, 3, 1]
    assert found["tokenizer.ggml.merges"][:2] == ["t h", "th e"]
    assert "rope_freqs.weight" not in tensor_types(f32)


def test_rotary_positions_of_llama_3_slow_down_low_frequencies_only(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    loaded = load(rope_model(tmp_path, rope))
    write_gguf(loaded, path := tmp_path / "model.gguf", type="f16", facts=FACTS)
    factors = next(tensor.data for tensor in gguf.GGUFReader(path).tensors if tensor.name == "rope_freqs.weight")
    # Wavelength 2 pi 10000^(i/8): 6.3, 19.9, 62.8, 199 ... Below 64/4 nothing changes, above 64 it is 8 times slower.
    assert factors[0] == pytest.approx(1)
    assert 1 < factors[1] < factors[2] < 8
    assert factors[3:] == pytest.approx(8)
    exponents = np.arange(0, 16, 2) / 16
    assert 10000.0**-exponents / factors == pytest.approx(loaded.model.model.rotary_emb.inv_freq.numpy(), rel=1e-5)


def rope_model(folder: Path, rope: dict[str, Any]) -> Path:
    config = LlamaConfig(
        vocab_size=276, hidden_size=64, intermediate_size=64, num_hidden_layers=1, num_attention_heads=4, rope_parameters=rope,
        max_position_embeddings=512, tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder / "rope")
    byte_tokenizer().save_pretrained(folder / "rope")
    return folder / "rope"


# -- tokenizers -------------------------------------------------------------------------------------------------------------

LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace("{1,3}", "")


def tokenizer(
    *, split: str | None = None, digits: bool = False, ignore_merges: bool = False, normalizer: Any = None
) -> PreTrainedTokenizerFast:
    """The byte tokenizer, with another way to cut text into words."""
    content = json.loads(byte_tokenizer().backend_tokenizer.to_str())
    content["model"]["ignore_merges"] = ignore_merges
    backend = Tokenizer.from_str(json.dumps(content))
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split is None)
    first = (
        [pre_tokenizers.Split(Regex(split), "isolated")] if split else [pre_tokenizers.Digits(True)] if digits else []
    )
    backend.pre_tokenizer = pre_tokenizers.Sequence([*first, last]) if first else last
    if normalizer is not None:
        backend.normalizer = normalizer
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>", bos_token="<|im_start|>")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("gpt-2", {}),
        ("smollm", {"digits": True}),
        ("llama-bpe", {"split": LLAMA3, "ignore_merges": True}),
        ("qwen2", {"split": QWEN2}),
    ],
)
def test_ways_to_cut_text_that_llama_cpp_knows(
    tiny: LoadedModel, tmp_path: Path, name: str, words: dict[str, Any]
) -> None:
    loaded = replace(tiny, tokenizer=tokenizer(**words))
    write_gguf(loaded, path := tmp_path / "model.gguf", type="f16", facts=FACTS)
    assert fields(path)["tokenizer.ggml.pre"] == name
    if name == "smollm":
        return  # transformers' reader does not split digits; llama.cpp is asked in bench/gguf_files.py
    back = tokenizer_in(path)
    assert [back(text).input_ids for text in TEXTS] == [loaded.tokenizer(text).input_ids for text in TEXTS]


@pytest.fixture(scope="module")
def both(tiny: LoadedModel, f32: Path) -> tuple[Any, Any]:
    return tiny.tokenizer, tokenizer_in(f32)


@given(text=st.text(st.characters(codec="utf-8") | st.sampled_from(" \n\t'0123the<|im_end|>你好"), max_size=60))
def test_any_text_gets_the_same_ids(both: tuple[Any, Any], text: str) -> None:
    ours, theirs = both
    assert ours(text).input_ids == theirs(text).input_ids


def test_special_tokens_and_template_come_back(both: tuple[Any, Any]) -> None:
    _, theirs = both
    assert theirs.all_special_ids[:2] == [1, 2]
    assert (theirs.eos_token, theirs.bos_token, theirs.pad_token) == ("<|im_end|>", "<|im_start|>", "<|endoftext|>")
    assert theirs.chat_template == "{{ messages }}"


def sentencepiece_like() -> PreTrainedTokenizerFast:
    vocabulary = {
        token: index for index, token in enumerate(["<s>", "▁", "a", "▁a", *(f"<0x{n:02X}>" for n in range(256))])
    }
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[("▁", "a")], byte_fallback=True))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<s>")


def with_greedy_token() -> PreTrainedTokenizerFast:
    made = tokenizer()
    made.add_tokens([AddedToken("<|im_end|>", lstrip=True, special=True)], special_tokens=True)
    return made


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (sentencepiece_like, "not a byte-level BPE"),
        (lambda: tokenizer(normalizer=normalizers.NFC()), "normalizer"),
        (lambda: tokenizer(split=r"\w+|\s+"), "no name for"),
        # llama.cpp ties taking whole words to the name: this pattern goes with it, that one without.
        (lambda: tokenizer(split=LLAMA3), "no name for"),
        (lambda: tokenizer(split=QWEN2, ignore_merges=True), "no name for"),
        (lambda: tokenizer(digits=True, ignore_merges=True), "no name for"),
        (with_greedy_token, "swallow spaces"),
    ],
)
def test_tokenizers_that_would_be_nearly_right_are_refused(made: Any, why: str) -> None:
    with pytest.raises(ModelError, match=why) as caught:
        gguf_tokenizer(made(), 276)
    assert "--what model" in str(caught.value)


def test_more_ids_than_embeddings_are_refused() -> None:
    with pytest.raises(ModelError, match="ids up to 275, the model has 100 embeddings"):
        gguf_tokenizer(byte_tokenizer(), 100)


# -- refusals ---------------------------------------------------------------------------------------------------------------


def test_other_architectures_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    config = Qwen2Config(
        vocab_size=276, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2
    )  # fmt: skip
    Qwen2ForCausalLM(config).save_pretrained(tmp_path / "m")
    byte_tokenizer().save_pretrained(tmp_path / "m")
    with pytest.raises(ModelError, match="its architecture is Qwen2ForCausalLM") as caught:
        write_gguf(load(tmp_path / "m"), tmp_path / "out" / "model.gguf", type="f32", facts=FACTS)
    assert "LlamaForCausalLM" in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_other_rotary_positions_are_refused(tmp_path: Path) -> None:
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
    with pytest.raises(ModelError, match="'yarn', not one of default, linear, llama3"):
        check_gguf(load(rope_model(tmp_path, rope)))


@pytest.mark.parametrize(("value", "why"), [(float("nan"), "not finite"), (1e5, "too large for 16 bits")])
def test_broken_weights_leave_nothing_behind(tiny_model: Path, tmp_path: Path, value: float, why: str) -> None:
    loaded = load(tiny_model)
    with torch.no_grad():
        loaded.model.model.layers[1].mlp.up_proj.weight[3, 4] = value
    with pytest.raises(ModelError, match=why):
        write_gguf(loaded, tmp_path / "out" / "model.gguf", type="f16", facts=FACTS)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.model
@pytest.mark.slow
def test_the_real_tokenizer_comes_back(smollm2: LoadedModel, tmp_path: Path) -> None:
    # Small weights: reading 49,152 tokens back takes the reader ten seconds as it is.
    config = LlamaConfig(
        vocab_size=49152, hidden_size=36, intermediate_size=32, num_hidden_layers=1, num_attention_heads=9, num_key_value_heads=3
    )  # fmt: skip
    loaded = replace(smollm2, model=LlamaForCausalLM(config))
    write_gguf(loaded, path := tmp_path / "model.gguf", type="f16", facts=FACTS)
    back = tokenizer_in(path)
    assert [back(text).input_ids for text in TEXTS] == [smollm2.tokenizer(text).input_ids for text in TEXTS]
