"""What is measured of the answers: the metrics, their direction, and their values for both systems.

Every metric comes with additive statistics (see `metrics.MetricResult`), so that corpus values such as perplexity and
BLEU are recomputed on every resample and on every slice instead of being averaged over rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from heedful.evaluate.answers import Answers
from heedful.metrics import MetricResult, bleu, chrf, exact_match, mean_result, perplexity, rouge_l, signature
from heedful.records import Example
from heedful.requirements import Verdict, check_all
from heedful.text import num_words


@dataclass(frozen=True, slots=True)
class Metric:
    """How a metric is called and read."""

    label: str
    about: str
    direction: Literal[-1, 0, 1]
    """1: higher is better; -1: lower is better; 0: neither, it only describes."""
    unit: Literal["share", "score", "ratio", "perplexity"]
    maximum: float | None
    """The greatest value it can have; None when there is none."""


METRICS: dict[str, Metric] = {
    "perplexity": Metric(
        "Perplexity",
        "How surprised the model is by each token of the reference answers, end of turn included.",
        -1, "perplexity", None,
    ),
    "rougeL": Metric("ROUGE-L", "Longest common subsequence of answer and reference, F measure.", 1, "score", 1),
    "bleu": Metric("BLEU", "Word sequences shared with the references, over the whole test set.", 1, "score", 100),
    "chrf": Metric("chrF", "Character sequences shared with the references, over the whole test set.", 1, "score", 100),
    "exact_match": Metric("Exact match", "Answers equal to the reference but for typography.", 1, "share", 1),
    "requirements": Metric(
        "Requirements met", "Answers that keep every one of their requirements; of the rows that have any.", 1, "share", 1
    ),
    "requirements_kept": Metric(
        "Requirement share", "Requirements kept, averaged over the rows that have any.", 1, "share", 1
    ),
    "cut": Metric("Answers cut off", "Answers that did not end before the token limit.", -1, "share", 1),
    "length_ratio": Metric("Length ratio", "Words of the answer over words of the reference, on average.", 0, "ratio", None),
}  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """One metric's values for both systems on the rows that have it."""

    name: str
    rows: tuple[int, ...]
    """Positions in the test set; position i of the results belongs to `rows[i]`."""
    results: Mapping[str, MetricResult]
    """By system; empty when no row has this metric."""

    @property
    def metric(self) -> Metric:
        return METRICS[self.name]

    def describe(self) -> dict[str, Any]:
        """The metric's entry in `meta.metrics`. Both systems are measured alike, so one signature serves both."""
        signatures = {result.signature for result in self.results.values()}
        return {**asdict(self.metric), "signature": signatures.pop() if signatures else "not measured: no row has it"}


def measure(test: Sequence[Example], answers: Sequence[Answers]) -> list[Measure]:
    """All metrics in the order of `METRICS`."""
    everywhere = tuple(range(len(test)))
    measured = {
        name: Measure(name, everywhere, {item.system: compute(test, item) for item in answers})
        for name, compute in _OF_ANSWERS.items()
    }
    for name, value in (("requirements", _all_kept), ("requirements_kept", _share_kept)):
        measured[name] = _of_verdicts(name, value, test, answers)
    return [measured[name] for name in METRICS]


def _of_verdicts(
    name: str, value: Callable[[Sequence[Verdict]], float], test: Sequence[Example], answers: Sequence[Answers]
) -> Measure:
    rows = tuple(index for index, example in enumerate(test) if example.requirements)
    if not rows:
        return Measure(name, (), {})
    results = {}
    for item in answers:
        verdicts = check_requirements(test, item)
        results[item.system] = mean_result(
            name, [value(verdicts[row]) for row in rows], signature(name, rows="with-any")
        )
    return Measure(name, rows, results)


def check_requirements(test: Sequence[Example], answers: Answers) -> list[list[Verdict]]:
    """Verdicts on each row's own requirements, in their order; none for rows without any."""
    return [
        check_all(example.requirements, generation.text)
        for example, generation in zip(test, answers.generations, strict=True)
    ]


def _all_kept(verdicts: Sequence[Verdict]) -> float:
    return float(all(verdict.satisfied for verdict in verdicts))


def _share_kept(verdicts: Sequence[Verdict]) -> float:
    return sum(verdict.satisfied for verdict in verdicts) / len(verdicts)


def _cut(test: Sequence[Example], answers: Answers) -> MetricResult:
    values = [float(generation.finish_reason == "length") for generation in answers.generations]
    return mean_result("cut", values, signature("cut", reason="length"))


def _length_ratio(test: Sequence[Example], answers: Answers) -> MetricResult:
    # A reference without words ("😀", "=") counts as one word, so that the ratio exists.
    values = [num_words(g.text) / max(1, num_words(e.answer)) for e, g in zip(test, answers.generations, strict=True)]
    return mean_result("length_ratio", values, signature("length_ratio", words="heedful.text"))


def _of_texts(metric: Callable[..., MetricResult]) -> Callable[[Sequence[Example], Answers], MetricResult]:
    def compute(test: Sequence[Example], answers: Answers) -> MetricResult:
        texts = [generation.text for generation in answers.generations]
        return metric(texts, [example.answer for example in test], [example.language for example in test])

    return compute


_OF_ANSWERS: dict[str, Callable[[Sequence[Example], Answers], MetricResult]] = {
    "perplexity": lambda test, answers: perplexity(answers.scores),
    "rougeL": _of_texts(rouge_l),
    "bleu": _of_texts(bleu),
    "chrf": _of_texts(chrf),
    "exact_match": _of_texts(exact_match),
    "cut": _cut,
    "length_ratio": _length_ratio,
}
