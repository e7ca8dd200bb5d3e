"""llama.cpp's side of bench/gguf_files.py, run by the Python that has llama-cpp-python: a job in JSON on stdin, answers on stdout.

The job: {"model": path, "threads": n, "max_tokens": n, "chats": [[{"role", "content"}]], "texts": [...], "prompts": [[ids]],
"logits": path or null}. Everything greedy, one request at a time, keys and values kept in 32 bits.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

import llama_cpp
import numpy as np
from llama_cpp.llama_chat_format import Jinja2ChatFormatter


def main() -> None:
    job = json.load(sys.stdin)
    model = llama_cpp.Llama(
        job["model"],
        n_ctx=2048,
        n_threads=job["threads"],
        n_threads_batch=job["threads"],
        type_k=llama_cpp.GGML_TYPE_F32,
        type_v=llama_cpp.GGML_TYPE_F32,
        verbose=False,
    )
    answers = [answered(model, ids, job["max_tokens"]) for ids in job["prompts"]]
    if job["logits"]:
        np.savez(job["logits"], *(answer.pop("logits") for answer in answers))
    for answer in answers:
        answer.pop("logits", None)
    result = {
        "version": llama_cpp.__version__,
        "system": llama_cpp.llama_print_system_info().decode(),
        "template_ids": [templated(model, chat) for chat in job["chats"]],
        "text_ids": [model.tokenize(text.encode(), add_bos=False, special=False) for text in job["texts"]],
        "chat_texts": [chatted(model, chat, job["max_tokens"]) for chat in job["chats"]],
        "answers": answers,
    }
    print(json.dumps(result))


def templated(model: Any, chat: list[dict[str, str]]) -> list[int]:
    """The ids of a prompt as llama-cpp-python makes them from the file's own template and tokenizer."""
    words = {name: model._model.token_get_text(getattr(model, f"token_{name}")()) for name in ("eos", "bos")}
    formatter = Jinja2ChatFormatter(
        model.metadata["tokenizer.chat_template"], eos_token=words["eos"], bos_token=words["bos"]
    )
    said = formatter(messages=chat)
    return list(model.tokenize(said.prompt.encode(), add_bos=not said.added_special, special=True))


def chatted(model: Any, chat: list[dict[str, str]], max_tokens: int) -> str:
    """The answer as its users get it."""
    result = model.create_chat_completion(chat, temperature=0.0, max_tokens=max_tokens, repeat_penalty=1.0)
    return str(result["choices"][0]["message"]["content"])


def answered(model: Any, ids: list[int], max_tokens: int) -> dict[str, Any]:
    """Greedy ids up to and with the end of the turn; the first token's logits; seconds for reading and for writing."""
    vocabulary = model._model.vocab
    started = time.perf_counter()
    model.reset()
    model.eval(ids)
    first = logits = last_logits(model)
    read = time.perf_counter()
    written: list[int] = []
    while len(written) < max_tokens:
        written.append(int(np.argmax(logits)))
        if llama_cpp.llama_vocab_is_eog(vocabulary, written[-1]) or len(written) == max_tokens:
            break
        model.eval(written[-1:])
        logits = last_logits(model)
    return {
        "ids": written,
        "logits": first,
        "read_seconds": read - started,
        "write_seconds": time.perf_counter() - read,
    }


def last_logits(model: Any) -> Any:
    pointer = llama_cpp.llama_get_logits_ith(model._ctx.ctx, -1)
    return np.ctypeslib.as_array(pointer, shape=(model.n_vocab(),)).copy()


if __name__ == "__main__":
    main()
