"""Text that must hold keywords: how natural is it? Plain masking against beams that look ahead, and free answers as the measure.

    make bench-concepts

300 concept sets: the 67 of CommonGen that P3's prompts hold, and sets made in the same way from words of image captions. Asked as a
user would, greedy, SmolLM2-135M-Instruct with 8-bit weights. The measure is the model's own log-probability per token (the end
included) under the very same prompt: `excess` is by how many nats an answer that keeps its promise is less likely than the free one.
Loops are likely, so repetition is counted too. `listed` is the share of answers that say three keywords in a row. A second task asks
for one sentence of exactly 15 words, which should end as sentences do. The last line is JSON.

HEEDFUL_SHARED_DATA   the folder with the development data; default ../shared/data
HEEDFUL_BENCH_SETS    fewer sets for a quick look; claims need all 300
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import random
import re
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import torch

from common import DATA
from heedful import text as texts
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.records import Generation, Message, RequirementSpec
from heedful.requirements import satisfied, say_all
from heedful.requirements.inflections import forms

MODEL = "smollm2-135m-instruct-q4_1"
NUM_SETS = int(os.environ.get("HEEDFUL_BENCH_SETS", "300"))
MAX_TOKENS = 48
NUM_SAMPLES = 10
NUM_WORDS = 15
_FUNCTION_WORDS = (
    "a an the and or but of to in on at by for from with into onto out over under up down off near next is are was were be been being "
    "am has have had do does did it its his her their they them he she him who which that this these those there here as while "
    "some other others another one two three four five several many few all both each very not no what where when how if than then "
    "through around behind front inside outside across along against between among above below about after before during something"
)
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""No concepts."""
_NEVER_LAST = "a an the and or but of to with by from for into onto at as is are was were be that which who their its his if than while"
NEVER_LAST = frozenset(_NEVER_LAST.split())
"""No sentence ends with these, as far as it can be told by a list."""


@dataclass(frozen=True)
class Task:
    """One prompt, and what its answer must keep."""

    prompt: str
    requirements: tuple[RequirementSpec, ...]


@dataclass(frozen=True)
class Way:
    """One way to answer."""

    name: str
    is_constrained: bool
    num_beams: int = 1


WAYS = (Way("free", False), Way("masking", True), Way("4 beams", True, 4), Way("8 beams", True, 8))


@dataclass(frozen=True)
class Measured:
    """Means over the answers of one way."""

    coverage: float
    """Answers that keep all that was asked for."""
    nats: float
    """Negative log-probability per token."""
    listed: float
    repetition_2: float
    repetition_3: float
    finished: float
    ends: float
    """Answers that end as sentences do: with a mark, behind a word that may be the last one, without line breaks or runs of marks."""
    words: float
    seconds: float


def concept_tasks(number: int) -> list[Task]:
    """Sets of three to five words, the CommonGen ones first; a sample of both when fewer are asked for."""
    sets = [*common_gen(), *caption_sets(300 - len(common_gen()))]
    random.Random(0).shuffle(sets)
    tasks = []
    for words in sets[:number]:
        specs = (
            RequirementSpec("keywords", {"all": list(words), "inflections": True}),
            RequirementSpec("sentences", {"exactly": 1}),
        )
        tasks.append(Task(f"Write a sentence about: {', '.join(words)}. {say_all(specs, 'en')}", specs))
    return tasks


@cache
def common_gen() -> tuple[tuple[str, ...], ...]:
    """The concept sets among P3's prompts."""
    found: dict[tuple[str, ...], None] = {}
    with gzip.open(DATA / "t0_p3_50k" / "t0_train_50k.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            match = re.search(r"list of concepts: (.*?);", row["prompt"]) if row["family"] == "common_gen" else None
            if match:
                found[tuple(match.group(1).split(", "))] = None
    return tuple(found)


def captions() -> list[list[str]]:
    """Words of English image captions."""
    with gzip.open(DATA / "multi30k" / "train.en.gz", "rt", encoding="utf-8") as file:
        return [texts.words(line.lower()) for line in file]


def caption_sets(number: int) -> list[tuple[str, ...]]:
    """Sets of three to five words that stand together in a caption, common ones, each in its base form."""
    rows = captions()
    counts = Counter(word for row in rows for word in row)
    common = sorted((word for word, count in counts.items() if count >= 40 and len(word) > 2), key=len, reverse=True)
    # The shortest word that something is a form of is its base.
    base_of = {form: word for word in common for form in forms(word)}
    drawn, found = random.Random(1), dict.fromkeys(common_gen())
    drawn.shuffle(rows)
    for row in rows:
        words = [base_of.get(word, word) for word in row if word not in FUNCTION_WORDS and counts[word] >= 40]
        words = [
            word for word in dict.fromkeys(words) if word.isalpha() and len(word) > 2 and word not in FUNCTION_WORDS
        ]
        size = 3 + len(found) % 3
        if len(words) >= size:
            found.setdefault(tuple(drawn.sample(words, size)))
        if len(found) - len(common_gen()) == number:
            break
    return list(found)[len(common_gen()) :]


def word_tasks(number: int) -> list[Task]:
    """One sentence of exactly so many words about one thing."""
    topics = list(dict.fromkeys(word for words in common_gen() for word in words))
    random.Random(2).shuffle(topics)
    specs = (RequirementSpec("words", {"exactly": NUM_WORDS}), RequirementSpec("sentences", {"exactly": 1}))
    return [Task(f"Write a sentence about {topic}. {say_all(specs, 'en')}", specs) for topic in topics[:number]]


# -- measured --------------------------------------------------------------------------------------------------------


def answers(engine: LocalEngine, tasks: Sequence[Task], way: Way) -> tuple[list[Generation], float]:
    """One for each task, and the seconds that all of them took."""
    sampling = Sampling(max_tokens=MAX_TOKENS, num_beams=way.num_beams)
    requests = [
        Request(
            str(number),
            (Message("user", task.prompt),),
            sampling=sampling,
            requirements=task.requirements if way.is_constrained else (),
            logprobs=True,
        )
        for number, task in enumerate(tasks)
    ]
    start = time.perf_counter()
    found = list(generate(engine, requests))
    return found, time.perf_counter() - start


def measured(tasks: Sequence[Task], found: Sequence[Generation], seconds: float) -> Measured:
    tokens = [texts.tokenize(one.text) for one in found]
    return Measured(
        coverage=fmean(satisfied(task.requirements, one.text) for task, one in zip(tasks, found, strict=True)),
        nats=fmean(-fmean(one.logprobs or (0.0,)) for one in found),
        listed=fmean(is_list(task, one.text) for task, one in zip(tasks, found, strict=True)),
        repetition_2=fmean(texts.repetition(one, 2) for one in tokens),
        repetition_3=fmean(texts.repetition(one, 3) for one in tokens),
        finished=fmean(one.finish_reason == "stop" for one in found),
        ends=fmean(ends_well(one.text) for one in found),
        words=fmean(texts.num_words(one.text) for one in found),
        seconds=seconds,
    )


def is_list(task: Task, text: str) -> bool:
    """Whether three keywords or more stand side by side, with nothing but marks, articles and "and" between them."""
    words = task.requirements[0].parameters.get("all", ())
    if not words:
        return False
    one = "|".join(sorted({form for word in words for form in forms(word)}, key=len, reverse=True))
    return re.search(rf"(?:\b(?:{one})\b(?:[\s,;:\"“”.]|\b(?:and|or|an?|the)\b)*){{3,}}", text.lower()) is not None


def ends_well(text: str) -> bool:
    if re.search(r"[.!?][\"'”’)]*$", text) is None or re.search(r"\n|(?:[^\w\s]\s*){4,}", text):
        return False
    return texts.words(text.lower())[-1] not in NEVER_LAST


def report(title: str, tasks: Sequence[Task], engine: LocalEngine) -> dict[str, Measured]:
    """Run all ways, and print what they gave and some of their answers."""
    table: dict[str, Measured] = {}
    samples: list[tuple[str, list[Generation]]] = []
    print(f"\n{title}: {len(tasks)} prompts")
    print(
        f"{'':10} {'coverage':>8} {'nats':>7} {'excess':>7} {'listed':>7} {'rep. 2':>7} {'rep. 3':>7} {'stopped':>8} {'ends':>6} "
        f"{'words':>6} {'seconds':>8}"
    )
    for way in WAYS:
        found, seconds = answers(engine, tasks, way)
        one = table[way.name] = measured(tasks, found, seconds)
        samples.append((way.name, found))
        print(
            f"{way.name:10} {one.coverage:8.3f} {one.nats:7.3f} {one.nats - table['free'].nats:+7.3f} {one.listed:7.3f} "
            f"{one.repetition_2:7.3f} {one.repetition_3:7.3f} {one.finished:8.3f} {one.ends:6.3f} {one.words:6.1f} "
            f"{one.seconds:8.1f}",
            flush=True,
        )
    for number, task in enumerate(tasks[:NUM_SAMPLES]):
        print(f"\n{task.prompt}")
        for name, found in samples:
            print(f"   {name:8} {found[number].text!r}")
    return table


def main() -> None:
    with LocalEngine(load(MODEL), precision="int8") as engine:
        concepts = report("keywords, one sentence", concept_tasks(NUM_SETS), engine)
        words = report(f"exactly {NUM_WORDS} words, one sentence", word_tasks(min(100, NUM_SETS)), engine)
    free, masking = concepts["free"], concepts["masking"]
    ratios: dict[str, float] = {}
    for way in WAYS[2:]:
        one, name = concepts[way.name], way.name.replace(" ", "_")
        ratios[f"excess_vs_masking_{name}"] = (one.nats - free.nats) / (masking.nats - free.nats)
        ratios[f"repetition_2_vs_free_{name}"] = one.repetition_2 / free.repetition_2
        ratios[f"repetition_3_vs_free_{name}"] = one.repetition_3 / free.repetition_3
        ratios[f"seconds_vs_masking_{name}"] = one.seconds / masking.seconds
        ratios[f"words_end_as_sentences_{name}"] = words[way.name].ends
    kept = [table[way.name] for table in (concepts, words) for way in WAYS[1:]]
    searched = [concepts[way.name] for way in WAYS[2:]]
    checks = {
        "coverage": all(one.coverage == 1 for one in kept),
        "all_finish": all(one.finished == 1 for one in kept),
        "excess_at_most_half": all(one.nats - free.nats <= 0.5 * (masking.nats - free.nats) for one in searched),
        "repetition_at_most_free": all(
            one.repetition_2 <= free.repetition_2 and one.repetition_3 <= free.repetition_3 for one in searched
        ),
        "words_end_as_sentences": words["8 beams"].ends >= 0.9,
    }
    print(
        json.dumps(
            {
                "bench": "concepts",
                "ratios": {name: round(value, 3) for name, value in ratios.items()},
                "checks": checks,
                "machine": f"{platform.machine()}, {platform.system()}, {torch.get_num_threads()} threads",
                "versions": {"python": platform.python_version(), "torch": torch.__version__},
            }
        )
    )


if __name__ == "__main__":
    main()
