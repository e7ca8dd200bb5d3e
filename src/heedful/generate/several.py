"""Several sampled answers -> one: the likeliest (`best_of`), or what most of them agree on (`majority`).

for generation in best_of(engine, requests, 8):
    ...
for agreement in majority(engine, requests, 8):
    print(agreement.answer, agreement.share, agreement.generation.text)

`likeliest` and `vote` do the choosing alone, for those who have the samples. A chosen answer's usage is that of all samples:
the prompt once, since engines read it once, and every token that was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean

from heedful.errors import InputError
from heedful.generate.engine import Engine, Request, generate
from heedful.generate.final_answer import final_answer
from heedful.records import Generation, Usage


@dataclass(frozen=True, slots=True)
class Agreement:
    """What most samples of one answer say in the end."""

    answer: str
    """As it was extracted from the texts; empty when no sample has one."""
    generation: Generation
    """The likeliest of the samples that say so; its usage is that of all."""
    votes: tuple[tuple[str, int], ...]
    """Each answer with the number of samples that give it, the winner first. Samples without an answer have no vote."""
    num_samples: int

    @property
    def share(self) -> float:
        """Of all samples, those that give this answer."""
        return self.votes[0][1] / self.num_samples if self.votes else 0.0


def best_of(engine: Engine, requests: Iterable[Request], num_samples: int) -> Iterator[Generation]:
    """For each request, in order, the sample with the highest mean log-probability per token.

    The engine must tell log-probabilities. Raises InputError where all samples would be equal.
    """
    asked = (sampled(request, num_samples, logprobs=True) for request in requests)
    for samples in _grouped(generate(engine, asked), num_samples):
        yield likeliest(samples)


def majority(
    engine: Engine,
    requests: Iterable[Request],
    num_samples: int,
    answer: Callable[[str], str] = final_answer,
    *,
    ties_by_likelihood: bool = True,
) -> Iterator[Agreement]:
    """For each request, in order, what most samples agree on: self-consistency, arXiv:2203.11171.

    `answer` finds the final answer in a text, in a form that equal answers share, and returns "" where there is none. Of answers
    with equally many votes the likelier one wins, then the one seen first. `ties_by_likelihood`: False asks for no
    log-probabilities, which not every engine tells; then the one seen first wins at once.
    """
    asked = (sampled(request, num_samples, logprobs=ties_by_likelihood) for request in requests)
    for samples in _grouped(generate(engine, asked), num_samples):
        yield vote(samples, answer)


def sampled(request: Request, num_samples: int, *, logprobs: bool) -> Request:
    """The request for that many samples; raises InputError where choosing among them makes no sense."""
    sampling = request.sampling
    if num_samples < 1:
        raise InputError(f"request {request.id!r}: {num_samples} samples, expected at least 1")
    if sampling.n not in (1, num_samples):
        raise InputError(
            f"request {request.id!r}: n is {sampling.n}, and one of {num_samples} samples is wanted; leave n at 1"
        )
    if num_samples > 1 and (sampling.temperature <= 0 or sampling.top_k == 1):
        greedy, remedy = ("temperature is 0", "set temperature above 0, for example to 0.7")
        if sampling.temperature > 0:
            greedy, remedy = ("top_k is 1", "leave top_k at 0, which is no limit")
        raise InputError(
            f"request {request.id!r}: {greedy}, which is greedy: all {num_samples} samples would be equal; {remedy}"
        )
    return replace(request, sampling=replace(sampling, n=num_samples), logprobs=request.logprobs or logprobs)


def likelihood(generation: Generation) -> float:
    """Mean log-probability per token; minus infinity for an answer without tokens or log-probabilities."""
    return fmean(generation.logprobs) if generation.logprobs else float("-inf")


def by_likelihood(samples: Iterable[Generation]) -> list[Generation]:
    """The likeliest first; equally likely ones as they came."""
    return sorted(samples, key=likelihood, reverse=True)


def likeliest(samples: Sequence[Generation]) -> Generation:
    """The sample with the highest mean log-probability per token, the first of equals."""
    return replace(by_likelihood(samples)[0], usage=total_usage(samples))


def vote(samples: Sequence[Generation], answer: Callable[[str], str] = final_answer) -> Agreement:
    """What most of `samples` agree on; see `majority`."""
    camps: dict[str, list[Generation]] = {}
    for sample in samples:
        camps.setdefault(answer(sample.text), []).append(sample)
    said = {text: camp for text, camp in camps.items() if text}
    # Sorting keeps equals in the order in which they were seen.
    ranked = sorted(said.items(), key=lambda item: (-len(item[1]), -fmean(map(likelihood, item[1]))))
    winner, camp = ranked[0] if ranked else ("", list(samples))
    return Agreement(
        answer=winner,
        generation=replace(likeliest(camp), usage=total_usage(samples)),
        votes=tuple((text, len(members)) for text, members in ranked),
        num_samples=len(samples),
    )


def total_usage(samples: Iterable[Generation]) -> Usage:
    """The prompt once, and all that was written; right also where an engine tells the sum with its first answer."""
    read, written = 0, 0
    for sample in samples:
        read, written = max(read, sample.usage.prompt_tokens), written + sample.usage.completion_tokens
    return Usage(read, written)


def _grouped(generations: Iterator[Generation], size: int) -> Iterator[list[Generation]]:
    """The samples of one request after the other."""
    # A size that is none is refused with the first request, which must be asked for.
    while group := list(islice(generations, max(size, 1))):
        yield group
