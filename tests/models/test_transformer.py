"""The Transformer that is to be read: equal to transformers' and torch's own, leaking nothing, trainable, step by step or at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)
from transformers.models.t5.modeling_t5 import T5Attention

from heedful.errors import InputError, ModelError, SettingsError
from heedful.models import LoadedModel
from heedful.models.scratch import tiny_gpt2, tiny_llama, tiny_t5
from heedful.models.transformer import (
    Block,
    LayerNorm,
    MultiHeadAttention,
    RMSNorm,
    Transformer,
    TransformerConfig,
    causal_mask,
    distance_buckets,
    log_likelihoods,
    rotate,
    scaled_dot_product_attention,
    sinusoids,
)
from heedful.models.transformer_weights import from_bert, from_llama, from_t5

TINY = TransformerConfig(
    vocabulary_size=50, width=16, num_encoder_layers=2, num_decoder_layers=2, num_heads=4, feed_forward_width=32
)
DECODER = replace(TINY, num_encoder_layers=0)
ENCODER = replace(TINY, num_decoder_layers=0)
LLAMA_LIKE = replace(
    DECODER,
    num_key_value_heads=2,
    feed_forward="swiglu",
    feed_forward_bias=False,
    norm="rms",
    norm_place="before",
    positions="rotary",
    scaled_embeddings=False,
)
T5_LIKE = replace(
    TINY,
    scaled_scores=False,
    feed_forward="gated_gelu",
    norm="rms",
    norm_place="before",
    positions="relative",
    scaled_embeddings=False,
    num_buckets=8,
    max_distance=16,
    tied_head=False,
)
DECODERS = {
    "llama": LLAMA_LIKE,
    "sinusoidal": DECODER,
    "learned": replace(DECODER, positions="learned", feed_forward="gelu", attention_bias=True),
    "relative": replace(T5_LIKE, num_encoder_layers=0),
    "none": replace(DECODER, positions="none", feed_forward="tanh_gelu"),
}
BOTH = {"2017": TINY, "t5": T5_LIKE, "rotary": replace(TINY, positions="rotary", norm_place="before")}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=generator(seed))


def ids(rows: int, length: int, *, vocabulary: int = 50, seed: int = 0) -> Tensor:
    return torch.randint(vocabulary, (rows, length), generator=generator(seed))


def made(config: TransformerConfig) -> Transformer:
    return Transformer(config, seed=0).eval()


# -- attention ---------------------------------------------------------------------------------------------------------


def test_attention_by_hand() -> None:
    # d = 1, so the scale is 1. Query log 3 has scores log 3 and 0 for the keys 1 and 0: weights 3/4 and 1/4.
    query = torch.tensor([[[[0.0], [math.log(3)]]]])
    key = torch.tensor([[[[1.0], [0.0]]]])
    value = torch.tensor([[[[4.0, 0.0], [0.0, 8.0]]]])
    found = scaled_dot_product_attention(query, key, value)
    torch.testing.assert_close(found, torch.tensor([[[[2.0, 4.0], [3.0, 2.0]]]]))
    # The first query sees only the first key.
    found = scaled_dot_product_attention(query, key, value, visible=causal_mask(2, 2))
    torch.testing.assert_close(found, torch.tensor([[[[4.0, 0.0], [3.0, 2.0]]]]))
    # A bias of log 3 on the second key: the first query's weights are 1/4 and 3/4, the second's 1/2 and 1/2.
    found = scaled_dot_product_attention(query, key, value, bias=torch.tensor([0.0, math.log(3)]))
    torch.testing.assert_close(found, torch.tensor([[[[1.0, 6.0], [2.0, 4.0]]]]))


@given(
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 6),
    st.integers(1, 6),
    st.sampled_from([None, 1.0, 0.3]),
    st.integers(0, 1000),
)
@settings(max_examples=40, deadline=None)
def test_attention_is_torchs(rows: int, heads: int, queries: int, keys: int, scale: float | None, seed: int) -> None:
    query, key, value = (
        normal(rows, heads, queries, 4, seed=seed),
        normal(rows, heads, keys, 4, seed=seed + 1),
        normal(rows, heads, keys, 5, seed=seed + 2),
    )
    visible = torch.rand((rows, 1, queries, keys), generator=generator(seed)) < 0.6
    visible[..., 0] = True  # torch leaves open what a query sees that may look nowhere
    ours = scaled_dot_product_attention(query, key, value, visible=visible, scale=scale)
    theirs = functional.scaled_dot_product_attention(query, key, value, attn_mask=visible, scale=scale)
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-5)


def test_a_query_that_may_look_nowhere_finds_zeros_and_has_a_gradient() -> None:
    query, key, value = (normal(1, 1, 2, 4, seed=seed).requires_grad_() for seed in range(3))
    visible = torch.tensor([[False, False], [True, False]])
    found = scaled_dot_product_attention(query, key, value, visible=visible)
    assert torch.equal(found[0, 0, 0], torch.zeros(4))
    torch.testing.assert_close(found[0, 0, 1], value[0, 0, 0])
    found.sum().backward()  # type: ignore[no-untyped-call]
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in (query, key, value))


def test_causal_mask_by_hand() -> None:
    assert causal_mask(3, 3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]  # two tokens are in the cache


def test_grouped_queries_are_full_attention_with_repeated_keys_and_values() -> None:
    grouped = MultiHeadAttention(LLAMA_LIKE, rotary=True)
    full = MultiHeadAttention(replace(LLAMA_LIKE, num_key_value_heads=None), rotary=True)
    weights = grouped.state_dict()
    for name in ("key.weight", "value.weight"):  # (2 heads x 4, 16) -> (4 heads x 4, 16)
        weights[name] = weights[name].unflatten(0, (2, 4)).repeat_interleave(2, dim=0).flatten(0, 1)
    full.load_state_dict(weights)
    x = normal(2, 5, 16)
    torch.testing.assert_close(grouped(x), full(x))


# -- positions ---------------------------------------------------------------------------------------------------------


def test_sinusoids_by_hand() -> None:
    expected = [
        [0.0, 1.0, 0.0, 1.0],
        [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)],
        [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)],
    ]
    torch.testing.assert_close(sinusoids(torch.arange(3), 4), torch.tensor(expected))


def test_rotation_by_hand() -> None:
    # Pairs are (first, third) and (second, fourth); position 2 turns them by 2 and by 2 / 100.
    turned = rotate(torch.tensor([[1.0, 0.0, 0.0, 1.0]]), torch.tensor([2]), base=10000.0)
    expected = [[math.cos(2), -math.sin(0.02), math.sin(2), math.cos(0.02)]]
    torch.testing.assert_close(turned, torch.tensor(expected))


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 60), st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_scores_of_rotated_vectors_know_only_the_distance(first: int, second: int, shift: int, seed: int) -> None:
    query, key = normal(1, 8, seed=seed), normal(1, 8, seed=seed + 1)

    def score(query_position: int, key_position: int) -> Tensor:
        turned = rotate(query, torch.tensor([query_position]), base=10000.0)
        return turned @ rotate(key, torch.tensor([key_position]), base=10000.0).T

    torch.testing.assert_close(score(first, second), score(first + shift, second + shift), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(rotate(query, torch.tensor([shift]), base=10000.0).norm(), query.norm())


@pytest.mark.parametrize("both_ways", [True, False])
@pytest.mark.parametrize(("num_buckets", "max_distance"), [(32, 128), (8, 16), (16, 500)])
def test_distance_buckets_are_t5s(both_ways: bool, num_buckets: int, max_distance: int) -> None:
    distances = torch.arange(-700, 701)
    ours = distance_buckets(distances, num_buckets=num_buckets, max_distance=max_distance, both_ways=both_ways)
    theirs = T5Attention._relative_position_bucket(
        distances, bidirectional=both_ways, num_buckets=num_buckets, max_distance=max_distance
    )
    assert torch.equal(ours, theirs)
    assert ours.min() == 0
    assert ours.max() == num_buckets - 1


def test_learned_positions_end_somewhere() -> None:
    model = made(replace(DECODER, positions="learned", max_positions=4))
    assert model(ids(1, 4)).shape == (1, 4, 50)
    with pytest.raises(InputError, match="5 tokens, and there are learned positions for 4"):
        model(ids(1, 5))


# -- layers ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("ours", "theirs"), [(RMSNorm, nn.RMSNorm), (LayerNorm, nn.LayerNorm)])
def test_norms_are_torchs(ours: Callable[..., nn.Module], theirs: Callable[..., nn.Module]) -> None:
    mine, reference = ours(8, 1e-3), theirs(8, eps=1e-3)
    for name, parameter in mine.named_parameters():
        parameter.data = normal(8, seed=len(name))
    reference.load_state_dict(mine.state_dict())
    x = normal(2, 3, 8, seed=3) * 5 + 1
    torch.testing.assert_close(mine(x), reference(x))
    # 300 squared overflows half precision.
    assert mine.half()(torch.full((1, 8), 300.0).half()).isfinite().all()


@pytest.mark.parametrize("norm_place", ["before", "after"])
def test_a_block_is_torchs_decoder_layer(norm_place: Any) -> None:
    config = replace(TINY, norm_place=norm_place, attention_bias=True)
    reference = nn.TransformerDecoderLayer(16, 4, 32, dropout=0.0, norm_first=norm_place == "before", batch_first=True)
    block = Block(config, crosses=True)
    weights: dict[str, Tensor] = {}
    for name, parameter in reference.named_parameters():
        parameter.data = normal(*parameter.shape, seed=len(weights)) * 0.3
        weights[name] = parameter.data
    block.load_state_dict(dict(_renamed_from_torch(weights)))
    x, memory = normal(2, 5, 16), normal(2, 7, 16, seed=1)
    present = torch.tensor([[True] * 7, [True] * 4 + [False] * 3])
    theirs = reference(
        x,
        memory,
        tgt_mask=~causal_mask(5, 5),
        memory_key_padding_mask=~present,
    )
    ours = block(x, visible=causal_mask(5, 5), memory=memory, memory_visible=present[:, None, None, :])
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def _renamed_from_torch(weights: dict[str, Tensor]) -> Any:
    places = {"self_attn": "self_attention", "multihead_attn": "cross_attention"}
    norms = {"norm1": "self_attention_norm", "norm2": "cross_attention_norm", "norm3": "feed_forward_norm"}
    for name, tensor in weights.items():
        module, _, rest = name.partition(".")
        if module in places and rest.startswith("in_proj_"):
            for part, piece in zip(("query", "key", "value"), tensor.chunk(3), strict=True):
                yield f"{places[module]}.{part}.{rest.removeprefix('in_proj_')}", piece
        elif module in places:
            yield f"{places[module]}.{rest.replace('out_proj', 'output')}", tensor
        elif module in norms:
            yield f"{norms[module]}.{rest}", tensor
        else:
            yield f"feed_forward.{ {'linear1': 'up', 'linear2': 'down'}[module] }.{rest}", tensor


def test_parts_that_do_not_fit_are_refused() -> None:
    for changes, message in (
        ({"positions": "rotery"}, "did you mean 'rotary'"),
        ({"feed_forward": "swish"}, "swiglu"),
        ({"num_encoder_layers": 0, "num_decoder_layers": 0}, "neither encoder nor decoder"),
        ({"num_heads": 3}, "width 16 cannot be cut into 3 heads"),
        ({"num_key_value_heads": 3}, "4 heads cannot share 3 heads"),
        ({"positions": "rotary", "head_width": 3}, "even head_width"),
        ({"width": 15, "num_heads": 5}, "even width"),
    ):
        with pytest.raises(SettingsError, match=message):
            replace(TINY, **changes)  # type: ignore[arg-type]


def test_missing_and_superfluous_inputs_are_refused() -> None:
    with pytest.raises(InputError, match="give source_ids"):
        made(TINY)(ids(1, 3))
    for config in (DECODER, ENCODER):
        with pytest.raises(InputError, match="leave them out"):
            made(config)(ids(1, 3), source_ids=ids(1, 3))
    with pytest.raises(InputError, match="no encoder"):
        made(DECODER).encode(ids(1, 3))
    with pytest.raises(InputError, match="no decoder"):
        made(ENCODER).decode(ids(1, 3))
    with pytest.raises(InputError, match="takes none"):
        made(DECODER).decode(ids(1, 3), memory=normal(1, 2, 16))
    with pytest.raises(InputError, match="segments were given"):
        made(ENCODER)(ids(1, 3), segments=ids(1, 3))


# -- the same logits as transformers -----------------------------------------------------------------------------------


def assert_same(ours: Tensor, theirs: Tensor) -> None:
    """To 1e-5 in fp32; and the comparison says something: logits differ from each other by far more."""
    assert theirs.std() > 0.05
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


# Fused attention sums in another order, which moves large logits by more than 1e-5 within transformers itself.
EAGER = {"attn_implementation": "eager", "local_files_only": True}


@pytest.mark.parametrize("num_key_value_heads", [1, 2, 4])
def test_logits_are_llamas(tmp_path: Path, num_key_value_heads: int) -> None:
    folder = tiny_llama(tmp_path, seed=1, num_key_value_heads=num_key_value_heads)
    theirs = LlamaForCausalLM.from_pretrained(folder, **EAGER).eval()
    ours = from_llama(theirs)
    tokens = ids(3, 30, vocabulary=250)
    with torch.no_grad():
        assert_same(ours(tokens), theirs(tokens).logits)
        # Rows of different lengths, padded at the left: what stands at padding is nobody's business.
        present = torch.arange(30) >= torch.tensor([[0], [9], [20]])
        expected = theirs(tokens, attention_mask=present.long()).logits
        assert_same(ours(tokens, present=present)[present], expected[present])


def test_logits_are_a_llamas_with_everything_set_otherwise() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = LlamaForCausalLM(
            LlamaConfig(
                vocab_size=60,
                hidden_size=24,
                intermediate_size=40,
                num_hidden_layers=2,
                num_attention_heads=2,
                num_key_value_heads=1,
                head_dim=10,
                rms_norm_eps=1e-2,
                attention_bias=True,
                mlp_bias=True,
                tie_word_embeddings=False,
                initializer_range=0.3,
                rope_parameters={"rope_type": "default", "rope_theta": 500.0},
                attn_implementation="eager",
            )
        ).eval()
        for name, parameter in theirs.named_parameters():
            if name.endswith("bias") or "norm" in name:
                nn.init.normal_(parameter)
    tokens = ids(2, 20, vocabulary=60)
    with torch.no_grad():
        assert_same(from_llama(theirs)(tokens), theirs(tokens).logits)


@pytest.mark.parametrize(("feed_forward", "tied"), [("relu", True), ("gated-gelu", False), ("gated-gelu", True)])
def test_logits_are_t5s(tmp_path: Path, feed_forward: str, tied: bool) -> None:
    folder = tiny_t5(tmp_path, seed=1, feed_forward=feed_forward, tied=tied)
    theirs = T5ForConditionalGeneration.from_pretrained(folder, **EAGER).eval()
    ours = from_t5(theirs)
    assert ours.config.tied_head is tied
    # 170 tokens are further apart than the last bucket begins.
    source, target = ids(3, 170, vocabulary=250), ids(3, 12, vocabulary=250, seed=1)
    source_present = torch.arange(170) < torch.tensor([[170], [100], [3]])
    with torch.no_grad():
        expected = theirs(input_ids=source, attention_mask=source_present.long(), decoder_input_ids=target).logits
        assert_same(ours(target, source_ids=source, source_present=source_present), expected)
        present = torch.arange(12) < torch.tensor([[12], [5], [9]])
        expected = theirs(
            input_ids=source,
            attention_mask=source_present.long(),
            decoder_input_ids=target,
            decoder_attention_mask=present.long(),
        ).logits
        found = ours(target, present=present, source_ids=source, source_present=source_present)
        assert_same(found[present], expected[present])


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining])
def test_logits_are_berts(kind: Any) -> None:
    config = BertConfig(
        vocab_size=60,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=40,
        max_position_embeddings=32,
        initializer_range=0.3,
        attn_implementation="eager",
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = kind(config).eval()
        for name, parameter in theirs.named_parameters():
            if name.endswith("bias") or "Norm" in name:
                nn.init.normal_(parameter)
    ours = from_bert(theirs)
    tokens = ids(2, 20, vocabulary=60)
    segments = (torch.arange(20) > torch.tensor([[7], [12]])).long()
    present = torch.arange(20) < torch.tensor([[20], [15]])
    with torch.no_grad():
        expected = theirs(tokens, token_type_ids=segments, attention_mask=present.long())
        expected = expected.logits if kind is BertForMaskedLM else expected.prediction_logits
        assert_same(ours(tokens, segments=segments, present=present)[present], expected[present])
        plain = theirs(tokens)
        assert_same(ours(tokens), plain.logits if kind is BertForMaskedLM else plain.prediction_logits)


def test_gradients_are_transformers(tiny_model: Path, tmp_path: Path) -> None:
    llama = LlamaForCausalLM.from_pretrained(tiny_model, **EAGER).eval()
    t5 = T5ForConditionalGeneration.from_pretrained(tiny_t5(tmp_path, seed=0), **EAGER).eval()
    tokens, source = ids(2, 10, vocabulary=250), ids(2, 14, vocabulary=250, seed=1)
    ours = from_llama(llama)
    _backward(ours(tokens), llama(tokens).logits)
    _compare_gradient(ours.embedding.tokens.weight, llama.model.embed_tokens.weight)
    ours = from_t5(t5)
    _backward(ours(tokens, source_ids=source), t5(input_ids=source, decoder_input_ids=tokens).logits)
    _compare_gradient(ours.embedding.tokens.weight, t5.shared.weight)
    assert ours.encoder is not None
    assert ours.encoder.relative is not None
    theirs = t5.encoder.block[0].layer[0].SelfAttention.relative_attention_bias.weight
    _compare_gradient(ours.encoder.relative.weight, theirs)


def _backward(*all_logits: Tensor) -> None:
    for logits in all_logits:
        logits.log_softmax(-1)[..., 3].mean().backward()  # type: ignore[no-untyped-call]


def _compare_gradient(ours: Tensor, theirs: Tensor) -> None:
    assert ours.grad is not None
    assert theirs.grad is not None
    assert (ours.grad - theirs.grad).norm() <= 1e-5 * theirs.grad.norm()


@pytest.mark.model
def test_logits_are_the_real_models(smollm2: LoadedModel) -> None:
    theirs = LlamaForCausalLM.from_pretrained(smollm2.folder, dtype=torch.float32, **EAGER).eval()
    ours = from_llama(theirs)
    text = "The quick brown fox jumps over the lazy dog, and then it sleeps in the sun. 你好，世界。"
    tokens = torch.tensor([smollm2.tokenizer.encode(text)])
    with torch.no_grad():
        logits = ours(tokens)
        assert_same(logits, theirs(tokens).logits)
        # With fused attention the model differs from itself in the sixth digit of its largest logits, 34.
        fused = smollm2.model(tokens).logits
    assert (logits - fused).abs().max() <= 1e-5 * fused.abs().max()
    assert torch.equal(logits.argmax(-1), fused.argmax(-1))


def test_weights_are_copied(tiny_model: Path) -> None:
    theirs = LlamaForCausalLM.from_pretrained(tiny_model, local_files_only=True)
    ours = from_llama(theirs)
    assert all(parameter.requires_grad for parameter in ours.parameters())
    before = {name: parameter.clone() for name, parameter in theirs.state_dict().items()}
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.zero_()
    assert all(torch.equal(parameter, before[name]) for name, parameter in theirs.state_dict().items())


def test_what_a_transformer_is_not_is_refused(tmp_path: Path) -> None:
    small: dict[str, Any] = {
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    with pytest.raises(ModelError, match="'linear'"):
        stretched = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
        from_llama(LlamaForCausalLM(LlamaConfig(**small, rope_parameters=stretched)))
    with pytest.raises(ModelError, match="'relu'"):
        from_llama(LlamaForCausalLM(LlamaConfig(**small, hidden_act="relu")))
    with pytest.raises(ModelError, match="'gelu_new'"):
        from_bert(BertForMaskedLM(BertConfig(**small, hidden_act="gelu_new")))
    with pytest.raises(ModelError, match="'gated-relu'"):
        from_t5(T5ForConditionalGeneration(T5Config(vocab_size=20, d_model=8, d_kv=4, d_ff=8, num_layers=1, num_heads=2, feed_forward_proj="gated-relu")))  # fmt: skip
    gpt2 = GPT2LMHeadModel.from_pretrained(tiny_gpt2(tmp_path, seed=0), local_files_only=True)
    for function in (from_llama, from_t5, from_bert):
        with pytest.raises(ModelError, match="GPT2LMHeadModel came"):
            function(gpt2)
    adapted = LlamaForCausalLM(LlamaConfig(**small))
    adapted.model.layers[0].mlp.register_parameter("extra", nn.Parameter(torch.zeros(1)))
    with pytest.raises(ModelError, match=r"'model\.layers\.0\.mlp\.extra'"):
        from_llama(adapted)


# -- what may be seen --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECODERS)
@given(place=st.integers(1, 9), seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_no_later_token_is_seen(name: str, place: int, seed: int) -> None:
    model = made(DECODERS[name])
    tokens = ids(2, 10, seed=seed)
    changed = tokens.clone()
    changed[0, place:] = (changed[0, place:] + 1 + ids(1, 10 - place, vocabulary=48, seed=seed)[0]) % 50
    with torch.no_grad():
        before, after = model(tokens), model(changed)
    assert torch.equal(before[0, :place], after[0, :place]), "a later token changed an earlier logit"
    assert torch.equal(before[1], after[1]), "another row changed"
    assert not torch.equal(before[0, place], after[0, place]), "a token has no effect at all"


def test_no_gradient_comes_from_a_later_token() -> None:
    model = made(LLAMA_LIKE)
    x = normal(1, 6, 16).requires_grad_()
    assert model.decoder is not None
    model.decoder(x)[0, 2].sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad[0, 3:], torch.zeros(3, 16))
    assert (x.grad[0, :3].abs().sum(-1) > 0).all()


def test_an_encoder_sees_both_ways() -> None:
    model = made(ENCODER)
    tokens = ids(1, 6)
    changed = tokens.clone()
    changed[0, -1] = (changed[0, -1] + 1) % 50
    with torch.no_grad():
        assert (model(tokens) != model(changed)).any(-1).all()


@pytest.mark.parametrize("name", BOTH)
def test_padding_of_the_source_is_never_seen(name: str) -> None:
    model = made(BOTH[name])
    source, target = ids(2, 9), ids(2, 5, seed=1)
    lengths = (9, 4)
    present = torch.arange(9) < torch.tensor(lengths).unsqueeze(1)
    other_padding = torch.where(present, source, ids(2, 9, seed=2))
    with torch.no_grad():
        found = model(target, source_ids=source, source_present=present)
        assert torch.equal(found, model(target, source_ids=other_padding, source_present=present))
        for row, length in enumerate(lengths):
            alone = model(target[row : row + 1], source_ids=source[row : row + 1, :length])
            torch.testing.assert_close(found[row : row + 1], alone, atol=1e-5, rtol=1e-5)
        # The mask does something: without it the padding is seen.
        assert not torch.allclose(found[1], model(target, source_ids=source)[1], atol=1e-3)


def test_padding_of_an_encoders_own_text_is_never_seen() -> None:
    model = made(ENCODER)
    tokens = ids(2, 8)
    present = torch.arange(8) < torch.tensor([[8], [5]])
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, present=present)[1:, :5], model(tokens[1:, :5]), atol=1e-5, rtol=1e-5)


# -- step by step ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("pieces", [(1,) * 9, (4, 1, 3, 1), (9,)])
def test_reading_in_pieces_is_reading_at_once(name: str, pieces: tuple[int, ...]) -> None:
    model = made(DECODERS[name])
    tokens = ids(2, 9)
    with torch.no_grad():
        caches = model.caches()
        found = [model.logits(model.decode(piece, caches=caches)) for piece in tokens.split(pieces, dim=1)]
        torch.testing.assert_close(torch.cat(found, dim=1), model(tokens), atol=1e-5, rtol=1e-5)
    assert caches[0].num_positions == 9


@pytest.mark.parametrize("name", BOTH)
def test_an_encoder_decoder_writes_token_by_token(name: str) -> None:
    model = made(BOTH[name])
    source, target = ids(2, 7), ids(2, 5, seed=1)
    source_present = torch.arange(7) < torch.tensor([[7], [3]])
    with torch.no_grad():
        memory = model.encode(source, present=source_present)
        caches = model.caches()
        found = [
            model.logits(model.decode(token, memory=memory, memory_present=source_present, caches=caches))
            for token in target.split(1, dim=1)
        ]
        expected = model(target, source_ids=source, source_present=source_present)
    torch.testing.assert_close(torch.cat(found, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_a_padded_row_is_continued_like_the_row_alone() -> None:
    model = made(LLAMA_LIKE)
    tokens = ids(2, 8)
    present = torch.arange(8) >= torch.tensor([[0], [3]])  # row 1 begins with three of padding
    with torch.no_grad():
        caches = model.caches()
        model.decode(tokens[:, :6], present=present[:, :6], caches=caches)
        found = model.logits(model.decode(tokens[:, 6:], present=present, caches=caches))
        torch.testing.assert_close(found[1:], model(tokens[1:, 3:])[:, 3:], atol=1e-5, rtol=1e-5)


# -- as a language model, as a module ----------------------------------------------------------------------------------


def test_probabilities_of_all_texts_sum_to_one() -> None:
    # p(x) = prod p(x_t | x_<t) is a distribution over texts of a length: 5^3 continuations of one token.
    model = made(replace(LLAMA_LIKE, vocabulary_size=5)).double()
    texts = torch.tensor([(2, *rest) for rest in itertools.product(range(5), repeat=3)])
    with torch.no_grad():
        totals = log_likelihoods(model(texts), texts).sum(-1)
    torch.testing.assert_close(totals.exp().sum(), torch.tensor(1.0).double())
    assert totals.exp().max() > 2 / 125, "all texts are equally likely"


def test_log_likelihoods_are_cross_entropies() -> None:
    logits, tokens = normal(2, 6, 50), ids(2, 6)
    expected = -functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
    torch.testing.assert_close(log_likelihoods(logits, tokens).flatten(), expected)


@pytest.mark.parametrize(
    "config", [TINY, T5_LIKE, DECODER, LLAMA_LIKE, ENCODER], ids=["2017", "t5", "decoder", "llama", "encoder"]
)
def test_a_tiny_one_learns_a_batch_by_heart(config: TransformerConfig) -> None:
    model = Transformer(config, seed=0).train()
    tokens, source = ids(4, 8), ids(4, 6, seed=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    losses: list[float] = []
    for _ in range(150):
        if config.num_decoder_layers:
            logits = model(tokens, source_ids=source if config.num_encoder_layers else None)
            loss = -log_likelihoods(logits, tokens).mean()
        else:  # a masked token is guessed from both sides
            logits = model(tokens.index_fill(1, torch.tensor([3, 6]), 0))
            loss = functional.cross_entropy(logits[:, [3, 6]].flatten(0, 1), tokens[:, [3, 6]].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in model.parameters())
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 2
    assert losses[-1] < 0.1


def test_equal_seeds_give_equal_weights_and_global_randomness_stays() -> None:
    before = torch.random.get_rng_state()
    first, same, other = Transformer(TINY, seed=0), Transformer(TINY, seed=0), Transformer(TINY, seed=1)
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = list(zip(first.parameters(), same.parameters(), strict=True))
    assert all(torch.equal(left, right) for left, right in pairs)
    assert not torch.equal(first.embedding.tokens.weight, other.embedding.tokens.weight)


@pytest.mark.parametrize("scaled_scores", [True, False])
def test_scores_begin_neither_flat_nor_one_hot(scaled_scores: bool) -> None:
    attention = made(replace(LLAMA_LIKE, width=64, head_width=64, scaled_scores=scaled_scores)).get_submodule(
        "decoder.blocks.0.self_attention"
    )
    assert isinstance(attention, MultiHeadAttention)
    x = normal(200, 64)
    query, key = (projection(x).unflatten(-1, (-1, 64)) for projection in (attention.query, attention.key))
    scores = torch.einsum("qd,kd->qk", query[:, 0], key[:, 0]) * attention.scale
    assert 0.7 < scores.std() < 1.4


def test_dropout_is_for_training_only() -> None:
    model = Transformer(replace(LLAMA_LIKE, dropout=0.5), seed=0)
    tokens = ids(1, 6)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model.train()
        assert not torch.equal(model(tokens), model(tokens))
        model.eval()
        assert torch.equal(model(tokens), made(LLAMA_LIKE)(tokens))
