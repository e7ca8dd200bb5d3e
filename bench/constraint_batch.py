"""The batch of bench/constraints.py: 32 answers at a time, with requirements and without."""

from __future__ import annotations

import gc
import random
import time
from collections.abc import Callable
from statistics import median

from constraint_cases import WORDS
from heedful.generate.engine import Request, Sampling
from heedful.generate.local import LocalEngine
from heedful.models import LoadedModel
from heedful.records import Generation, Message, RequirementSpec
from heedful.requirements import parse

NUM_REQUESTS, MAX_TOKENS, ROUNDS = 32, 128, 3
_LOW, _HIGH = 70, 100
"""Words: most free answers would have a few more."""


def batch(loaded: LoadedModel, say: Callable[[str], None]) -> tuple[float, dict[str, bool]]:
    """Time per token with requirements over that without, less 1; and whether all requirements are kept."""
    seconds: dict[bool, list[float]] = {False: [], True: []}
    checks = {"all_satisfied": True, "all_finished": True}
    with LocalEngine(loaded, precision="int8") as engine:
        for enforced in (False, True):
            written(engine, enforced)
        # What peers have left behind is not looked through again whenever Python collects its garbage.
        gc.collect()
        gc.freeze()
        for _ in range(ROUNDS):
            for enforced in (False, True):
                started = time.perf_counter()
                answers = written(engine, enforced)
                spent = time.perf_counter() - started
                num_tokens = sum(len(answer.token_ids) for answer in answers)
                seconds[enforced].append(spent / num_tokens)
                say(
                    f"{'enforced' if enforced else 'free':<9} {num_tokens} tokens in {spent:.2f} s: {num_tokens / spent:.0f} tokens/s"
                )
                if enforced:
                    checks["all_finished"] &= all(answer.finish_reason == "stop" for answer in answers)
                    checks["all_satisfied"] &= all(map(is_kept, requests(True), answers))
    slowdown = median(seconds[True]) / median(seconds[False]) - 1
    say(f"a token takes {slowdown:+.1%} with requirements")
    return slowdown, checks


def requests(enforced: bool) -> list[Request]:
    found = []
    for number in range(NUM_REQUESTS):
        words = random.Random(number).sample(WORDS, 6)
        specs = (
            RequirementSpec("keywords", {"all": words}),
            RequirementSpec("words", {"minimum": _LOW, "maximum": _HIGH}),
        )
        message = Message("user", f"Write a story about {', '.join(words)}. It should have about {_HIGH} words.")
        found.append(
            Request(
                str(number),
                (message,),
                sampling=Sampling(max_tokens=MAX_TOKENS, temperature=0.0),
                requirements=specs if enforced else (),
            )
        )
    return found


def written(engine: LocalEngine, enforced: bool) -> list[Generation]:
    handles = [engine.submit(request) for request in requests(enforced)]
    return [handle.result()[0] for handle in handles]


def is_kept(request: Request, answer: Generation) -> bool:
    return all(parse(spec).check(answer.text).satisfied for spec in request.requirements)
