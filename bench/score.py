"""Four-way multiple choice by log-likelihood on two cores: our engine against lm-eval's transformers backend, and equal to it.

    make bench-score

2,000 items, SmolLM2-135M-Instruct: a context and four options; the option that the model finds likeliest is its answer. Both sides get
the same strings and give 8,000 log-likelihoods; what they make of the strings is compared id by id. lm-eval (in a process and an
environment of its own, called as its tasks call it) sorts by length and runs in its best batch size and number format on this machine,
chosen by short trials that are printed. Times run from strings to log-likelihoods, loading left out; rounds are data sets, the sides by
turns. `vs_lm_eval` is ours in the same number format as the peer's fastest; beside it int8 with what it changes. Every fifth item is
scored by both in 32 bits, too, where ours must equal transformers. The last line is JSON.

About half of the items come with options of their own: four (MMLU's anatomy and astronomy, AG News), or more, of which the right one and
three others are scored (TruthfulQA, CommonsenseQA, QASC). The others are real questions with their own answer and three other rows'.

HEEDFUL_SHARED_DATA    the folder with the development data; default ../shared/data
HEEDFUL_LMEVAL_PYTHON  a Python that has lm-eval; default: bench/.venvs/lm-eval, made here
HEEDFUL_BENCH_ITEMS    fewer items for a quick look; claims need all 2,000
"""

from __future__ import annotations

import copy
import csv
import json
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import version
from itertools import islice
from typing import Any

import torch

from common import DATA, alpaca_prompt, alpaca_rows, gemm_peak, lines, machine, say, shared
from heedful.generate.engine import ScoreRequest
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel, folder_of, load
from peers.environments import python_of
from peers.jobs import Ask, peer

MODEL = "smollm2-135m-instruct-q4_1"
NUM_ITEMS = int(os.environ.get("HEEDFUL_BENCH_ITEMS", "2000"))
BATCH_SIZES = (1, 8, 16, 32, 64)
NUM_TRIED, NUM_FORMAT_TRIED = max(2, min(32, NUM_ITEMS // 20)), 4
"""Items on which lm-eval's batch size and number format are chosen."""
EVERY = 5
"""Every so many items are scored in 32 bits, too."""
NUM_REFERENCE = min(50, NUM_ITEMS)
"""Items that plain transformers scores one option at a time."""
EXACT, TIE = 1e-4, 1e-3
"""Scores are equal when they differ by no more than EXACT; answers may differ where the options' scores do by TIE or less."""

Pair = tuple[str, str]
"""A context and a continuation."""


@dataclass(frozen=True)
class Item:
    """A question; `options[right]` answers it."""

    source: str
    context: str
    options: tuple[str, ...]
    right: int

    @property
    def pairs(self) -> list[Pair]:
        """As lm-eval's tasks write them: the space belongs to the continuation."""
        return [(self.context, " " + option) for option in self.options]


@dataclass(frozen=True)
class Run:
    """What one side made of some items."""

    logprobs: list[float]
    seconds: float


Side = Callable[[Sequence[Pair]], Run]


Found = dict[str, dict[str, Run]]
"""Side -> data set -> what it made of it."""


def main() -> None:
    rounds = chosen(NUM_ITEMS)
    few = {source: part[::EVERY] for source, part in rounds.items()}
    pairs = [pair for item in joined(rounds) for pair in item.pairs]
    loaded = load(MODEL)
    ids = encoded(loaded, pairs)
    say(f"{len(pairs) // 4:,} items, {len(pairs):,} options, {sum(len(one) + len(two) for one, two in ids):,} tokens in all "
        f"without sharing, {sum(len(two) for _, two in ids):,} of them scored")  # fmt: skip
    threads = torch.get_num_threads()
    lm_eval = peer("lm-eval", python_of("lm-eval"), "lm_eval_side.py", folder_of(MODEL), threads)
    with lm_eval as (ask, versions), ExitStack() as engines:
        ids_equal = ask({"do": "encode", "pairs": pairs})["ids"] == [list(map(list, both)) for both in ids]
        fastest, sides = best_of_peer(ask, spread(rounds))
        opened = {
            precision: engines.enter_context(LocalEngine(loaded, precision=precision))
            for precision in dict.fromkeys((fastest, "float32", "int8"))
        }
        for precision, engine in opened.items():
            sides[f"ours {precision}"] = partial(ours, engine, loaded)
            sides[f"ours {precision}"]([("Warm", " up")])
        work = Work(opened[fastest], loaded)
        names = (f"ours {fastest}", "ours int8", f"lm-eval {fastest}")
        found = interleaved(rounds, {name: sides[name] for name in names})
        say(f"ours reads {work.num_read:,} tokens and computes {work.num_scored:,} rows of logits")
        share = work.operations / seconds_of(found[names[0]]) / gemm_peak(getattr(torch, fastest), 1024)
        say(f"every {EVERY}th item, in 32 bits")
        exact = interleaved(few, {name: sides[name] for name in ("ours float32", "lm-eval float32")})
    checks = {"ids_equal": ids_equal, **compared(loaded, few, exact)}
    coarse(rounds, found)
    ratios = {
        "vs_lm_eval": ratio(found, names[2], names[0]),
        "vs_lm_eval_int8": ratio(found, names[2], names[1]),
        "vs_lm_eval_float32": ratio(exact, "lm-eval float32", "ours float32"),
        "share_of_gemm_peak": share,
    }
    by_source = {source: found[names[2]][source].seconds / found[names[0]][source].seconds for source in rounds}
    result = {
        "bench": "score",
        "precision": fastest,
        "ratios": {name: round(value, 2) for name, value in ratios.items()},
        "by_source": {name: round(value, 2) for name, value in by_source.items()},
        "checks": checks | {"three_times_faster": ratios["vs_lm_eval"] >= 3},
        "items": len(pairs) // 4,
        "machine": machine(),
        "versions": about() | {"peer": versions},
    }
    print(json.dumps(result))


def joined(rounds: dict[str, list[Item]]) -> list[Item]:
    return [item for part in rounds.values() for item in part]


def logprobs_of(runs: dict[str, Run]) -> list[float]:
    return [one for run in runs.values() for one in run.logprobs]


def seconds_of(runs: dict[str, Run]) -> float:
    return sum(run.seconds for run in runs.values())


def ratio(found: Found, slow: str, fast: str) -> float:
    return seconds_of(found[slow]) / seconds_of(found[fast])


def compared(loaded: LoadedModel, few: dict[str, list[Item]], exact: Found) -> dict[str, bool]:
    """32 bits against transformers and lm-eval."""
    items = joined(few)
    exactly, theirs = (logprobs_of(exact[name]) for name in ("ours float32", "lm-eval float32"))
    checks = {
        **equals_transformers(loaded, spread(few, NUM_REFERENCE), items, exactly, theirs),
        "answers_equal_lm_eval": only_ties(items, exactly, theirs),
    }
    say(f"{len(theirs):,} options in 32 bits, ours and lm-eval's: largest difference {largest(exactly, theirs):.2g}")
    told(few, exact)
    return checks


def coarse(rounds: dict[str, list[Item]], found: Found) -> None:
    """What the faster formats say, and how often they agree with each other."""
    ours_fast, small, theirs = (logprobs_of(runs) for runs in found.values())
    for name, others in (("lm-eval's", theirs), ("int8's", small)):
        num_same = sum(one == two for one, two in zip(answers(ours_fast), answers(others), strict=True))
        say(f"{next(iter(found))}: {num_same:,} of {len(joined(rounds)):,} answers are {name}")
    told(rounds, found)


def told(rounds: dict[str, list[Item]], found: Found) -> None:
    items = joined(rounds)
    for name, runs in found.items():
        num_right = sum(answer == item.right for answer, item in zip(answers(logprobs_of(runs)), items, strict=True))
        say(
            f"{name:<18} {seconds_of(runs):7.1f} s, {len(items) / seconds_of(runs):6.2f} items/s, {num_right / len(items):.1%} right"
        )


def about() -> dict[str, Any]:
    return {name: version(name) for name in ("torch", "transformers", "numba")}


# -- ours ------------------------------------------------------------------------------------------------------------------


def ours(engine: LocalEngine, loaded: LoadedModel, pairs: Sequence[Pair]) -> Run:
    started = time.perf_counter()
    requests = [
        ScoreRequest(str(number), prompt_ids=context, continuation_ids=continuation)
        for number, (context, continuation) in enumerate(encoded(loaded, pairs))
    ]
    logprobs = [result.logprob for result in engine.score(requests)]
    return Run(logprobs, time.perf_counter() - started)


def encoded(loaded: LoadedModel, pairs: Sequence[Pair]) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """As lm-eval cuts them: the continuation is what the whole has behind the context's tokens."""

    def ids(texts: list[str]) -> list[list[int]]:
        found: list[list[int]] = loaded.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return found

    contexts = list(dict.fromkeys(context for context, _ in pairs))
    known = dict(zip(contexts, map(tuple, ids(contexts)), strict=True))
    wholes = ids([context + continuation for context, continuation in pairs])
    return [
        (known[context], tuple(whole[len(known[context]) :])) for (context, _), whole in zip(pairs, wholes, strict=True)
    ]


class Work:
    """Counts what an engine reads: operations in its products of matrices."""

    def __init__(self, engine: LocalEngine, loaded: LoadedModel) -> None:
        config = loaded.model.config
        self._head = config.vocab_size * config.hidden_size
        self._layers = sum(w.numel() for name, w in loaded.model.named_parameters() if name.endswith("proj.weight"))
        self._model: Any = engine._runner._model  # type: ignore[attr-defined]
        self._read = self._model.read
        self._model.read = self._counted
        self.num_read = self.num_scored = 0

    def _counted(self, ids: Sequence[int], positions: Any, tables: Any, wanted: Sequence[int], *rest: Any) -> Any:
        self.num_read, self.num_scored = self.num_read + len(ids), self.num_scored + len(wanted)
        return self._read(ids, positions, tables, wanted, *rest)

    @property
    def operations(self) -> float:
        """Each token that is read goes through all layers, each that is scored through the head."""
        return 2.0 * (self.num_read * self._layers + self.num_scored * self._head)


# -- lm-eval ---------------------------------------------------------------------------------------------------------------


def best_of_peer(ask: Ask, items: Sequence[Item]) -> tuple[str, dict[str, Side]]:
    """Its fastest number format, and lm-eval in that and in 32 bits, each in its best batch size."""

    def side(dtype: str, size: int) -> Side:
        def run(pairs: Sequence[Pair]) -> Run:
            found = ask({"do": "score", "dtype": dtype, "batch_size": size, "pairs": pairs})
            return Run(found["logprobs"], found["seconds"])

        return run

    def speed(dtype: str, size: int, part: Sequence[Item]) -> float:
        return len(part) / side(dtype, size)([pair for item in part for pair in item.pairs]).seconds

    few = items[:: max(1, len(items) // NUM_FORMAT_TRIED)]
    speed("float32", 8, few[:1])  # The first run sets things up.
    formats = {dtype: speed(dtype, 8, few) for dtype in ("float32", "bfloat16")}
    say("lm-eval, batches of 8: " + ", ".join(f"{dtype} {rate:.2f} items/s" for dtype, rate in formats.items()))
    sides = {}
    fastest = max(formats, key=lambda dtype: formats[dtype])
    for dtype in dict.fromkeys((fastest, "float32")):
        trials = {size: speed(dtype, size, items) for size in BATCH_SIZES}
        say(f"lm-eval, {dtype}: " + ", ".join(f"batches of {size} {rate:.2f} items/s" for size, rate in trials.items()))
        sides[f"lm-eval {dtype}"] = side(dtype, max(trials, key=lambda size: trials[size]))
    return fastest, sides


# -- both ------------------------------------------------------------------------------------------------------------------


def interleaved(rounds: dict[str, list[Item]], sides: dict[str, Side]) -> Found:
    """Data set by data set, the sides by turns."""
    found: Found = {name: {} for name in sides}
    for source, items in rounds.items():
        pairs = [pair for item in items for pair in item.pairs]
        for name, side in sides.items():
            found[name][source] = side(pairs)
        rates = ", ".join(f"{name} {len(items) / runs[source].seconds:.2f}" for name, runs in found.items())
        say(f"{source:<15} {len(items):4} items; items/s: {rates}")
    return found


def equals_transformers(
    loaded: LoadedModel,
    some: Sequence[Item],
    items: Sequence[Item],
    exactly: Sequence[float],
    theirs: Sequence[float],
) -> dict[str, bool]:
    """Against transformers, each option read alone and without padding, in 64 bits: what its 32 bits are a rounding of.

    The sum of an option's tokens is compared: absolutely, and (a far weaker claim for long options) relative to its size.
    The distances of transformers' own 32 bits and of lm-eval's are printed beside ours.
    """
    starts = {item: 4 * number for number, item in enumerate(items)}
    ours_off, theirs_off, own_off, wrong = [], [], [], 0
    precise = copy.deepcopy(loaded.model).double()

    def sum_of(model: Any, context: Sequence[int], continuation: Sequence[int]) -> float:
        with torch.inference_mode():
            logits = model(torch.tensor([[*context, *continuation]])).logits[0, len(context) - 1 : -1]
        return float(logits.double().log_softmax(-1).gather(1, torch.tensor(continuation)[:, None]).sum())

    for item in some:
        for place, (context, continuation) in enumerate(encoded(loaded, item.pairs), starts[item]):
            expected = sum_of(precise, context, continuation)
            own_off.append(abs(sum_of(loaded.model, context, continuation) - expected))
            ours_off.append(abs(exactly[place] - expected))
            theirs_off.append(abs(theirs[place] - expected))
            wrong += ours_off[-1] > EXACT * max(1, abs(expected))
    beyond = sum(off > EXACT for off in ours_off)
    say(f"transformers, {len(ours_off)} options one at a time: largest difference to ours {max(ours_off):.2g} ({beyond} "
        f"beyond {EXACT:g}, {wrong} beyond that share of their size), to its own 32 bits {max(own_off):.2g}, to lm-eval's "
        f"{max(theirs_off):.2g}")  # fmt: skip
    return {"equal_to_transformers": beyond == 0, "equal_to_transformers_relative": wrong == 0}


def answers(logprobs: Sequence[float]) -> list[int]:
    fours = [list(logprobs[start : start + 4]) for start in range(0, len(logprobs), 4)]
    return [four.index(max(four)) for four in fours]


def only_ties(items: Sequence[Item], left: Sequence[float], right: Sequence[float]) -> bool:
    """Both choose the same, but where the two options are as good as equally likely."""
    chosen = zip(answers(left), answers(right), strict=True)
    others = [(4 * number + one, 4 * number + two) for number, (one, two) in enumerate(chosen) if one != two]
    gaps = [max(left[one] - left[two], right[two] - right[one]) for one, two in others]
    say(
        f"32 bits: {len(items) - len(gaps):,} of {len(items):,} answers equal lm-eval's; the others' gaps: {gaps or 'none'}"
    )
    return all(gap <= TIE for gap in gaps)


def largest(left: Sequence[float], right: Sequence[float]) -> float:
    return max(abs(one - two) for one, two in zip(left, right, strict=True))


# -- items -----------------------------------------------------------------------------------------------------------------


def chosen(num: int) -> dict[str, list[Item]]:
    """`num` items by data set: all that come with options, then questions with answers to other questions."""
    shared()
    found = [*mmlu(), *truthfulqa(), *ag_news(), *listed("commonsense_qa", "most_suitable_answer")]
    found += listed("qasc", "qa_with_separated_facts_4")
    found += among_others("dream", p3("dream_generate_last_utterance"))
    found += among_others("gigaword", p3("gigaword_write_a_title_for_this_sentence"))
    found += among_others("adversarial_qa", p3("adversarial_qa_droberta_question_context_answer"))
    found = list({item.context: item for item in found}.values())
    found += islice(among_others("alpaca", alpaca()), max(0, 2000 - len(found)))
    if num < len(found):
        found = [found[place * len(found) // num] for place in range(num)]
    rounds: dict[str, list[Item]] = {}
    for item in found:
        rounds.setdefault(item.source, []).append(item)
    return rounds


def spread(rounds: dict[str, list[Item]], num: int = NUM_TRIED) -> list[Item]:
    """A few of all data sets."""
    items = joined(rounds)
    return items[:: max(1, len(items) // num)][:num]


def mmlu() -> Iterator[Item]:
    """Two subjects; options in their own words, as in the cloze form."""
    form = re.compile(r"(.+?)\s*\(A\)(.+?)\(B\)(.+?)\(C\)(.+?)\(D\)(.+)", re.DOTALL)
    for task in lines("super_natural_instructions/tasks.jsonl.gz"):
        if "_mmmlu_" in task["task"]:
            for row in (*task["positive_examples"], *task["instances"]):
                parts = form.fullmatch(row["input"].strip())
                answer = row["output"] if isinstance(row["output"], str) else row["output"][0]
                if parts and len(set(map(str.strip, parts.groups()[1:]))) == 4:
                    options = tuple(map(str.strip, parts.groups()[1:]))
                    yield Item("mmlu", f"Question: {parts[1]}\nAnswer:", options, "ABCD".index(answer))


def truthfulqa() -> Iterator[Item]:
    with (DATA / "truthfulqa" / "TruthfulQA_train.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            wrong = [text.strip() for text in row["Incorrect Answers"].split(";") if text.strip()]
            if len(wrong) >= 3:
                yield four("truthfulqa", f"Q: {row['Question']}\nA:", row["Best Answer"], wrong)


def ag_news() -> Iterator[Item]:
    """P3's prompt names the four sections."""
    sections = ["World News", "Sports", "Business", "Science and Technology"]
    for prompt, right in p3("ag_news_which_section_choices"):
        yield four("ag_news", prompt, right, [section for section in sections if section != right])


def listed(family: str, template: str) -> Iterator[Item]:
    """P3's prompt lists the options, each after a dash."""
    for prompt, right in p3(f"{family}_{template}"):
        options = re.findall(r"^ ?- (.+)$", prompt, re.MULTILINE)
        wrong = list(dict.fromkeys(option for option in options if option != right))
        if right in options and len(wrong) >= 3:
            yield four(family, prompt, right, wrong)


def among_others(source: str, rows: Sequence[Pair]) -> Iterator[Item]:
    """Each row's answer, and three that answer other rows."""
    draw = random.Random(source)
    for prompt, right in rows:
        wrong = list(dict.fromkeys(answer for _, answer in draw.sample(rows, 12) if answer != right))
        if len(wrong) >= 3:
            yield four(source, prompt, right, wrong)


def four(source: str, context: str, right: str, wrong: Sequence[str]) -> Item:
    draw = random.Random(context)
    options = [right, *wrong[:3]]
    draw.shuffle(options)
    return Item(source, context.strip(), tuple(options), options.index(right))


def p3(template: str) -> list[Pair]:
    return p3_rows()[template]


@cache
def p3_rows() -> dict[str, list[Pair]]:
    """Template -> prompts and answers."""
    found: dict[str, list[Pair]] = {}
    for row in lines("t0_p3_50k/t0_train_50k.jsonl.gz"):
        found.setdefault(row["template"], []).append((row["prompt"], row["completion"].strip()))
    return found


def alpaca() -> list[Pair]:
    """Short answers."""
    pairs = [(alpaca_prompt(row), row["output"].strip()) for row in alpaca_rows()]
    return [(f"Question: {prompt}\nAnswer:", answer) for prompt, answer in pairs if 20 <= len(answer) <= 120][:600]


if __name__ == "__main__":
    main()
