"""Ten families of chat templates, written anew around the families' public special tokens, over one small byte-level tokenizer.

What they share with the originals is what decides which tokens are trained: where turns begin and end, what stands between the
prompt and the answer, which tokens strip white space, and what is done to earlier turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken
from transformers import PreTrainedTokenizerFast

from heedful.models.scratch import byte_tokenizer
from heedful.records import Message
from heedful.render import Renderer


@dataclass(frozen=True)
class Family:
    """A template, its tokens, and where answers end according to the model's own configuration."""

    template: str
    tokens: tuple[str, ...]
    eos: str
    bos: str | None = None
    stops: tuple[str, ...] = ()
    """What a model of the family lists as ends in its generation configuration."""
    swallowing: tuple[str, ...] = ()
    """Tokens that swallow the white space behind them."""
    plain_tokens: tuple[str, ...] = ()
    """Tokens that are in the vocabulary as wholes, but are text like any other (`<think>`)."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Bytes, a few merges, and the family's tokens."""
        fast = byte_tokenizer(chat_template=self.template)
        special = [
            AddedToken(token, special=True, normalized=False, rstrip=token in self.swallowing)
            for token in self.tokens
            if token not in ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
        ]
        fast.add_tokens(special, special_tokens=True)
        fast.add_tokens([AddedToken(token, special=False, normalized=False) for token in self.plain_tokens])
        fast.eos_token, fast.bos_token = self.eos, self.bos
        return fast

    def renderer(self) -> Renderer:
        """As `renderer_for` makes it for a model of the family."""
        tokenizer = self.tokenizer()
        return Renderer(tokenizer, stop_ids=tokenizer.convert_tokens_to_ids(list(self.stops)))


def own_ids(tokenizer: Any, messages: list[Message], *, generation_prompt: bool) -> list[int]:
    """What transformers makes of the messages with the tokenizer's own template."""
    rows = [{"role": m.role, "content": m.content} for m in messages]
    return list(tokenizer.apply_chat_template(rows, add_generation_prompt=generation_prompt, return_dict=False))


def _turns(user: str, answer: str, system: str, *, before: str = "", ask: str, after: str = "") -> str:
    """A template of one piece for each role; `ask` begins an answer, `after` ends a text without a prompt."""
    return (
        f"{before}{{% for m in messages %}}"
        f"{{% if m.role == 'user' %}}{user}{{% elif m.role == 'assistant' %}}{answer}{{% else %}}{system}{{% endif %}}"
        f"{{% endfor %}}{{% if add_generation_prompt %}}{ask}{{% else %}}{after}{{% endif %}}"
    )


NO_SYSTEM = "{{ raise_exception('no system messages here') }}"

CHATML = Family(
    _turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>assistant\n{{ m.content }}<|im_end|>\n",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
        ask="<|im_start|>assistant\n",
    ),
    ("<|im_start|>", "<|im_end|>"),
    eos="<|im_end|>",
)
LLAMA3 = Family(
    _turns(
        *(
            f"<|start_header_id|>{role}<|end_header_id|>\n\n{{{{ m.content | trim }}}}<|eot_id|>"
            for role in ("user", "assistant", "system")
        ),
        before="{{ bos_token }}",
        ask="<|start_header_id|>assistant<|end_header_id|>\n\n",
    ),
    ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>"),
    eos="<|end_of_text|>",
    bos="<|begin_of_text|>",
    stops=("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"),
)
GEMMA = Family(
    _turns(
        "<start_of_turn>user\n{{ m.content | trim }}<end_of_turn>\n",
        "<start_of_turn>model\n{{ m.content | trim }}<end_of_turn>\n",
        NO_SYSTEM,
        before="{{ bos_token }}",
        ask="<start_of_turn>model\n",
    ),
    ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"),
    eos="<eos>",
    bos="<bos>",
    stops=("<eos>", "<end_of_turn>"),
)
MISTRAL = Family(
    _turns(
        "[INST] {{ m.content }}[/INST]",
        "{{ ' ' + m.content | trim + eos_token }}",
        NO_SYSTEM,
        before="{{ bos_token }}",
        ask="",
    ),
    ("<s>", "</s>", "[INST]", "[/INST]"),
    eos="</s>",
    bos="<s>",
    stops=("</s>",),
)
QWEN25 = Family(
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are of help.<|im_end|>\n{% endif %}"
    + CHATML.template,
    ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    eos="<|im_end|>",
    stops=("<|im_end|>", "<|endoftext|>"),
)
# Reasoning is kept behind the last question only, where an answer without any is given an empty one.
QWEN3 = Family(
    "{% set place = namespace(last=0) %}"
    "{% for m in messages %}{% if m.role == 'user' %}{% set place.last = loop.index0 %}{% endif %}{% endfor %}"
    + _turns(
        "<|im_start|>user\n{{ m.content }}<|im_end|>\n",
        "{% set parts = m.content.split('</think>') %}{% set said = parts[-1].lstrip('\n') %}"
        "<|im_start|>assistant\n{% if loop.index0 > place.last %}{{ '<think>\n' }}"
        "{% if parts | length > 1 %}{{ parts[0].split('<think>')[-1].strip('\n') }}{% endif %}{{ '\n</think>\n\n' }}{% endif %}"
        "{{ said }}<|im_end|>\n",
        "<|im_start|>system\n{{ m.content }}<|im_end|>\n",
        ask="<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}",
    ),
    ("<|im_start|>", "<|im_end|>", "<|endoftext|>"),
    eos="<|im_end|>",
    stops=("<|im_end|>", "<|endoftext|>"),
    plain_tokens=("<think>", "</think>"),
)
PHI = Family(
    _turns(
        "<|user|>\n{{ m.content }}<|end|>\n",
        "<|assistant|>\n{{ m.content }}<|end|>\n",
        "<|system|>\n{{ m.content }}<|end|>\n",
        ask="<|assistant|>\n",
        after="{{ eos_token }}",
    ),
    ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>", "<|endoftext|>"),
    eos="<|endoftext|>",
    stops=("<|endoftext|>", "<|end|>", "<|assistant|>"),
    swallowing=("<|user|>", "<|assistant|>", "<|system|>", "<|end|>"),
)
DEEPSEEK = Family(
    _turns(
        "<｜User｜>{{ m.content }}",
        "<｜Assistant｜>{{ m.content }}<｜end▁of▁sentence｜>",
        "{{ m.content }}",
        before="{{ bos_token }}",
        ask="<｜Assistant｜>",
    ),
    ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"),
    eos="<｜end▁of▁sentence｜>",
    bos="<｜begin▁of▁sentence｜>",
    stops=("<｜end▁of▁sentence｜>",),
)
# Nothing but the next speaker's token ends a turn; models stop at it.
GLM = Family(
    _turns(
        "<|user|>\n{{ m.content }}",
        "<|assistant|>\n{{ m.content }}",
        "<|system|>\n{{ m.content }}",
        before="[gMASK]<sop>",
        ask="<|assistant|>\n",
    ),
    ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>", "<|endoftext|>"),
    eos="<|endoftext|>",
    stops=("<|endoftext|>", "<|user|>", "<|observation|>"),
)
# The headings are text like any other; only the end is a token.
ZEPHYR = Family(
    _turns(
        "<|user|>\n{{ m.content + eos_token }}\n",
        "<|assistant|>\n{{ m.content + eos_token }}\n",
        "<|system|>\n{{ m.content + eos_token }}\n",
        ask="<|assistant|>\n",
    ),
    ("<s>", "</s>"),
    eos="</s>",
    bos="<s>",
    stops=("</s>",),
)
ALPACA = Family(
    _turns(
        "### Instruction:\n{{ m.content }}\n\n",
        "### Response:\n{{ m.content + eos_token }}\n\n",
        "{{ m.content }}\n\n",
        before="{{ bos_token }}{% if messages[0].role != 'system' %}An instruction, and a response to it.\n\n{% endif %}",
        ask="### Response:\n",
    ),
    ("<s>", "</s>"),
    eos="</s>",
    bos="<s>",
    stops=("</s>",),
)
FAMILIES = {
    "chatml": CHATML,
    "llama-3": LLAMA3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "qwen2.5": QWEN25,
    "qwen3": QWEN3,
    "phi": PHI,
    "deepseek": DEEPSEEK,
    "glm": GLM,
    "zephyr": ZEPHYR,
    "alpaca": ALPACA,
}
