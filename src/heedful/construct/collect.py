"""Candidates -> exactly N accepted examples, or a statement that says why not.

Candidates come in numbered draws and are decided in that order; a round (the draws that are made together) is one
line of the journal. After a kill the journal's rounds are taken over and the next draw continues: the same control
flow runs, only that rounds come from the journal while it has some, so the result is that of an uninterrupted run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from heedful.construct.novelty import NoveltyGate
from heedful.project import Journal, Watcher, steps
from heedful.records import Example, Message, example_from_row, example_to_row
from heedful.requirements import satisfied


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that passed its method's own filters."""

    example: Example
    novel_text: str = ""
    """What the novelty gate compares; empty where it does not apply."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A draw from which its method could make no row, and why."""

    reason: str
    text: str


Proposal = Candidate | Refusal


@dataclass(frozen=True, slots=True)
class Rejection:
    """A candidate that was not accepted."""

    method: str
    draw: int
    reason: str
    text: str
    """What was rejected, as far as it got."""

    def as_dict(self) -> dict[str, Any]:
        """The row of the rejected file."""
        return asdict(self)


class Method(Protocol):
    """One way to make examples."""

    @property
    def name(self) -> str: ...

    def round_size(self, missing: int) -> int:
        """How many draws to make together when `missing` examples are still wanted."""

    def propose(self, draws: range, accepted: Sequence[Example]) -> list[Proposal]:
        """A proposal for each draw, in order; fewer when there is nothing left to draw from.

        A function of the draw numbers and of what is accepted so far, never of time.
        """


@dataclass(frozen=True, slots=True)
class Collected:
    """What one method yielded."""

    method: str
    asked: int
    accepted: int
    candidates: int
    limit: int
    exhausted: bool
    rejections: Counter[str]

    @property
    def missing(self) -> int:
        return self.asked - self.accepted

    def describe(self) -> str:
        """In words: how many of how many, from how many candidates, and why not more."""
        text = f"{self.method}: {self.accepted} of {self.asked} accepted from {self.candidates} candidates"
        if self.missing:
            end = "there was nothing left to draw from" if self.exhausted else f"the limit is {self.limit}"
            text += f" ({end})"
        if self.rejections:
            counts = ", ".join(f"{count} {reason}" for reason, count in self.rejections.most_common())
            text += f"; rejected: {counts}"
        return text


class Collector:
    """Decides on candidates and remembers what was decided, in memory and in the journal."""

    def __init__(
        self, journal: Journal, identity: str, seeds: Iterable[Example], gate: NoveltyGate, watcher: Watcher
    ) -> None:
        """`gate` already knows the seeds; what is accepted is added to it."""
        self._journal, self._gate, self._watcher = journal, gate, watcher
        self._seen = {seed.prompt for seed in seeds}
        self.accepted: list[Example] = []
        self.rejections: list[Rejection] = []
        self._past = self._open(identity)

    def collect(self, method: Method, asked: int, limit: int) -> Collected:
        """Draw until `asked` are accepted, `limit` candidates were tried, or nothing is left."""
        first, num_accepted, exhausted = 0, 0, False
        reasons: Counter[str] = Counter()
        # Candidates are what takes time, and each method has its own pace; so each has its own estimate.
        with steps(self._watcher, f"construct by {method.name}", limit, "candidates") as progress:
            while num_accepted < asked and first < limit and not exhausted:
                entry = self._next_round(method, first, limit, asked - num_accepted)
                kept = [decision["reason"] for decision in entry["decisions"]]
                num_accepted += kept.count("")
                reasons.update(reason for reason in kept if reason)
                first, exhausted = first + len(kept), entry["exhausted"]
                progress.advance(len(kept), f"{num_accepted} of {asked} accepted")
        return Collected(method.name, asked, num_accepted, first, limit, exhausted, reasons)

    def _next_round(self, method: Method, first: int, limit: int, missing: int) -> dict[str, Any]:
        """The journal's next round while it has one, else a new one, made and written down."""
        entry = next(self._past, None)
        if entry is None:
            draws = range(first, min(limit, first + method.round_size(missing)))
            entry = self._round(method, draws, missing)
            self._journal.append(entry)
        else:
            assert (entry["method"], entry["first"]) == (method.name, first), f"the journal's next round is {entry}"
            self._take_over(entry)
        return entry

    def _open(self, identity: str) -> Iterator[dict[str, Any]]:
        entries = self._journal.read()
        if not entries:
            self._journal.append({"identity": identity})
        else:
            assert entries[0] == {"identity": identity}, "the journal belongs to other settings or inputs"
        return iter(entries[1:])

    def _round(self, method: Method, draws: range, missing: int) -> dict[str, Any]:
        proposals = method.propose(draws, self.accepted)
        assert len(proposals) <= len(draws), f"{method.name} proposed more than it was asked for"
        decisions = []
        for draw, proposal in zip(draws, proposals, strict=False):
            reason = self._why_not(proposal, missing)
            decisions.append(_decision(proposal, reason))
            self._apply(method.name, draw, decisions[-1])
            missing -= not reason
        exhausted = len(proposals) < len(draws)
        return {"method": method.name, "first": draws.start, "decisions": decisions, "exhausted": exhausted}

    def _why_not(self, proposal: Proposal, missing: int) -> str:
        """The reason to reject a proposal, given all decisions before it; empty when there is none."""
        if isinstance(proposal, Refusal):
            return proposal.reason
        if not missing:
            return "enough"
        if not satisfied(proposal.example.requirements, proposal.example.answer):
            return "reference_fails_requirement"
        if proposal.example.prompt in self._seen:
            return "duplicate_prompt"
        return "not_novel" if proposal.novel_text and not self._gate.is_novel(proposal.novel_text) else ""

    def _take_over(self, entry: dict[str, Any]) -> None:
        for draw, decision in enumerate(entry["decisions"], start=entry["first"]):
            self._apply(entry["method"], draw, decision)

    def _apply(self, method: str, draw: int, decision: dict[str, Any]) -> None:
        if decision["reason"]:
            self.rejections.append(Rejection(method, draw, decision["reason"], decision["text"]))
            return
        example = example_from_row(decision["example"])
        self.accepted.append(example)
        self._seen.add(example.prompt)
        if decision["novel_text"]:
            self._gate.add(decision["novel_text"])


def instruction_text(prompt: Sequence[Message]) -> str:
    """The instruction of a prompt: its last user turn up to the first blank line; what follows is its input."""
    turns = [message.content for message in prompt if message.role == "user"]
    return turns[-1].strip().split("\n\n", 1)[0].strip() if turns else ""


def _decision(proposal: Proposal, reason: str) -> dict[str, Any]:
    """As the journal keeps it: JSON values only, so that a decision taken over is the decision that was made."""
    if isinstance(proposal, Refusal):
        return {"reason": reason, "text": proposal.text}
    if reason:
        turns = [f"{message.role}: {message.content}" for message in proposal.example.messages]
        return {"reason": reason, "text": "\n".join(turns)}
    return {"reason": "", "example": example_to_row(proposal.example), "novel_text": proposal.novel_text}
