"""Ten families of chat templates: exactly the assistant's tokens and their ends of turn are trained, by expectations written by hand.

In the expectations, what is trained stands between « and ».
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_templates import CHATML, DEEPSEEK, FAMILIES, GEMMA, GLM, LLAMA3, MISTRAL, PHI, QWEN3, ZEPHYR, Family, own_ids
from heedful.errors import InputError, ModelError
from heedful.records import Message, Role
from heedful.render import Renderer

ONE = [Message("user", "Hi"), Message("assistant", "Yo")]
TWO = [*ONE, Message("user", "And you"), Message("assistant", "Me too")]
WITH_SYSTEM = [Message("system", "Be brief"), *TWO]

EXPECTED: dict[str, dict[str, str]] = {
    "chatml": {
        "one": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n",
        "system": "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n"
        "<|im_start|>user\nAnd you<|im_end|>\n<|im_start|>assistant\n«Me too<|im_end|>»\n",
    },
    "llama-3": {
        "one": "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«Yo<|eot_id|>»",
        "system": "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«Yo<|eot_id|>»"
        "<|start_header_id|>user<|end_header_id|>\n\nAnd you<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n«Me too<|eot_id|>»",
    },
    "gemma": {
        "one": "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n«Yo<end_of_turn>»\n",
        "two": "<bos><start_of_turn>user\nHi<end_of_turn>\n<start_of_turn>model\n«Yo<end_of_turn>»\n"
        "<start_of_turn>user\nAnd you<end_of_turn>\n<start_of_turn>model\n«Me too<end_of_turn>»\n",
    },
    # The space before an answer is not in the prompt: the model has to write it, so it learns it.
    "mistral": {
        "one": "<s>[INST] Hi[/INST]« Yo</s>»",
        "two": "<s>[INST] Hi[/INST]« Yo</s>»[INST] And you[/INST]« Me too</s>»",
    },
    "qwen2.5": {
        "one": "<|im_start|>system\nYou are of help.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n«Yo<|im_end|>»\n",
        "system": "<|im_start|>system\nBe brief<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«Yo<|im_end|>»\n"
        "<|im_start|>user\nAnd you<|im_end|>\n<|im_start|>assistant\n«Me too<|im_end|>»\n",
    },
    # The prompt does not say that there is no reasoning: the model has to.
    "qwen3": {
        "one": "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«<think>\n\n</think>\n\nYo<|im_end|>»\n",
    },
    # Its tokens swallow the line feeds behind them.
    "phi": {
        "one": "<|user|>Hi<|end|><|assistant|>«Yo<|end|>»<|endoftext|>",
        "system": "<|system|>Be brief<|end|><|user|>Hi<|end|><|assistant|>«Yo<|end|>»"
        "<|user|>And you<|end|><|assistant|>«Me too<|end|>»<|endoftext|>",
    },
    "deepseek": {
        "one": "<｜begin▁of▁sentence｜><｜User｜>Hi<｜Assistant｜>«Yo<｜end▁of▁sentence｜>»",
        "system": "<｜begin▁of▁sentence｜>Be brief<｜User｜>Hi<｜Assistant｜>«Yo<｜end▁of▁sentence｜>»"
        "<｜User｜>And you<｜Assistant｜>«Me too<｜end▁of▁sentence｜>»",
    },
    "glm": {
        "one": "[gMASK]<sop><|user|>\nHi<|assistant|>\n«Yo<|user|>»",
        "system": "[gMASK]<sop><|system|>\nBe brief<|user|>\nHi<|assistant|>\n«Yo<|user|>»\nAnd you<|assistant|>\n«Me too<|user|>»",
    },
    "zephyr": {
        "one": "<|user|>\nHi</s>\n<|assistant|>\n«Yo</s>»\n",
        "system": "<|system|>\nBe brief</s>\n<|user|>\nHi</s>\n<|assistant|>\n«Yo</s>»\n"
        "<|user|>\nAnd you</s>\n<|assistant|>\n«Me too</s>»\n",
    },
    "alpaca": {
        "one": "<s>An instruction, and a response to it.\n\n### Instruction:\nHi\n\n### Response:\n«Yo</s>»\n\n",
        "system": "<s>Be brief\n\n### Instruction:\nHi\n\n### Response:\n«Yo</s>»\n\n"
        "### Instruction:\nAnd you\n\n### Response:\n«Me too</s>»\n\n",
    },
}
CONVERSATIONS = {"one": ONE, "two": TWO, "system": WITH_SYSTEM}
CASES = [(family, name) for family, expected in EXPECTED.items() for name in expected]


def marked(renderer: Renderer, messages: list[Message]) -> str:
    """The rendering as text, with what is trained between « and »."""
    rendered = renderer.render(messages)
    text, before = "", False
    for index, trained in [*zip(rendered.input_ids, rendered.loss_mask, strict=True), (None, False)]:
        text += "«" if trained and not before else "»" if before and not trained else ""
        text += "" if index is None else renderer._tokenizer.decode([index])
        before = trained
    return text


def planted(family: Family, old: str, new: str) -> Family:
    changed = family.template.replace(old, new)
    assert changed != family.template
    return replace(family, template=changed)


def test_there_are_ten_families() -> None:
    assert len({name.rstrip("0123456789.") for name in FAMILIES}) == 10
    assert set(EXPECTED) == set(FAMILIES)


@pytest.mark.parametrize(("family", "name"), CASES)
def test_trained_is_what_the_assistant_wrote_and_its_end(family: str, name: str) -> None:
    assert marked(FAMILIES[family].renderer(), CONVERSATIONS[name]) == EXPECTED[family][name]


@pytest.mark.parametrize(("family", "name"), CASES)
def test_ids_are_those_of_the_tokenizers_own_template(family: str, name: str) -> None:
    renderer, messages = FAMILIES[family].renderer(), CONVERSATIONS[name]
    tokenizer = FAMILIES[family].tokenizer()
    rendered = renderer.render(messages).input_ids
    # GLM's template writes no end after a last answer: it is the token of who speaks next.
    end = [tokenizer.convert_tokens_to_ids("<|user|>")] if family == "glm" else []
    assert rendered == own_ids(tokenizer, messages, generation_prompt=False) + end
    assert renderer.prompt_ids(messages[:-1]) == own_ids(tokenizer, messages[:-1], generation_prompt=True)


@pytest.mark.parametrize("family", FAMILIES)
def test_answers_stop_in_use_where_training_ends_them(family: str) -> None:
    renderer, tokenizer = FAMILIES[family].renderer(), FAMILIES[family].tokenizer()
    rendered = renderer.render(ONE)
    last = max(place for place, trained in enumerate(rendered.loss_mask) if trained)
    assert rendered.input_ids[last] == renderer.end_of_turn_ids[0]
    assert tokenizer.convert_ids_to_tokens(renderer.end_of_turn_ids[0]) in (
        *FAMILIES[family].stops,
        tokenizer.eos_token,
    )


@pytest.mark.parametrize("family", [name for name in FAMILIES if name != "qwen3"])
@settings(max_examples=15, deadline=None)
@given(texts=st.lists(st.text("ab <|>/s\n[INST]＜", min_size=1, max_size=12), min_size=4, max_size=4))
def test_whatever_is_said_the_beginning_is_rendered_as_the_beginning(family: str, texts: list[str]) -> None:
    renderer = RENDERERS[family]
    roles: list[Role] = ["user", "assistant"] * 2
    messages = [Message(role, text) for role, text in zip(roles, texts, strict=True)]
    rendered = renderer.render(messages)
    first = renderer.render(messages[:2])
    end = max(place for place, trained in enumerate(first.loss_mask) if trained) + 1
    assert rendered.input_ids[:end] == first.input_ids[:end]
    assert rendered.loss_mask[:end] == first.loss_mask[:end]
    trained = [index for index, is_trained in zip(rendered.input_ids, rendered.loss_mask, strict=True) if is_trained]
    assert sum(index in renderer.end_of_turn_ids for index in trained) == rendered.num_end_of_turn == 2


RENDERERS = {name: family.renderer() for name, family in FAMILIES.items()}


# -- reasoning -------------------------------------------------------------------------------------------------------


def test_reasoning_behind_the_last_question_is_trained() -> None:
    thinking = [ONE[0], Message("assistant", "<think>Short is best.</think>Yo")]
    renderer = QWEN3.renderer()
    assert marked(renderer, thinking) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n«<think>\nShort is best.\n</think>\n\nYo<|im_end|>»\n"
    )
    assert renderer.render(thinking).input_ids == own_ids(QWEN3.tokenizer(), thinking, generation_prompt=False)


def test_a_template_that_leaves_out_earlier_reasoning_is_refused_on_several_turns() -> None:
    with pytest.raises(ModelError, match="rewrites message 2 once the conversation goes on"):
        QWEN3.renderer().render(TWO)
    thinking = [ONE[0], Message("assistant", "<think>\nHm.\n</think>\n\nYo"), *TWO[2:]]
    with pytest.raises(ModelError, match="changes the content"):
        QWEN3.renderer().render(thinking)


def test_a_prompt_that_begins_the_reasoning_is_refused_where_answers_have_none() -> None:
    # As DeepSeek-R1 does: its prompt opens <think>, its finished conversations leave all reasoning out.
    opening = planted(
        DEEPSEEK,
        "{% if add_generation_prompt %}<｜Assistant｜>",
        "{% if add_generation_prompt %}<｜Assistant｜><think>{{ '\n' }}",
    )
    with pytest.raises(ModelError, match="otherwise in a finished conversation"):
        opening.renderer().render(ONE)


# -- planted faults --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "family",
    [
        planted(CHATML, "{{ m.content }}<|im_end|>\n{% else %}", "{{ m.content }}\n{% else %}"),
        planted(LLAMA3, "{{ m.content | trim }}<|eot_id|>{% else %}", "{{ m.content | trim }}\n{% else %}"),
        planted(GEMMA, "model\n{{ m.content | trim }}<end_of_turn>\n", "model\n{{ m.content | trim }}\n"),
        planted(MISTRAL, "| trim + eos_token", "| trim"),
        planted(DEEPSEEK, "{{ m.content }}<｜end▁of▁sentence｜>", "{{ m.content }}"),
        planted(ZEPHYR, "<|assistant|>\n{{ m.content + eos_token }}", "<|assistant|>\n{{ m.content }}"),
        replace(GLM, stops=("<|endoftext|>",)),
    ],
    ids=["chatml", "llama-3", "gemma", "mistral", "deepseek", "zephyr", "glm that does not stop"],
)
def test_a_missing_end_of_turn_is_refused(family: Family) -> None:
    with pytest.raises(ModelError, match="nothing ends a turn"):
        family.renderer()


@pytest.mark.parametrize(
    ("family", "words"),
    [
        # Old answers are cut, left out, or numbered by how many there are.
        (planted(CHATML, "assistant\n{{ m.content }}", "assistant\n{{ m.content if loop.last else m.content | replace('Yo', 'Y') }}"), "changes the content"),
        (planted(LLAMA3, "{% for m in messages %}", "{% for m in messages[-3:] %}"), "leaves out a message"),
        (planted(GEMMA, "model\n{{", "model {{ messages | length }}\n{{"), "otherwise in a finished conversation"),
        (planted(PHI, "<|assistant|>\n{{ m.content }}<|end|>", "<|assistant|>\n{{ m.content }}{% if not loop.last %} {% endif %}<|end|>"), "rewrites message 2"),
    ],
    ids=["cuts", "leaves out", "counts", "spaces"],
)  # fmt: skip
def test_a_template_that_rewrites_history_is_refused(family: Family, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        family.renderer().render(TWO)


def test_an_end_of_turn_at_which_answers_do_not_stop_is_refused() -> None:
    # The last answer ends as it should, all others with a token that nobody stops at.
    family = planted(
        replace(CHATML, tokens=(*CHATML.tokens, "<|sep|>")),
        "assistant\n{{ m.content }}<|im_end|>",
        "assistant\n{{ m.content }}{{ '<|im_end|>' if loop.last else '<|sep|>' }}",
    )
    assert "«Yo<|im_end|>»" in marked(family.renderer(), ONE)
    with pytest.raises(ModelError, match=r"ends message 2 with '<\|sep\|>', at which answers do not stop"):
        family.renderer().render(TWO)


def test_a_template_that_writes_the_date_is_known() -> None:
    dated = planted(
        LLAMA3,
        "{{ bos_token }}",
        "{{ bos_token }}{% if strftime_now is defined %}{{ strftime_now('%d %b') }}{% endif %}",
    )
    assert dated.renderer().depends_on_time()
    assert not any(family.renderer().depends_on_time() for family in FAMILIES.values())


def test_families_without_a_system_role_say_so() -> None:
    for family in (GEMMA, MISTRAL):
        with pytest.raises(InputError, match="no system messages here"):
            family.renderer().render(WITH_SYSTEM)
