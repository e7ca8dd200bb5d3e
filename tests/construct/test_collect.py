"""Exactly N or a reason; the journal holds every decision, and a run that continues ends as one that never stopped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heedful.construct.collect import Candidate, Collected, Collector, Proposal, Refusal
from heedful.construct.novelty import NoveltyGate
from heedful.project import Journal, Silent
from heedful.records import Example, RequirementSpec, conversation, derived_id

OpenJournal = Callable[..., Journal]


@dataclass
class Scripted:
    """Draw n is what `outcomes[n]` says; each candidate also tells how many rows were accepted when it was made."""

    outcomes: Sequence[str]
    size: int = 3
    name: str = "scripted"
    proposed: list[int] = field(default_factory=list)

    def round_size(self, missing: int) -> int:
        return self.size

    def propose(self, draws: range, accepted: Sequence[Example]) -> list[Proposal]:
        self.proposed += draws
        return [self._one(draw, self.outcomes[draw], len(accepted)) for draw in draws if draw < len(self.outcomes)]

    def _one(self, draw: int, outcome: str, num_accepted: int) -> Proposal:
        if outcome == "refused":
            return Refusal("refused", f"draw {draw}")
        instruction = "Say the same again." if outcome == "duplicate" else f"Say {draw} after {num_accepted}."
        requirements = (RequirementSpec("words", {"maximum": 1}),) if outcome == "fails" else ()
        example = Example(
            derived_id("scripted", [], draw), conversation(instruction, f"two words {draw}"), "scripted", "test", requirements=requirements
        )  # fmt: skip
        return Candidate(example, "write a poem about the long summer" if outcome == "stale" else "")


def collect(method: Scripted, journal: Journal, asked: int, limit: int = 100) -> tuple[Collected, Collector]:
    collector = Collector(journal, "identity", [], NoveltyGate(0.7), Silent())
    return collector.collect(method, asked, limit), collector


def test_exactly_as_many_as_asked_and_the_rest_of_the_round_was_enough(open_journal: OpenJournal) -> None:
    outcome, collector = collect(Scripted(["fine"] * 10), open_journal(), 4)
    assert (outcome.accepted, outcome.candidates, outcome.missing) == (4, 6, 0)
    assert [rejection.reason for rejection in collector.rejections] == ["enough", "enough"]
    assert [rejection.draw for rejection in collector.rejections] == [4, 5]


def test_every_reason(open_journal: OpenJournal) -> None:
    outcomes = ["refused", "fails", "duplicate", "duplicate", "stale", "stale", "fine"]
    outcome, collector = collect(Scripted(outcomes), open_journal(), 10)
    assert dict(outcome.rejections) == {
        "refused": 1, "reference_fails_requirement": 1, "duplicate_prompt": 1, "not_novel": 1,
    }  # fmt: skip
    assert outcome.candidates == outcome.accepted + len(collector.rejections) == 7
    assert [rejection.draw for rejection in collector.rejections] == [0, 1, 3, 5]
    assert collector.rejections[1].text == "user: Say 1 after 0.\nassistant: two words 1"


def test_nothing_left_and_the_limit_are_said(open_journal: OpenJournal) -> None:
    exhausted, _ = collect(Scripted(["fine", "refused"]), open_journal("a"), 4)
    assert exhausted.describe() == (
        "scripted: 1 of 4 accepted from 2 candidates (there was nothing left to draw from); rejected: 1 refused"
    )
    limited, _ = collect(Scripted(["refused"] * 50), open_journal("b"), 2, limit=8)
    assert limited.describe() == "scripted: 0 of 2 accepted from 8 candidates (the limit is 8); rejected: 8 refused"


def test_asking_for_nothing_draws_nothing(open_journal: OpenJournal) -> None:
    method = Scripted(["fine"])
    assert collect(method, open_journal(), 0)[0].candidates == 0
    assert method.proposed == []


OUTCOMES = [
    "fine",
    "refused",
    "fine",
    "stale",
    "fails",
    "fine",
    "stale",
    "duplicate",
    "fine",
    "duplicate",
    "fine",
    "fine",
]


def whole_run(journal: Journal) -> tuple[Collected, list[Example], list[object]]:
    outcome, collector = collect(Scripted(OUTCOMES), journal, 7)
    return outcome, collector.accepted, list(collector.rejections)


def test_a_run_that_continues_ends_as_one_that_never_stopped(open_journal: OpenJournal, tmp_path: Path) -> None:
    # Prompts tell how many rows were accepted before: a wrong state at the restart would show in every later row.
    expected = whole_run(open_journal("whole"))
    data = (tmp_path / "whole").read_bytes()
    assert data.count(b"\n") == 5
    # Every place at which a process can die while it writes: after each line, and within it.
    for length in range(0, len(data), 29):
        (tmp_path / "cut").write_bytes(data[:length])
        journal = open_journal("cut")
        assert whole_run(journal) == expected, f"stopped after {length} bytes"
        journal.close()
        assert (tmp_path / "cut").read_bytes() == data


def test_what_the_journal_holds_is_not_drawn_again(open_journal: OpenJournal, tmp_path: Path) -> None:
    whole_run(open_journal("whole"))
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    (tmp_path / "cut").write_bytes(b"".join(lines[:3]))
    method = Scripted(OUTCOMES)
    collect(method, open_journal("cut"), 7)
    assert method.proposed == [6, 7, 8, 9, 10, 11]


def test_a_journal_of_other_settings_is_our_own_mistake(open_journal: OpenJournal) -> None:
    open_journal().append({"identity": "another"})
    with pytest.raises(AssertionError, match="other settings or inputs"):
        collect(Scripted(["fine"]), open_journal(), 1)
