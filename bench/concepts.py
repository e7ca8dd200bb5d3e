"""Text that must hold keywords: how natural is it? Plain masking against beams that look ahead, and free answers as the measure.

    make bench-concepts

Concept sets: the CommonGen sets among P3's prompts, and sets made in the same way from words of image captions. Asked as a user
would, greedy, SmolLM2-135M-Instruct with 8-bit weights. The measure is the model's own log-probability per token (the end included)
under the very same prompt: what an answer that keeps its promise is less likely than the free one (`excess`). A second task asks for
one sentence of exactly 15 words. The last line is JSON.

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
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from statistics import fmean

import torch

from heedful import text as texts
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.models import load
from heedful.records import Generation, Message, RequirementSpec
from heedful.requirements import Requirement, parse, satisfied, say_all
from heedful.requirements.inflections import forms

HERE = Path(__file__).resolve().parent
MODEL = "smollm2-135m-instruct-q4_1"
DATA = Path(os.environ.get("HEEDFUL_SHARED_DATA", HERE.parent.parent / "shared" / "data"))
NUM_SETS = int(os.environ.get("HEEDFUL_BENCH_SETS", "300"))
MAX_TOKENS = 48
NUM_SAMPLES = 10
NUM_WORDS = 15
STOP_WORDS = frozenset(
    "a an the and or but of to in on at by for from with into onto out over under up down off near next is are was were be been being "
    "am has have had do does did it its his her their they them he she him who which that this these those there here as while "
    "some other others another one two three four five several many few all both each very not no what where when how if than then "
    "through around behind front inside outside across along against between among above below about after before during something".split()
)


@dataclass(frozen=True)
class Task:
    """One prompt, and what its answer must keep."""

    prompt: str
    requirements: tuple[RequirementSpec, ...]


@dataclass(frozen=True)
class Answers:
    """One way's answers to all tasks."""

    generations: Sequence[Generation]
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
        words = [base_of.get(word, word) for word in row if word not in STOP_WORDS and counts[word] >= 40]
        words = [word for word in dict.fromkeys(words) if word.isalpha() and len(word) > 2 and word not in STOP_WORDS]
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
