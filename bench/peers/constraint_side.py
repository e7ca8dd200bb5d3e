"""Other libraries' side of bench/constraints.py, run by a Python that has them: jobs in JSON on stdin, answers on stdout, one a line.

    constraint_side.py TOKENIZER.JSON END_ID

A job: {"engine": "xgrammar" or "outlines-core", "kind": "json" or "regex", "what": ..., "tokens": [...]} ->
{"compile": seconds, "steps": [seconds, ...]} with one mask of the whole vocabulary before each token, or {"error": ...}. What is compiled
is kept for the next job.
"""

from __future__ import annotations

import json
import sys
import time
from importlib.metadata import version
from typing import Any

import outlines_core
import torch
import xgrammar
from outlines_core.json_schema import build_regex_from_schema


class Xgrammar:
    def __init__(self, pieces: list[str], end: int) -> None:
        info = xgrammar.TokenizerInfo(
            pieces, vocab_type=xgrammar.VocabType.BYTE_LEVEL, vocab_size=len(pieces), stop_token_ids=[end]
        )
        self._compiler = xgrammar.GrammarCompiler(info, max_threads=1)
        self._mask = xgrammar.allocate_token_bitmask(1, len(pieces))

    def compiled(self, kind: str, what: Any) -> Any:
        return (
            self._compiler.compile_json_schema(json.dumps(what))
            if kind == "json"
            else self._compiler.compile_regex(what)
        )

    def steps(self, compiled: Any, tokens: list[int]) -> list[float]:
        matcher, seconds = xgrammar.GrammarMatcher(compiled), []
        for token in tokens:
            started = time.perf_counter()
            matcher.fill_next_token_bitmask(self._mask)
            seconds.append(time.perf_counter() - started)
            if not matcher.accept_token(token):
                raise ValueError("it refuses the answer")
        return seconds


class Outlines:
    def __init__(self, pieces: list[str], end: int) -> None:
        table = characters()
        known: dict[bytes, list[int]] = {}
        for token, piece in enumerate(pieces):
            if token != end and all(character in table for character in piece):
                known.setdefault(bytes(table[character] for character in piece), []).append(token)
        self._vocabulary = outlines_core.Vocabulary(end, known)
        self._mask = torch.zeros((len(pieces) + 31) // 32, dtype=torch.int32)

    def compiled(self, kind: str, what: Any) -> Any:
        pattern = build_regex_from_schema(json.dumps(what)) if kind == "json" else what
        return outlines_core.Index(pattern, self._vocabulary)

    def steps(self, compiled: Any, tokens: list[int]) -> list[float]:
        guide, seconds = outlines_core.Guide(compiled), []
        for token in tokens:
            started = time.perf_counter()
            guide.write_mask_into(self._mask.data_ptr(), self._mask.numel(), self._mask.element_size())
            seconds.append(time.perf_counter() - started)
            guide.advance(token, return_tokens=False)
        return seconds


def main() -> None:
    path, end = sys.argv[1], int(sys.argv[2])
    torch.set_num_threads(1)
    with open(path, encoding="utf-8") as file:
        content = json.load(file)
    vocabulary = content["model"]["vocab"] | {token["content"]: token["id"] for token in content["added_tokens"]}
    pieces = sorted(vocabulary, key=vocabulary.__getitem__)
    # Libraries print as they like; answers go where nobody else writes.
    answers, sys.stdout = sys.stdout, sys.stderr
    engines = {"xgrammar": Xgrammar(pieces, end), "outlines-core": Outlines(pieces, end)}
    known: dict[str, Any] = {}
    print(json.dumps({name: version(name) for name in engines}), file=answers, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        engine, key = engines[job["engine"]], line.partition('"tokens"')[0]
        try:
            started = time.perf_counter()
            if key not in known:
                known[key] = engine.compiled(job["kind"], job["what"])
            compile_seconds = time.perf_counter() - started
            answer = {"compile": compile_seconds, "steps": engine.steps(known[key], job["tokens"])}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error)[:160]}"}
        print(json.dumps(answer), file=answers, flush=True)


def characters() -> dict[str, int]:
    """The characters by which byte-level tokenizers write bytes."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


if __name__ == "__main__":
    main()
