"""Answers to show side by side, chosen by rule: largest gains, largest losses, and rows drawn at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from heedful.evaluate.answers import Answers
from heedful.evaluate.measures import Measure, check_requirements
from heedful.project import stream
from heedful.records import Example
from heedful.requirements import Verdict


def choose(gains: Sequence[float], ids: Sequence[str], num_samples: int, seed: int) -> list[tuple[int, str]]:
    """(position, rule) of up to `num_samples` rows: a third `gain`, a third `loss`, the rest `random`; none twice.

    Only rows that did gain or lose count as such; what is left of their share is drawn at random.
    """
    by_gain = sorted(range(len(gains)), key=lambda row: (-gains[row], ids[row]))
    third = num_samples // 3
    chosen = [(row, "gain") for row in by_gain[:third] if gains[row] > 0]
    chosen += [(row, "loss") for row in by_gain[::-1][:third] if gains[row] < 0]
    taken = {row for row, _ in chosen}
    others = [row for row in range(len(gains)) if row not in taken]
    drawn = stream(seed, "evaluate", "samples").sample(others, min(num_samples - len(chosen), len(others)))
    return chosen + [(row, "random") for row in sorted(drawn)]


def samples(
    test: Sequence[Example], answers: Sequence[Answers], rouge: Measure, *, num_samples: int, seed: int
) -> list[dict[str, Any]]:
    """The chosen rows with everything needed to show them; gain and loss are those in ROUGE-L."""
    scores = {system: result.per_item for system, result in rouge.results.items()}
    gains = [tuned - base for base, tuned in zip(scores["base"], scores["tuned"], strict=True)]
    verdicts = {item.system: check_requirements(test, item) for item in answers}
    return [
        {
            "id": test[row].id,
            "chosen": rule,
            "method": test[row].method,
            "task": test[row].task,
            "language": test[row].language,
            "prompt": [{"role": message.role, "content": message.content} for message in test[row].prompt],
            "reference": test[row].answer,
            **{
                item.system: {
                    "text": item.generations[row].text,
                    "finish_reason": item.generations[row].finish_reason,
                    "rougeL": scores[item.system][row],
                    "requirements": _kept(verdicts[item.system][row]),
                }
                for item in answers
            },
        }
        for row, rule in choose(gains, [example.id for example in test], num_samples, seed)
    ]


def _kept(verdicts: Sequence[Verdict]) -> dict[str, Any] | None:
    if not verdicts:
        return None
    broken = [verdict.reason for verdict in verdicts if not verdict.satisfied]
    return {"satisfied": not broken, "kept": len(verdicts) - len(broken), "asked": len(verdicts), "reasons": broken}
