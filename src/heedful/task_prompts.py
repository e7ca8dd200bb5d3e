"""A task, examples of it and an input -> the prompt that asks for the output, in the language of the task.

The shapes are those of Tk-Instruct (Wang et al., arXiv:2204.07705, section 5): the definition alone, with positive
examples, with negative examples, with explanations; or examples alone. The words are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from heedful.records import TaskExample
from heedful.text import detect_language

_WORDS = {
    "en": {
        "definition": "Task: {}",
        "positive": "Good example {}",
        "negative": "Bad example {}",
        "input": "Input: {}",
        "output": "Output: {}",
        "why_good": "Why it is good: {}",
        "why_bad": "What is wrong with it: {}",
        "now": "Now do the task for this input.",
        "answer": "Output:",
    },
    "zh": {
        "definition": "任务：{}",
        "positive": "正确示例{}",
        "negative": "错误示例{}",
        "input": "输入：{}",
        "output": "输出：{}",
        "why_good": "理由：{}",
        "why_bad": "错在哪里：{}",
        "now": "现在请完成下面这一条。",
        "answer": "输出：",
    },
}


def task_prompt(
    definition: str,
    instance: str,
    positive: Sequence[TaskExample] = (),
    negative: Sequence[TaskExample] = (),
    *,
    explanations: bool = False,
) -> str:
    """The prompt for the input `instance`; without a definition, examples alone say what the task is."""
    words = _words(definition or instance)
    blocks = [words["definition"].format(definition)] if definition else []
    for kind, why, examples in (("positive", "why_good", positive), ("negative", "why_bad", negative)):
        for number, example in enumerate(examples, start=1):
            lines = [
                words[kind].format(number),
                words["input"].format(example.input),
                words["output"].format(example.output),
            ]
            if explanations and example.reason:
                lines.append(words[why].format(example.reason))
            blocks.append("\n".join(lines))
    head = [words["now"]] if positive or negative else []
    blocks.append("\n".join([*head, words["input"].format(instance), words["answer"]]))
    return "\n\n".join(blocks)


@lru_cache(maxsize=1024)
def _words(text: str) -> dict[str, str]:
    return _WORDS["zh" if detect_language(text) == "zh" else "en"]
