"""Our requirements against IFEval's reference verifiers: the same verdict on 834 instructions, kind by kind?

    make bench-ifeval_checks

Each instruction of IFEval's 541 prompts becomes requirements of ours (`heedful.requirements.ifeval`), and both sides judge the
released GPT-4 responses. Where they differ, the difference is listed below by the prompt's key with its reason: a defect of the
reference, another definition, or a limit of ours. A difference that is not listed makes the check `equal_or_explained` false, and
so does a listed one that is gone. The last line is JSON; its ratios are the shares of equal verdicts.
"""

from __future__ import annotations

import gzip
import json
import platform
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from heedful.requirements import check_all
from heedful.requirements.ifeval import INSTRUCTIONS, from_ifeval
from peers.environments import python_of

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "ifeval"
SIDE = Path(__file__).resolve().parent / "peers" / "ifeval_side.py"

_JOINS_LINES = "the reference ends no sentence at a line break, so that"
_LANGDETECT = "langdetect takes for"
EXPLAINED: dict[tuple[int, str], str] = {
    (1381, "length_constraints:number_sentences"): f"{_JOINS_LINES} headings such as (Verse 1) are part of the verse below them",
    (2041, "length_constraints:number_sentences"): f"{_JOINS_LINES} a letter's subject, greeting and first sentence are one",
    (2303, "length_constraints:number_sentences"): 'nupunkt takes "sun." at the end of a sentence for an abbreviation',
    (2859, "length_constraints:number_sentences"): f"{_JOINS_LINES} four sentences in XML elements of their own are one",
    (3256, "length_constraints:number_sentences"): f"{_JOINS_LINES} a poem's title is part of its first sentence; ours ends one at each line of verse that is followed by a capital",
    (3691, "length_constraints:number_sentences"): 'nupunkt takes "him." at the end of a sentence for an abbreviation',
    (1954, "length_constraints:nth_paragraph_first_word"): 'the reference does not end a word at a colon: "Summary:" is not the word "summary"',
    (1843, "change_case:english_lowercase"): f'{_LANGDETECT} Spanish: "coastal elegance properties"',
    (202, "change_case:english_lowercase"): f'{_LANGDETECT} German: "etchings"',
    (2341, "change_case:english_capital"): f'{_LANGDETECT} Welsh: "YES"',
    (2571, "change_case:english_capital"): f'{_LANGDETECT} Tagalog: "A"',
    (3456, "change_case:english_capital"): f"{_LANGDETECT} German: a list of English names, ABIGAIL SMITH and others",
}  # fmt: skip
"""By key of the prompt and id of the instruction: why the verdicts differ."""


class Item(NamedTuple):
    """One instruction of one prompt, and the response to judge."""

    key: int
    id: str
    kwargs: dict[str, Any]
    text: str


def items() -> list[Item]:
    """Prompts and responses are in the same order; one prompt was reworded between the two files."""
    prompts = [json.loads(line) for line in (DATA / "input_data.jsonl").read_text(encoding="utf-8").splitlines()]
    with gzip.open(DATA / "input_response_data_gpt4_20231107_145030.jsonl.gz", "rt", encoding="utf-8") as file:
        responses = [json.loads(line)["response"] for line in file]
    return [
        Item(prompt["key"], instruction, kwargs, response)
        for prompt, response in zip(prompts, responses, strict=True)
        for instruction, kwargs in zip(prompt["instruction_id_list"], prompt["kwargs"], strict=True)
    ]


def ours(item: Item) -> tuple[bool, str]:
    """Our verdict, and our reasons."""
    verdicts = check_all(from_ifeval(item.id, item.kwargs), item.text)
    return all(verdict.satisfied for verdict in verdicts), "; ".join(verdict.reason for verdict in verdicts)


def theirs(data: list[Item]) -> dict[str, Any]:
    """The reference's verdicts, in the same order, and the versions that gave them."""
    job = json.dumps([{"id": item.id, "kwargs": item.kwargs, "text": item.text} for item in data])
    done = subprocess.run([python_of("ifeval"), SIDE], input=job, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def main() -> None:
    data = items()
    reference = theirs(data)
    started = time.perf_counter()
    judged = [ours(item) for item in data]
    seconds = time.perf_counter() - started
    num_all, num_equal = Counter(item.id for item in data), Counter[str]()
    differing: set[tuple[int, str]] = set()
    for item, (verdict, reasons), expected in zip(data, judged, reference["verdicts"], strict=True):
        num_equal[item.id] += verdict == expected
        if verdict != expected:
            differing.add((item.key, item.id))
            why = EXPLAINED.get((item.key, item.id), "NOT EXPLAINED")
            print(f"{item.key} {item.id}: ours {verdict}, reference {expected}\n    ours: {reasons}\n    why:  {why}")
    print(f"\n{'instruction':<48} {'equal':>5} {'of':>4}")
    for name in INSTRUCTIONS:
        print(f"{name:<48} {num_equal[name]:>5} {num_all[name]:>4}")
    print(f"{'all':<48} {num_equal.total():>5} {num_all.total():>4}   ours took {seconds:.2f} s")
    result = {
        "bench": "ifeval_checks",
        "ratios": {
            **{name: round(num_equal[name] / num_all[name], 4) for name in INSTRUCTIONS},
            "all": round(num_equal.total() / num_all.total(), 4),
        },
        "checks": {
            "equal_or_explained": differing == set(EXPLAINED),
            "every_instruction_tried": set(num_all) == set(INSTRUCTIONS),
        },
        "machine": f"{platform.machine()}, {platform.system()}, one thread",
        "versions": {"python": platform.python_version(), **reference["versions"]},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
