"""Instructions that were never trained: whole families of tasks held out, before and after tuning, and what contrastive terms do.

    make bench-unseen_tasks

SmolLM2-135M-Instruct, LoRA on P3 families and Super-NaturalInstructions tasks. Seven families of different kinds are held out whole, with
every template and task of theirs, and of sentiment also the other data sets that ask for it: headlines (gigaword), sentences from concepts
(common_gen), reading (adversarial_qa), commonsense (social_i_qa), science questions with options in words (qasc), dialogues (dream),
sentiment (three tasks). No task that is answered with a letter is among them. As many rows of each, greedy answers of at most 48 tokens, ROUGE-L by
`heedful.metrics`: its mean over rows is the macro average over families. Intervals come from resampling whole families. `constant` is
the one answer that does best on a family's test rows, chosen with their references in hand: no system could choose so.

Then, with a smaller budget, three runs on the same rows, each instance under two wordings: without a term, with rows of a task pulled
together, with paraphrased instructions pulled together (their batches are dealt so that each has pairs to pull). Measured on the unseen families and on paraphrases: wordings (P3 templates) that no
run has seen, of tasks that all have, with instances that none has. Reported whatever the outcome. The last line is JSON.

HEEDFUL_SHARED_DATA    the folder with the development data; default ../shared/data
HEEDFUL_BENCH_SECONDS  about what the whole may take on two quiet cores; default 2400. Rows are in proportion; claims need the default
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from common import lines, machine, say, shared
from heedful.generate.engine import Request, Sampling, generate
from heedful.generate.local import LocalEngine
from heedful.generate.local.opening import Precision
from heedful.metrics import rouge_l
from heedful.models import load
from heedful.project import Silent, stream
from heedful.records import Example, conversation, digest, origin_id
from heedful.render import Renderer, renderer_for
from heedful.statistics import paired_bootstrap
from heedful.task_prompts import task_prompt
from heedful.train import TuneSettings, tune
from heedful.train.computing.numbers import dtype_of
from heedful.train.task_settings import MixingSettings

SECONDS = float(os.environ.get("HEEDFUL_BENCH_SECONDS", "2400"))
SHARE = SECONDS / 2400
MODEL = "smollm2-135m-instruct-q4_1"
SEED = 1

HELD_OUT = ("adversarial_qa", "common_gen", "dream", "gigaword", "qasc", "sentiment", "social_i_qa")
SENTIMENT = ("amazon_polarity", "imdb", "yelp", "task1687", "task363", "task875")
"""P3's only ask for what is held out and are not used at all."""
LETTERS = ("answer_index", "generate_index", "effect_with_label", "_mmmlu_", "task073")
"""Answered with the letter of an option."""
NUM_TRAINED, NUM_COMPARED = max(64, round(6000 * SHARE)), max(32, round(1200 * SHARE))
"""Rows of the main run, and of each run with and without a term."""
PER_FAMILY, PER_FAMILY_COMPARED, NUM_PARAPHRASED = (max(full // 3, round(full * SHARE)) for full in (48, 36, 240))
MAX_TOKENS, MAX_ANSWER = 256, 48
FIRST_TESTED = 160
"""P3's templates take the same instances in the same order; those from here on are never trained."""
WEIGHT, TEMPERATURE = 0.1, 0.1


@dataclass(frozen=True)
class Item:
    """A prompt, an answer, and other answers that are as good."""

    family: str
    wording: str
    instance: int
    prompt: str
    answers: tuple[str, ...]

    @property
    def example(self) -> Example:
        """To be trained; wordings of one instance are paraphrases when they are answered alike."""
        row = Example(
            id=origin_id(self.wording, str(self.instance)),
            messages=conversation(self.prompt, self.answers[0]),
            method="import",
            source=self.wording,
            task=self.family,
            split="train",
        )
        return row.with_meta(groups={"paraphrase": digest([self.family, self.instance, self.answers[0]])})


Answers = dict[str, list[str]]
"""Who answered -> what."""


def main() -> None:
    started = time.perf_counter()
    loaded = load(MODEL)
    renderer = renderer_for(loaded)
    known = sorted(read(), key=lambda item: (item.family, item.wording, item.instance))
    unseen = {family: tested(known, family, renderer, PER_FAMILY) for family in HELD_OUT}
    seen = [item for item in known if item.family not in HELD_OUT]
    hidden = hidden_wordings(seen)
    trained = [item for item in seen if item.wording not in hidden and item.instance < FIRST_TESTED]
    say(f"{len(trained):,} rows of {len({item.family for item in trained})} families to choose from; held out: {', '.join(HELD_OUT)}; "
        f"{len(hidden)} wordings hidden")  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        made = {"tuned": tuned(fitting(trained, renderer), "tuned", Path(folder), rows=NUM_TRAINED)}
        pairs = paraphrase_pairs(trained, renderer)
        for by in ("none", "task", "paraphrase"):
            made[by] = tuned(pairs, by, Path(folder), by=by)
        spent(started, "trained")
        precision: Precision = "bfloat16" if dtype_of("auto", loaded.model.device) is torch.bfloat16 else "float32"
        with LocalEngine(loaded, precision=precision, adapters=made) as engine:
            asked = partial(answered, engine, renderer)
            items = [item for family in HELD_OUT for item in unseen[family]]
            result = report_unseen(items, asked(items, (None, "tuned")))
            spent(started, "answered")
            few = [item for family in HELD_OUT for item in unseen[family][:PER_FAMILY_COMPARED]]
            others = paraphrased(seen, hidden, renderer)
            terms = ("none", "task", "paraphrase")
            compared = {"unseen": compare(few, asked(few, terms)), "paraphrased": compare(others, asked(others, terms))}
    seconds = spent(started, "done")
    checks = {
        "five_points_over_untuned": result["difference"] >= 0.05,
        "excludes_zero": result["low"] > 0,
        "above_constant": result["tuned"] > result["constant"],
        "above_constant_in_every_family": all(one["tuned"] > one["constant"] for one in result["families"].values()),
        "within_45_minutes": seconds <= 2700,
    }
    final = {
        "bench": "unseen_tasks",
        "ratios": {"tuned_vs_untuned": round(result["tuned"] / max(result["base"], 1e-9), 2)},
        "unseen": result,
        "contrastive": compared,
        "checks": checks,
        "rows": {"trained": NUM_TRAINED, "compared": NUM_COMPARED, "per_family": PER_FAMILY, "full": SHARE >= 1},
        "seconds": round(seconds),
        "machine": machine(),
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    print(json.dumps(final))


# -- rows ------------------------------------------------------------------------------------------------------------------


def read() -> Iterator[Item]:
    """Everything that may be asked; tasks of Super-NaturalInstructions by their definition alone."""
    shared()
    numbers: dict[str, int] = defaultdict(int)
    for row in lines("t0_p3_50k/t0_train_50k.jsonl.gz"):
        family, wording = row["family"].removeprefix("OTHER:"), row["template"]
        family = "commonsense_qa" if family.startswith("commonsense_qa") else family
        number, numbers[wording] = numbers[wording], numbers[wording] + 1
        if family not in SENTIMENT and not is_letter(wording) and row["completion"].strip():
            yield Item(family, wording, number, row["prompt"].strip(), (row["completion"].strip(),))
    for task in lines("super_natural_instructions/tasks.jsonl.gz"):
        name, definition = task["task"], joined(task["definition"])
        family = "sentiment" if name.split("_")[0] in SENTIMENT else name
        if not is_letter(name):
            for number, instance in enumerate(task["instances"]):
                outputs = instance["output"] if isinstance(instance["output"], list) else [instance["output"]]
                yield Item(family, name, number, task_prompt(definition, instance["input"]), tuple(outputs))


def is_letter(wording: str) -> bool:
    return any(part in wording for part in LETTERS)


def joined(text: Any) -> str:
    return text if isinstance(text, str) else "\n".join(text)


def fits(item: Item, renderer: Renderer) -> bool:
    """Short enough to be read often in the time there is."""
    pair = renderer.pair(item.example.messages)
    return len(pair.target_ids) <= MAX_ANSWER and len(pair.source_ids) + len(pair.target_ids) <= MAX_TOKENS


def fitting(items: Sequence[Item], renderer: Renderer) -> list[Item]:
    """A sample, since rendering tens of thousands to read a few would take longer than reading them."""
    order = stream(SEED, "candidates").sample(list(items), len(items))
    chosen: dict[str, list[Item]] = defaultdict(list)
    for item in order:
        # More of a family than this are never read.
        if len(chosen[item.family]) < NUM_TRAINED // 8 and len(item.prompt) < 6 * MAX_TOKENS and fits(item, renderer):
            chosen[item.family].append(item)
    return [item for family in sorted(chosen) for item in chosen[family]]


def tested(known: Sequence[Item], family: str, renderer: Renderer, number: int) -> list[Item]:
    """Rows of a held-out family, from all of its wordings, each instance once."""
    own = [item for item in known if item.family == family]
    wordings = sorted({item.wording for item in own})
    drawn = {wording: [item for item in own if item.wording == wording] for wording in wordings}
    for wording in wordings:
        stream(SEED, "tested", wording).shuffle(drawn[wording])
    chosen: list[Item] = []
    asked: set[tuple[str, ...]] = set()
    for item in (drawn[wording][place] for place in range(200) for wording in wordings if place < len(drawn[wording])):
        key = (str(item.instance), *item.answers) if family != "sentiment" else (item.prompt,)
        if len(chosen) < number and key not in asked and len(item.prompt) < 6 * MAX_TOKENS and fits(item, renderer):
            asked.add(key)
            chosen.append(item)
    if len(chosen) < number:
        sys.exit(f"{family} has {len(chosen)} rows that fit, and {number} were asked for")
    return chosen


def hidden_wordings(seen: Sequence[Item]) -> set[str]:
    """Of each family with several templates one in four is never trained."""
    by_family: dict[str, set[str]] = defaultdict(set)
    for item in seen:
        by_family[item.family].add(item.wording)
    return {
        wording
        for family, wordings in by_family.items()
        if len(wordings) >= 4
        for wording in stream(SEED, "hidden", family).sample(sorted(wordings), len(wordings) // 4)
    }


def paraphrased(seen: Sequence[Item], hidden: set[str], renderer: Renderer) -> list[Item]:
    """Hidden wordings with instances that were never trained, as many of each family as there are."""
    by_family: dict[str, list[Item]] = defaultdict(list)
    for item in seen:
        if item.wording in hidden and item.instance >= FIRST_TESTED and len(item.prompt) < 6 * MAX_TOKENS:
            by_family[item.family].append(item)
    chosen: list[Item] = []
    for family in sorted(by_family):
        own = stream(SEED, "paraphrased", family).sample(by_family[family], len(by_family[family]))
        chosen += [item for item in own if fits(item, renderer)][: max(2, NUM_PARAPHRASED // len(by_family))]
    return chosen


def paraphrase_pairs(trained: Sequence[Item], renderer: Renderer) -> list[Item]:
    """Instances under two wordings that are answered alike, families by turns."""
    groups: dict[str, dict[tuple[int, str], list[Item]]] = defaultdict(lambda: defaultdict(list))
    for item in trained:
        if len(item.prompt) < 6 * MAX_TOKENS:
            groups[item.family][item.instance, item.answers[0]].append(item)
    turns = []
    for family in sorted(groups):
        several = sorted((key, own) for key, own in groups[family].items() if len(own) > 1)
        draw = stream(SEED, "pairs", family)
        draw.shuffle(several)
        turns.append(draw.sample(own, 2) for _, own in several)
    chosen: list[Item] = []
    while turns and len(chosen) < NUM_COMPARED:
        turn = turns.pop(0)
        pair = next((pair for pair in turn if all(fits(item, renderer) for item in pair)), None)
        if pair is not None:
            chosen += pair
            turns.append(turn)
    return chosen


# -- training and answering ------------------------------------------------------------------------------------------------


def tuned(items: Sequence[Item], name: str, folder: Path, *, rows: int = 0, by: str = "none") -> Path:
    """An adapter's folder. Families are mixed by the square root of their sizes."""
    settings = TuneSettings(
        model=MODEL,
        epochs=1,
        batch_size=8,
        max_length=MAX_TOKENS,
        checkpoint_every=10_000,
        mixing=MixingSettings(temperature=2.0 if rows else 1.0, rows_per_epoch=rows),
        contrastive_weight=0.0 if by == "none" else WEIGHT,
        contrastive_by="task" if by == "none" else by,
        contrastive_temperature=TEMPERATURE,
    )
    out = folder / name
    out.mkdir()
    started = time.perf_counter()
    examples = [item.example for item in items]
    result = tune(examples, settings, out=out, checkpoints=folder / f"{name}-checkpoints", seed=SEED, watcher=Silent())
    seconds, last = time.perf_counter() - started, result.history[-20:]
    terms = [f"{entry['contrastive']:.2f}" for entry in (result.history[0], last[-1]) if "contrastive" in entry]
    say(f"{name:<11} {result.num_steps} steps, {result.history[-1]['tokens']:,} tokens, {seconds:.0f} s, {result.history[-1]['tokens'] / seconds:.0f} "
        f"tokens/s; loss {result.history[0]['loss']:.2f} -> {sum(entry['loss'] for entry in last) / len(last):.2f}"
        + (f"; term {' -> '.join(terms)}" if terms else ""))  # fmt: skip
    return result.model_folder


def answered(engine: LocalEngine, renderer: Renderer, items: Sequence[Item], names: Sequence[str | None]) -> Answers:
    found: Answers = {}
    for name in names:
        requests = [
            Request(
                str(number),
                messages=item.example.messages[:1],
                sampling=Sampling(max_tokens=MAX_ANSWER),
                adapter=name,
            )
            for number, item in enumerate(items)
        ]
        found[name or "base"] = [generation.text.strip() for generation in generate(engine, requests)]
    return found


# -- what is told ----------------------------------------------------------------------------------------------------------


def scores(items: Sequence[Item], answers: Sequence[str]) -> list[float]:
    return list(rouge_l(list(answers), [list(item.answers) for item in items], language="en").per_item)


def report_unseen(items: Sequence[Item], answers: Answers) -> dict[str, Any]:
    base, own = scores(items, answers["base"]), scores(items, answers["tuned"])
    families = [item.family for item in items]
    test = paired_bootstrap(base, own, seed=SEED, clusters=families)
    by_family: dict[str, dict[str, Any]] = {}
    for family in HELD_OUT:
        places = [place for place, name in enumerate(families) if name == family]
        text, best = constant([items[place] for place in places])
        by_family[family] = {
            "base": mean([base[place] for place in places]),
            "tuned": mean([own[place] for place in places]),
            "constant": best,
            "constant_answer": text,
        }
        one = by_family[family]
        say(f"{family:<15} untuned {one['base']:.3f}, tuned {one['tuned']:.3f}, best constant {best:.3f} ({text!r})")
        for place in places[:2]:
            say(f"    {items[place].answers[0]!r}: untuned {answers['base'][place][:60]!r}, tuned {answers['tuned'][place][:60]!r}")  # fmt: skip
    result = {
        "base": round(test.base, 4),
        "tuned": round(test.tuned, 4),
        "difference": round(test.difference, 4),
        "low": round(test.low, 4),
        "high": round(test.high, 4),
        "constant": mean([one["constant"] for one in by_family.values()]),
        "items": len(items),
        "families": by_family,
    }
    say(f"macro average: untuned {test.base:.3f}, tuned {test.tuned:.3f}, difference {test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}], "
        f"best constants {result['constant']:.3f}")  # fmt: skip
    return result


def constant(items: Sequence[Item]) -> tuple[str, float]:
    """The reference that would answer all items best."""
    candidates = sorted({answer for item in items for answer in item.answers})
    return max(((text, mean(scores(items, [text] * len(items)))) for text in candidates), key=lambda one: one[1])


def compare(items: Sequence[Item], answers: Answers) -> dict[str, Any]:
    """Each term against none, on the same rows."""
    own = {name: scores(items, texts) for name, texts in answers.items()}
    result: dict[str, Any] = {"none": round(mean(own["none"]), 4), "items": len(items)}
    for name in ("task", "paraphrase"):
        test = paired_bootstrap(own["none"], own[name], seed=SEED, clusters=[item.family for item in items])
        result[name] = {key: round(getattr(test, key), 4) for key in ("tuned", "difference", "low", "high")}
        say(f"{len(items)} rows, term by {name:<10} ROUGE-L {test.base:.3f} without, {test.tuned:.3f} with: {test.difference:+.3f} "
            f"[{test.low:+.3f}, {test.high:+.3f}]")  # fmt: skip
    return result


def mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def spent(started: float, what: str) -> float:
    seconds = time.perf_counter() - started
    say(f"{what} after {seconds:.0f} s")
    return seconds


if __name__ == "__main__":
    main()
