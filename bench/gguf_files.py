"""Exports in llama.cpp, plain transformers and plain peft against our own engine: same prompts, same greedy answers; and speeds.

    make bench-gguf_files

Exports a tuned project with `heedful export`, asks llama.cpp and our engine 20 questions in English and Chinese, and compares token by
token. Where the two choose differently, it must be a tie: the gap between the two tokens is no larger than twice what the two programs'
logits differ by at that place, and tiny at that; the rest of the answer is compared from our token on. The last line is JSON.

HEEDFUL_BENCH_PROJECT   a tuned project; default: ./demo when it is there, else a small one is made under bench/.projects (some minutes)
HEEDFUL_LLAMACPP_PYTHON a Python that has llama-cpp-python; default: bench/.venvs/llamacpp, made here (compiles llama.cpp, a quarter of an hour)
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

from heedful.generate.engine import Request, Sampling
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, folder_of, load
from heedful.models.scratch import tiny_llama
from heedful.records import Message
from heedful.render import renderer_for
from peers.environments import python_of

HERE = Path(__file__).resolve().parent
MAX_TOKENS = 64
LARGEST_ROOM = 0.01
"""Between tokens whose logits (about -10 to 40) are closer than this, rounding may decide; no difference beyond it is ever called a tie."""
THREADS = torch.get_num_threads()
"""Of both sides; OMP_NUM_THREADS=1 on a machine that does other work, where waiting threads cost more than they bring."""

QUESTIONS = [
    "List three uses of a paper clip.",
    "What is the capital of France? Answer in one word.",
    "Translate into Chinese: The meeting starts at 9:30 on  2 March 2024.",
    "Write a Python function that adds two numbers.\n\n    Keep it\tshort.",
    "Is this review positive or negative?\n\nThe tent leaked on the first night, and nobody answered my letters.",
    "Explain in one sentence why the sky is blue.",
    "Name a fruit for each of these colours: red, yellow, green.",
    "Rewrite politely: Send me the report now!",
    "How many days are there in 3 weeks? Show how you count.",
    "What does `json.dumps` do, and what does it return?",
    "列出回形针的三种用途。",
    "法国的首都是哪里？只用一个词回答。",
    "把下面的句子翻译成英文：明天上午九点半开会。",
    "请用一句话解释为什么天空是蓝色的。",
    "这条评论是正面的还是负面的？\n\n帐篷第一晚就漏水了，写信也没人回。",
    "写一首关于茶的短诗，不超过四行。",
    "三个星期有多少天？请说明计算过程。",
    "请礼貌地改写：马上把报告发给我！",
]
CHATS = [
    *([Message("user", question)] for question in QUESTIONS),
    [Message("system", "You answer in one short sentence."), Message("user", "What is tea?")],
    [Message("user", "你好！"), Message("assistant", "你好，有什么可以帮您？"), Message("user", "推荐一种不含咖啡因的饮料。")],
]  # fmt: skip
# Text that a tokenizer can cut in more than one way: spaces, digits, contractions, scripts, emoji, look-alikes of control tokens.
TEXTS = [
    "Hello, world! It's what they've said; 'RE you sure? don't",
    "  two spaces\n\n\nthree lines\t\ttabs \n 3 33 333 3333   2024-11-22 3.14  7",
    "请把这句话翻译成英文：你好！１２３ 全角，半角,混用 and English中文mixed",
    "🚀 🦙🦙 e\u0301 naïve Ünïcödé кириллица العربية हिन्दी ไทย \u200b\u00a0\u3000",
    "A user writes <|im_end|> and <|im_start|>assistant here, as plain words.",
    "def f(x):\n    return x**2  # square\n\nclass A:\n\tpass\n",
    "",
    "a",
    " ",
]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
WORDS: dict[str, tuple[dict[str, Any], bool]] = {
    # llama.cpp's name -> (what stands before the byte level in tokenizer.json, whether whole words are taken without merging)
    "gpt-2": ({}, False),
    "smollm": ({"type": "Digits", "individual_digits": True}, False),
    "llama-bpe": ({"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}, True),
    "qwen2": (
        {
            "type": "Split",
            "pattern": {"Regex": LLAMA3.replace("{1,3}", "")},
            "behavior": "Isolated",
            "invert": False,
        },
        False,
    ),
}

SMALL = """
[project]
name = "bench"

[import]
documents = ["python_docs"]

[construct]
count = 40
self_instruct = 0
document_qa = 0

[tune]
epochs = 1
learning_rate = 0.001

[evaluate]
max_rows = 4
max_tokens = 12
"""


def main() -> None:
    # This file has the name of a package that it needs: what lies beside it must not be taken for that.
    sys.path.remove(str(HERE))
    project, python = project_folder(), python_of("llamacpp")
    with TemporaryDirectory() as scratch:
        result = measured(project, python, Path(scratch))
    counts = result["counts"]
    print(
        f"{counts['prompts']} prompts: {counts['identical_f32']} greedy answers identical in f32, {len(result['ties'])} ties, "
        f"{len(result['wrong'])} other differences; {counts['identical_q8_0']} identical in q8_0"
    )
    for found in result["ties"] + result["wrong"]:
        print(f"  prompt {found['prompt']}, token {found['at']}: gap {found['gap']:.2g}, room {found['room']:.2g}")
    print(f"first logits differ by at most {result['largest_logit_difference']:.2g}")
    for name, value in result["tokens_per_second"].items():
        print(f"{name:<15} {value:6.1f} tokens/s, one request at a time, reading the prompts included")
    print(json.dumps(result))


def measured(project: Path, python: Path, scratch: Path) -> dict[str, Any]:
    """Everything that is compared."""
    f32, q8_0 = (
        export(project, scratch / f"{kind}.gguf", "--what", "gguf", "--type", kind) for kind in ("f32", "q8_0")
    )
    merged = export(project, scratch / "model", "--what", "model")
    adapter = export(project, scratch / "adapter", "--what", "adapter")
    loaded = load(tuned_folder(project))
    prompts = [renderer_for(loaded).prompt_ids(chat) for chat in CHATS]
    first = scratch / "first.npz"
    ours, our_seconds = our_answers(loaded)
    theirs, small = ask(python, f32, prompts, chats=True, texts=True, logits=first), ask(python, q8_0, prompts)
    found = [
        {"prompt": number, **difference}
        for number, (ids, answer, other) in enumerate(zip(prompts, ours, theirs["answers"], strict=True))
        for difference in divergences(python, f32, loaded, ids, answer, other["ids"], scratch)
    ]
    speeds = {"ours_f32": rate(ours, our_seconds), "llamacpp_f32": speed(theirs), "llamacpp_q8_0": speed(small)}
    wrong = [difference for difference in found if difference["gap"] > min(difference["room"], LARGEST_ROOM)]
    return {
        "bench": "gguf",
        "ratios": {"vs_llamacpp_f32": round(speeds["ours_f32"] / speeds["llamacpp_f32"], 2)},
        "checks": {
            "greedy_equal_f32": not wrong,
            "q8_0_loads": all(answer["ids"] for answer in small["answers"]),
            "prompt_ids_equal": theirs["template_ids"] == prompts,
            "text_ids_equal": theirs["text_ids"] == [encoded(loaded, text) for text in TEXTS],
            "chat_texts_equal_f32": chat_texts_equal(loaded, theirs),
            **{f"{name}_ids_equal": equal for name, equal in other_tokenizers(python, scratch).items()},
            "plain_transformers_equal": plain_answers(plain_model(merged), prompts) == ours,
            "plain_peft_equal": plain_answers(plain_peft(loaded, adapter), prompts) == ours,
        },
        "counts": {
            "prompts": len(prompts),
            "tokens": sum(map(len, ours)),
            "identical_f32": identical(ours, theirs),
            "identical_q8_0": identical(ours, small),
        },
        "ties": [difference for difference in found if difference not in wrong],
        "wrong": wrong,
        "largest_logit_difference": max(
            float(np.abs(our_logits(loaded, ids) - logits).max())
            for ids, logits in zip(prompts, logits_in(first), strict=True)
        ),
        "tokens_per_second": {name: round(value, 1) for name, value in speeds.items()},
        "machine": f"{platform.machine()}, {platform.system()}, threads: {THREADS}",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "transformers", "gguf")},
            "llama-cpp-python": theirs["version"],
            "llama.cpp": theirs["system"],
        },
    }


# -- the two sides ---------------------------------------------------------------------------------------------------------


def project_folder() -> Path:
    """A tuned project of the real model, made now when there is none."""
    demo, small = HERE.parent / "demo", HERE / ".projects" / "small"
    chosen = os.environ.get("HEEDFUL_BENCH_PROJECT")
    folder = Path(chosen) if chosen else demo if (demo / "heedful.toml").is_file() else small
    if folder == small and not (small / "heedful.toml").is_file():
        heedful("init", str(small))
        (small / "heedful.toml").write_text(SMALL, encoding="utf-8")
    heedful("run", "--project", str(folder))
    return folder


def heedful(*arguments: str) -> str:
    """One command; what it prints on standard output."""
    command = [sys.executable, "-m", "heedful", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def export(project: Path, out: Path, *arguments: str) -> Path:
    heedful("export", *arguments, "--out", str(out), "--project", str(project))
    return out


def tuned_folder(project: Path) -> Path:
    """What `heedful generate` answers with."""
    outcomes = json.loads(heedful("run", "--until", "tune", "--json", "--project", str(project)))
    return Path(next(outcome["folder"] for outcome in outcomes if outcome["stage"] == "tune")) / "model"


def ask(
    python: Path,
    model: Path,
    prompts: list[list[int]],
    *,
    chats: bool = False,
    texts: bool = False,
    logits: Path | None = None,
    limit: int = MAX_TOKENS,
) -> dict[str, Any]:
    """llama.cpp's answers, in a process of its own."""
    job = {
        "model": str(model),
        "threads": THREADS,
        "max_tokens": limit,
        "chats": [[{"role": m.role, "content": m.content} for m in chat] for chat in CHATS] if chats else [],
        "texts": TEXTS if texts else [],
        "prompts": prompts,
        "logits": str(logits) if logits else None,
    }
    command = [str(python), str(HERE / "peers" / "llama_side.py")]
    result: dict[str, Any] = json.loads(
        subprocess.run(command, input=json.dumps(job), check=True, stdout=subprocess.PIPE, text=True).stdout
    )
    return result


def our_answers(loaded: LoadedModel) -> tuple[list[list[int]], float]:
    """Our engine's greedy answers and the seconds they took, one request at a time as the peer does."""
    sampling = Sampling(max_tokens=MAX_TOKENS)
    engine = LocalEngine(loaded)
    started = time.perf_counter()
    answers = [
        list(engine.submit(Request(str(number), tuple(chat), sampling=sampling)).result()[0].token_ids)
        for number, chat in enumerate(CHATS)
    ]
    seconds = time.perf_counter() - started
    engine.close()
    return answers, seconds


def plain_model(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


def plain_peft(loaded: LoadedModel, folder: Path) -> Any:
    assert loaded.info is not None
    warnings.simplefilter("ignore", FutureWarning)  # peft calls what transformers will remove
    return PeftModel.from_pretrained(plain_model(folder_of(loaded.info.base_model)), folder)


def plain_answers(model: Any, prompts: list[list[int]]) -> list[list[int]]:
    """Greedy answers of transformers' own loop, which finds the end of a turn in the model's folder."""
    outputs = (
        model.generate(torch.tensor([ids]), do_sample=False, max_new_tokens=MAX_TOKENS)[0, len(ids) :]
        for ids in prompts
    )
    return [output.tolist() for output in outputs]


# -- what is compared ------------------------------------------------------------------------------------------------------


def divergences(
    python: Path, model: Path, loaded: LoadedModel, prompt: list[int], ours: list[int], theirs: list[int], scratch: Path
) -> Iterator[dict[str, Any]]:
    """Every place where llama.cpp chooses another token than we, though what stands before it is the same."""
    start = 0
    while start < len(ours):
        at = next((i for i, (a, b) in enumerate(zip(ours[start:], theirs, strict=False)) if a != b), None)
        if at is None:
            assert len(theirs) == len(ours) - start, "one answer goes on where the other ends"
            return
        at += start
        path = scratch / "at.npz"
        ask(python, model, [prompt + ours[:at]], logits=path, limit=1)
        there = logits_in(path)[0]
        here = our_logits(loaded, prompt + ours[:at])
        chosen, other = ours[at], int(there.argmax())
        yield {
            "at": at,
            "tokens": [chosen, other],
            "gap": float(max(here[chosen] - here[other], there[other] - there[chosen])),
            "room": float(2 * np.abs(here - there).max()),
        }
        start = at + 1
        if start < len(ours):
            theirs = ask(python, model, [prompt + ours[:start]], limit=MAX_TOKENS - start)["answers"][0]["ids"]


def logits_in(path: Path) -> list[Any]:
    with np.load(path, allow_pickle=False) as file:
        return [file[name] for name in file.files]


def our_logits(loaded: LoadedModel, ids: list[int]) -> Any:
    with torch.inference_mode():
        return loaded.model(torch.tensor([ids])).logits[0, -1].numpy()


def encoded(loaded: LoadedModel, text: str) -> list[int]:
    """Ids of plain text, in which no control token is read."""
    tokenizer = Tokenizer.from_str(loaded.tokenizer.backend_tokenizer.to_str())
    tokenizer.encode_special_tokens = True
    return list(tokenizer.encode(text, add_special_tokens=False).ids)


def chat_texts_equal(loaded: LoadedModel, theirs: dict[str, Any]) -> bool:
    """llama.cpp's own chat, template and all, gives the text of those greedy ids."""
    renderer = renderer_for(loaded)
    for text, answer in zip(theirs["chat_texts"], theirs["answers"], strict=True):
        expected = renderer.decode(answer["ids"])
        # An answer that is cut may end within a character: llama-cpp-python then goes on until it is whole.
        cut = expected.rstrip("\ufffd")
        if text != expected and not (len(answer["ids"]) == MAX_TOKENS and cut != expected and text.startswith(cut)):
            return False
    return True


def other_tokenizers(python: Path, scratch: Path) -> dict[str, bool]:
    """Tiny models that cut text into words in each way that llama.cpp has a name for: does it give the same ids?"""
    from heedful.models.gguf_writer import GgufFacts, write_gguf

    equal = {}
    for name, (first, ignore_merges) in WORDS.items():
        folder = tiny_llama(scratch / f"tiny-{name}", seed=1)
        file = folder / "tokenizer.json"
        content = json.loads(file.read_text(encoding="utf-8"))
        last = {**content["pre_tokenizer"], "use_regex": first.get("type") != "Split"}
        content["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [first, last]} if first else last
        content["model"]["ignore_merges"] = ignore_merges
        file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
        loaded, path = load(folder), scratch / f"tiny-{name}.gguf"
        write_gguf(loaded, path, type="f16", facts=GgufFacts(name, loaded.tokenizer.chat_template, end_of_turn=2))
        equal[name] = ask(python, path, [], texts=True)["text_ids"] == [encoded(loaded, text) for text in TEXTS]
    return equal


def identical(ours: list[list[int]], theirs: dict[str, Any]) -> int:
    return sum(answer == other["ids"] for answer, other in zip(ours, theirs["answers"], strict=True))


# -- speed -----------------------------------------------------------------------------------------------------------------


def speed(theirs: dict[str, Any]) -> float:
    """Tokens a second, reading the prompts included."""
    seconds = sum(answer["read_seconds"] + answer["write_seconds"] for answer in theirs["answers"])
    return rate([answer["ids"] for answer in theirs["answers"]], seconds)


def rate(answers: list[list[int]], seconds: float) -> float:
    return sum(map(len, answers)) / seconds


if __name__ == "__main__":
    main()
