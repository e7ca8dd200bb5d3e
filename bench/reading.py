"""What is read from IFEval's prompts, against the instructions that its authors annotated: recall and precision per kind.

    make bench-reading

541 prompts. What `read_requirements` finds in a prompt is compared with `from_ifeval` of its annotations, requirement by
requirement; a prompt is exact when all are found with their parameters and nothing else is. How something is counted
(`definition`, `match`, `loose`, a code fence around JSON) is not compared: the instructions do not say it. Bounds on the
same thing are joined first, because IFEval writes "20 to 25" as two instructions; the English that its case instructions
imply may be read or not. The rules were written with the even rows in view, and the odd ones, at first unseen, were looked at once
later (75 % of them were exact before); they are printed apart.
The last line is JSON.

HEEDFUL_SHARED_DATA   the folder with the development data; default ../shared/data
HEEDFUL_READING_SHOW  print so many prompts that are not exact, with what is missing and what is too much
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.records import RequirementSpec
from heedful.requirements.ifeval import from_ifeval
from heedful.requirements.reading import read_requirements

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HEEDFUL_SHARED_DATA", HERE.parent.parent / "shared" / "data"))
SHOW = int(os.environ.get("HEEDFUL_READING_SHOW", "0"))
COUNTED = {
    "words",
    "characters",
    "sentences",
    "bullets",
    "paragraphs",
    "capitals",
    "letters",
    "placeholders",
    "highlights",
    "sections",
}
ENGLISH = ("language", "en")

Key = tuple[Any, ...]
Bounds = tuple[int, float]
Facts = dict[Key, Bounds]


def facts(specs: Iterable[RequirementSpec]) -> Facts:
    """What specs ask for, such that two ways to ask for the same are equal: a thing, and how often it may be there."""
    joined: Facts = {}
    for spec in specs:
        for key, (low, high) in _facts(spec.kind, dict(spec.parameters)):
            least, most = joined.get(key, (0, float("inf")))
            joined[key] = (max(low, least), min(high, most))
    return joined


def _facts(kind: str, values: dict[str, Any]) -> Iterator[tuple[Key, Bounds]]:
    if kind in COUNTED:
        thing = str(values.get("letter", values.get("splitter", values.get("separator", "")))).casefold()
        exactly = values.get("exactly")
        low = exactly if exactly is not None else values.get("minimum", 0)
        # Whatever is an answer has a word and a sentence.
        low = 0 if low == 1 and kind in {"words", "sentences"} else low
        yield (kind, thing), (low, exactly if exactly is not None else values.get("maximum", float("inf")))
    elif kind == "keywords" and values.get("all"):
        for phrase in values["all"]:
            yield ("word", phrase.casefold()), (values.get("times", 1), values.get("maximum", float("inf")))
    elif kind == "forbidden":
        for phrase in values["words"]:
            yield ("word", phrase.casefold()), (0, 0)
    elif kind in {"keywords", "choice"}:
        options = values.get("any") or values.get("options") or ()
        yield ("choice", frozenset(option.casefold().strip(".") for option in options)), (1, 1)
    else:
        named = [
            str(values[name]).strip(" .").casefold()
            for name in ("text", "marker", "language", "case", "word")
            if name in values
        ]
        numbers = [values[name] for name in ("paragraphs", "paragraph") if name in values]
        yield (kind, *named, *numbers), (1, 1)


@dataclass(frozen=True)
class Compared:
    """What a prompt's annotations ask for and what was read from it."""

    wanted: Facts
    got: Facts
    names: dict[Key, str]
    """Which annotation a fact comes from."""

    @property
    def exact(self) -> bool:
        return self.wanted == self.got


def compare(row: dict[str, Any]) -> Compared:
    """A row of the data set against what is read from its prompt."""
    named = list(zip(row["instruction_id_list"], row["kwargs"], strict=True))
    names: dict[Key, str] = {}
    for name, kwargs in named:
        names |= dict.fromkeys(facts(from_ifeval(name, kwargs)), name)
    wanted = facts(spec for name, kwargs in named for spec in from_ifeval(name, kwargs))
    got = facts(found.spec for found in read_requirements(row["prompt"]))
    if ENGLISH in wanted and "language:response_language" not in row["instruction_id_list"]:
        wanted.pop(ENGLISH)
        got.pop(ENGLISH, None)
    return Compared(wanted, got, names)


def main() -> None:
    rows = [json.loads(line) for line in (DATA / "ifeval" / "input_data.jsonl").open(encoding="utf-8")]
    right, annotated, read, exact = Counter[str](), Counter[str](), Counter[str](), [0, 0]
    read_requirements("")  # the first call reads the wordings
    start = time.perf_counter()
    for row in rows:
        read_requirements(row["prompt"])
    seconds = time.perf_counter() - start
    shown = 0
    for number, row in enumerate(rows):
        one = compare(row)
        kinds = {key[0]: name for key, name in one.names.items()}
        for key, bounds in one.wanted.items():
            annotated[one.names[key]] += 1
            right[one.names[key]] += one.got.get(key) == bounds
        for key in one.got:
            read[one.names.get(key) or kinds.get(key[0]) or f"not annotated: {key[0]}"] += 1
        exact[number % 2] += one.exact
        if not one.exact and shown < SHOW:
            shown += 1
            missing, extra = one.wanted.items() - one.got.items(), one.got.items() - one.wanted.items()
            print(f"#{number} {row['prompt']}\n   missing {missing}\n   too much {extra}\n")
    report(right, annotated, read, exact, len(rows), seconds)


def report(
    right: Counter[str], annotated: Counter[str], read: Counter[str], exact: list[int], rows: int, seconds: float
) -> None:
    print(f"{'kind':45} {'annotated':>9} {'read':>6} {'right':>6} {'recall':>7} {'precision':>9}")
    for name in sorted(annotated | read):
        recall = right[name] / annotated[name] if annotated[name] else float("nan")
        precision = right[name] / read[name] if read[name] else float("nan")
        print(f"{name:45} {annotated[name]:9} {read[name]:6} {right[name]:6} {recall:7.3f} {precision:9.3f}")
    even, odd = (rows + 1) // 2, rows // 2
    total_right = right.total()
    ratios = {
        "prompts_exact": round(sum(exact) / rows, 4),
        "prompts_exact_odd_rows": round(exact[1] / odd, 4),
        "recall": round(total_right / annotated.total(), 4),
        "precision": round(total_right / read.total(), 4),
        "milliseconds_per_prompt": round(1000 * seconds / rows, 3),
    }
    print(
        f"exact: {exact[0]} of {even} even rows, {exact[1]} of {odd} odd rows; {1000 * seconds / rows:.2f} ms per prompt"
    )
    checks = {"prompts_exact_at_least_0.70": ratios["prompts_exact"] >= 0.7}
    print(json.dumps({"bench": "reading", "ratios": ratios, "checks": checks}))


if __name__ == "__main__":
    main()
