"""2,000 compositions with a known solution, enforced on the real model and on random logits: all kept and finished, few refused.

    make bench-planted

The compositions (tests/support/planted.py) are read off real sentences and documents in English and Chinese: 1 to 6 kinds, up to 20
keywords, JSON objects with keywords and counts. The budget is the solution's length in tokens and a quarter more, then twice its length. Answers are judged by a
checker that shares no code with `heedful.requirements` (tests/support/independent_checker.py), as far as it decides, and by `check`. 500
contradictory compositions must all be refused, naming the conflict. The last line is JSON.

HEEDFUL_SHARED_DATA    the folder with the development data; default ../shared/data
HEEDFUL_BENCH_ITEMS    fewer compositions for a quick look; claims need all 2,000
"""

from __future__ import annotations

import json
import math
import os
import platform
import sys
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "support"))
os.environ.setdefault("HEEDFUL_SHARED_DATA", str(HERE.parent.parent / "shared" / "data"))

from contradictions import contradictory  # noqa: E402
from heedful.constraints import TokenTable, compose  # noqa: E402
from heedful.errors import RequirementError  # noqa: E402
from heedful.generate.engine import Request, Sampling  # noqa: E402
from heedful.generate.local import LocalEngine  # noqa: E402
from heedful.models import LoadedModel, load  # noqa: E402
from heedful.models.vocabulary import Vocabulary  # noqa: E402
from heedful.records import Message, RequirementSpec  # noqa: E402
from heedful.render import renderer_for  # noqa: E402
from heedful.requirements import check_all, say_all  # noqa: E402
from independent_checker import OutsideDomainError, satisfies  # noqa: E402
from planted import Planted, planted  # noqa: E402
from walking import Walk  # noqa: E402

MODEL = "smollm2-135m-instruct-q4_1"
NUM_ITEMS = int(os.environ.get("HEEDFUL_BENCH_ITEMS", "2000"))
LOOSENESS = (1.25, 2.0)


def main() -> None:
    loaded = load(MODEL)
    table = token_table(loaded)
    items = list(planted(seed=0, count=NUM_ITEMS))
    ratios: dict[str, float] = {}
    checks: dict[str, bool] = {}
    for looseness in LOOSENESS:
        for name, write in (("random", random_answers), ("model", model_answers)):
            start = time.perf_counter()
            texts, refused = write(loaded, table, items, looseness)
            undecided: Counter[str] = Counter()
            broken = [item for item, text in texts if not kept(item, text, undecided)]
            key = f"{name}_{looseness}"
            ratios[f"refused_{key}"] = round(refused.total() / len(items), 4)
            checks[f"all_kept_{key}"], checks[f"few_refused_{key}"] = not broken, refused.total() <= 0.02 * len(items)
            say(
                f"{name}, budget {looseness:g} times the solution: {len(texts)} finished, {len(texts) - len(broken)} kept, "
                f"{refused.total()} refused ({refused.total() / len(items):.2%}: {dict(refused)}), "
                f"{time.perf_counter() - start:.0f} s; not decided by the independent checker: {dict(undecided)}"
            )
    contradictions = list(contradictory(seed=0, count=500))
    named = sum(refusal_names(item, table) for item in contradictions)
    say(f"contradictory: {named} of {len(contradictions)} refused, naming the conflict")
    checks["contradictions_refused_by_name"] = named == len(contradictions)
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("torch", "jsonschema")},
    }
    print(json.dumps({"bench": "planted", "ratios": ratios, "checks": checks, **about}))


def token_table(loaded: LoadedModel) -> TokenTable:
    backend = loaded.tokenizer.backend_tokenizer
    vocabulary = Vocabulary(backend)
    data = [vocabulary.token(index).data or b"" for index in range(backend.get_vocab_size())]
    return TokenTable(data, renderer_for(loaded).end_of_turn_ids)


def budget(item: Planted, loaded: LoadedModel, looseness: float) -> int:
    size = len(loaded.tokenizer(item.solution, add_special_tokens=False)["input_ids"]) + 1
    return math.ceil(size * looseness)


Answers = tuple[list[tuple[Planted, str]], Counter[str]]


def random_answers(loaded: LoadedModel, table: TokenTable, items: list[Planted], looseness: float) -> Answers:
    texts, refused = [], Counter[str]()
    for number, item in enumerate(items):
        size = budget(item, loaded, looseness)
        try:
            composition = compose(item.specs, table, max_tokens=size)
        except RequirementError:
            refused[item.family] += 1
            continue
        walk = Walk(composition, table, number)
        assert len(walk.tokens) <= size
        texts.append((item, walk.text))
    return texts, refused


def model_answers(loaded: LoadedModel, table: TokenTable, items: list[Planted], looseness: float) -> Answers:
    texts, refused, handles = [], Counter[str](), []
    with LocalEngine(loaded, precision="int8") as engine:
        for number, item in enumerate(items):
            prompt = "写一段文字。" if item.language == "zh" else "Write a text. "
            request = Request(
                str(number),
                (Message("user", prompt + say_all(item.specs, item.language)),),
                sampling=Sampling(max_tokens=budget(item, loaded, looseness)),
                requirements=tuple(item.specs),
            )
            try:
                handles.append((item, engine.submit(request)))
            except RequirementError:
                refused[item.family] += 1
        for item, handle in handles:
            (answer,) = handle.result()
            assert answer.finish_reason == "stop", item
            texts.append((item, answer.text))
    return texts, refused


def kept(item: Planted, text: str, undecided: Counter[str]) -> bool:
    """By both checkers; the independent one never is certain that a text is not in a language."""
    for spec in item.specs:
        try:
            if not satisfies(spec.kind, spec.parameters, text):
                if spec.kind == "language":
                    undecided[spec.kind] += 1
                else:
                    say(f"BROKEN {spec.as_dict()}: {text[:200]!r}")
                    return False
        except OutsideDomainError:
            undecided[spec.kind] += 1
    return all(verdict.satisfied for verdict in check_all(item.specs, text))


def refusal_names(item: Any, table: TokenTable) -> bool:
    specs: tuple[RequirementSpec, ...] = item.specs
    try:
        compose(specs, table, max_tokens=400)
    except RequirementError as error:
        return bool(item.is_named_in(str(error)))
    return False


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    main()
