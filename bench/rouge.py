"""ROUGE-1/2/L of many pairs: ours against the package rouge-score, in the same run, interleaved.

    make bench-rouge

Evaluation and the novelty gate compare texts by ROUGE all day long. Both sides score the same English pairs (sentences of the library's
documentation, each against its neighbour, a deterministic shuffle), and their F values must be equal to 1e-9. The last line is JSON.
"""

from __future__ import annotations

import json
import platform
import random
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version

from rouge_score.rouge_scorer import RougeScorer

from heedful.metrics import rouge
from heedful.sources import python_docs

KINDS = ("rouge1", "rouge2", "rougeL")
NUM_PAIRS = 2000
ROUNDS = 5

Scores = list[tuple[float, ...]]


def pairs() -> list[tuple[str, str]]:
    """English texts of 5 to some hundred words, each with another one as its reference."""
    texts = [
        section.text for document in python_docs() for section in document.sections if len(section.text.split()) >= 5
    ]
    random.Random(7).shuffle(texts)
    return [(texts[place % len(texts)], texts[(place * 7 + 1) % len(texts)]) for place in range(NUM_PAIRS)]


def ours(data: list[tuple[str, str]]) -> Scores:
    results = rouge([hypothesis for hypothesis, _ in data], [reference for _, reference in data], language="en")
    return list(zip(*(results[kind].per_item for kind in KINDS), strict=True))


def theirs(data: list[tuple[str, str]]) -> Scores:
    scorer = RougeScorer(list(KINDS), use_stemmer=False)
    return [
        tuple(scorer.score(reference, hypothesis)[kind].fmeasure for kind in KINDS) for hypothesis, reference in data
    ]


def timed(function: Callable[[list[tuple[str, str]]], Scores], data: list[tuple[str, str]]) -> tuple[float, Scores]:
    started = time.perf_counter()
    scores = function(data)
    return time.perf_counter() - started, scores


def main() -> None:
    data = pairs()
    seconds: dict[str, list[float]] = {"ours": [], "rouge-score": []}
    for number in range(ROUNDS + 1):
        (our_seconds, our_scores), (their_seconds, their_scores) = timed(ours, data), timed(theirs, data)
        if number:  # the first round warms both up
            seconds["ours"].append(our_seconds)
            seconds["rouge-score"].append(their_seconds)
    gap = max(
        abs(a - b) for one, other in zip(our_scores, their_scores, strict=True) for a, b in zip(one, other, strict=True)
    )
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        print(
            f"{name:<12} {median:.3f} s for {len(data)} pairs, {len(data) / median:,.0f} pairs/s, best {min(seconds[name]):.3f} s"
        )
    result = {
        "bench": "rouge",
        "ratios": {"vs_rouge_score": round(medians["rouge-score"] / medians["ours"], 2)},
        "checks": {"scores_equal": gap < 1e-9},
        "machine": f"{platform.machine()}, {platform.system()}, one thread",
        "versions": {
            "python": platform.python_version(),
            "rouge-score": version("rouge-score"),
            "rapidfuzz": version("rapidfuzz"),
        },
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
