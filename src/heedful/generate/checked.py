"""CheckedEngine: an engine that cannot hold its answers to requirements, asked again for those that do not keep them.

What the engine enforces itself is left to it (an endpoint and a JSON schema). Every answer is checked; one that breaks what it was to
keep is asked for again with another seed, and where tokens are sampled a little hotter. The best one stays. Each attempt is a
request of its own, so caches and budgets below see every one; when nothing more may be spent, the best so far stays.

An answer comes whole, as one event: what was shown could not be taken back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from threading import Event as Flag
from threading import Lock, Thread
from typing import Any

from heedful.errors import EngineError
from heedful.generate._base import ClosesItself
from heedful.generate.engine import Engine, Event, Handle, Request, Sampling, ScoreRequest, ScoreResult
from heedful.records import Generation, RequirementSpec, Usage
from heedful.requirements import Requirement, parse

_HOTTER, _HOTTEST = 0.2, 1.5
_NEXT_SEED = 1_000_003
"""Far enough that the answers of one request, whose seeds may follow each other, are not asked for again as another's."""
_NUM_SEEDS = 2**63

Enforced = Callable[[Sequence[RequirementSpec]], Sequence[RequirementSpec]]
"""Of several requirements, those that an engine enforces."""


class CheckedEngine(ClosesItself):
    """Any engine, with requirements checked. Closing it closes the engine within."""

    def __init__(
        self, engine: Engine, enforced: Enforced = lambda specs: (), *, max_attempts_requirements: int = 3
    ) -> None:
        """`enforced` tells what `engine` does itself; of `max_attempts_requirements` the first is the answer that anybody gets."""
        self._engine, self._enforced, self._max_attempts = engine, enforced, max_attempts_requirements
        self._lock = Lock()
        self._num_asked_again = 0

    @property
    def engine(self) -> Engine:
        """The one within, which knows what was spent."""
        return self._engine

    @property
    def identity(self) -> str:
        return self._engine.identity

    @property
    def description(self) -> str:
        """For people; empty where the engine within says nothing."""
        return str(getattr(self._engine, "description", ""))

    @property
    def is_independent(self) -> bool | None:
        """What the engine within says; None when it does not say."""
        return getattr(self._engine, "is_independent", None)

    @property
    def preferred_batch(self) -> int:
        return self._engine.preferred_batch

    @property
    def num_in_flight(self) -> int:
        return self._engine.num_in_flight

    @property
    def num_asked_again(self) -> int:
        """Requests beyond the first for each prompt."""
        return self._num_asked_again

    def submit(self, request: Request) -> Handle:
        """Queue the first attempt; raises what the engine within raises."""
        wanted = [spec for spec in request.requirements if spec.enforce]
        own = tuple(self._enforced(wanted))
        first = replace(request, requirements=own)
        if not wanted:
            return self._engine.submit(first)
        return CheckedHandle(self, request, own, self._send(first))

    def score(self, items: Iterable[ScoreRequest]) -> Iterator[ScoreResult]:
        """Scores of the engine within."""
        return self._engine.score(items)

    def close(self) -> None:
        """Close the engine within, which ends what is under way."""
        self._engine.close()

    @property
    def max_attempts(self) -> int:
        """How often an answer is asked for at most."""
        return self._max_attempts

    def send_again(self, request: Request) -> Handle:
        """One more attempt."""
        with self._lock:
            self._num_asked_again += 1
        return self._send(request)

    def _send(self, request: Request) -> Handle:
        # Nobody reads an attempt while it is written.
        whole: Callable[[Request], Handle] = getattr(self._engine, "submit_whole", self._engine.submit)
        return whole(request)


class CheckedHandle:
    """A request under way, perhaps for the third time. A thread of its own waits, so that many can be asked again together."""

    def __init__(
        self, engine: CheckedEngine, request: Request, own: tuple[RequirementSpec, ...], first: Handle
    ) -> None:
        self._engine, self._request, self._own = engine, request, own
        self._kept: list[Requirement] = [parse(spec) for spec in request.requirements if spec.enforce]
        self._handle, self._lock = first, Lock()
        self._is_cancelled, self._is_told = False, False
        self._outcome: tuple[Generation, ...] | Exception = ()
        self._done = Flag()
        Thread(target=self._work, name="checked", daemon=True).start()

    def __iter__(self) -> Iterator[Event]:
        """One event for each answer."""
        answers = self.result()
        with self._lock:
            already, self._is_told = self._is_told, True
        for generation in () if already else answers:
            yield Event(generation.index, generation.text, generation)

    def result(self) -> tuple[Generation, ...]:
        """Wait; raises the error of a first attempt that failed."""
        self._done.wait()
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome

    def cancel(self) -> None:
        """Ask no more; what there is stays."""
        with self._lock:
            self._is_cancelled = True
            handle = self._handle
        handle.cancel()

    def _work(self) -> None:
        try:
            self._outcome = self._best()
        except Exception as error:
            self._outcome = error
        self._done.set()

    def _best(self) -> tuple[Generation, ...]:
        best = list(self._handle.result())
        paid = [_paid(best)]
        times = [1] * len(best)
        seen = {answer.text for answer in best}
        stopped = ""
        for attempt in range(1, self._engine.max_attempts):
            broken = [place for place, answer in enumerate(best) if self._share(answer) < 1]
            if not broken or any(answer.finish_reason == "cancelled" for answer in best):
                break
            try:
                answers = self._asked_again(attempt, len(broken))
            except EngineError as error:
                # What was answered is paid for, and better than nothing.
                stopped = str(error)
                break
            if not answers:
                break
            paid.append(_paid(answers))
            for place, answer in zip(broken, answers, strict=True):
                times[place] += 1
                if self._share(answer) > self._share(best[place]):
                    best[place] = replace(answer, index=best[place].index)
            texts = {answer.text for answer in answers}
            # Whoever is greedy and heeds no seed says the same for ever.
            if self._request.sampling.temperature <= 0 and texts <= seen:
                break
            seen |= texts
        return self._told(best, times, paid, stopped)

    def _asked_again(self, attempt: int, number: int) -> tuple[Generation, ...]:
        """Answers of another attempt; none when nobody waits for them any more."""
        sampling = again(self._request.sampling, attempt, number)
        request = replace(self._request, sampling=sampling, requirements=self._own)
        with self._lock:
            if self._is_cancelled:
                return ()
            self._handle = self._engine.send_again(request)
        answers = self._handle.result()
        return () if any(answer.finish_reason == "cancelled" for answer in answers) else answers

    def _share(self, answer: Generation) -> float:
        """How nearly an answer keeps what it was to keep; 1 exactly when it keeps all."""
        return fmean(requirement.check(answer.text).fraction for requirement in self._kept)

    def _told(
        self, best: Sequence[Generation], times: Sequence[int], paid: Sequence[Usage], stopped: str
    ) -> tuple[Generation, ...]:
        told = [
            replace(answer, constraint_report=self._report(answer, asked, stopped))
            for answer, asked in zip(best, times, strict=True)
        ]
        if len(paid) == 1:
            return tuple(told)
        # Of all attempts together, told once, as endpoints do it: it is what is paid.
        total = Usage(sum(one.prompt_tokens for one in paid), sum(one.completion_tokens for one in paid))
        return tuple(replace(answer, usage=Usage() if place else total) for place, answer in enumerate(told))

    def _report(self, answer: Generation, attempts: int, stopped: str) -> dict[str, Any]:
        treated = ["enforced" if self._was_enforced(spec, answer) else "checked" for spec in self._request.requirements]
        return {"treated": treated, "attempts": attempts, **({"stopped_by": stopped} if stopped else {})}

    def _was_enforced(self, spec: RequirementSpec, answer: Generation) -> bool:
        """By the engine within: whoever ends an answer that breaks a requirement has not enforced it, whatever it was asked."""
        return spec in self._own and (answer.finish_reason != "stop" or parse(spec).check(answer.text).satisfied)


def again(sampling: Sampling, attempt: int, number: int) -> Sampling:
    """How `number` answers are asked for the `attempt`th time more: another seed, and what is sampled is sampled hotter."""
    temperature = sampling.temperature
    if 0 < temperature < _HOTTEST:
        temperature = min(temperature + attempt * _HOTTER, _HOTTEST)
    seed = (sampling.seed + attempt * _NEXT_SEED) % _NUM_SEEDS
    return replace(sampling, temperature=round(temperature, 6), seed=seed, n=number)


def _paid(answers: Sequence[Generation]) -> Usage:
    """Of one attempt: the prompt was read once, however many answers there are."""
    read = max((answer.usage.prompt_tokens for answer in answers), default=0)
    return Usage(read, sum(answer.usage.completion_tokens for answer in answers))
