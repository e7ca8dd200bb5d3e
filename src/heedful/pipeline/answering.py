"""Instructions, answered one by one with a model that is loaded once: requirements said, enforced, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from heedful.generate.engine import Engine, Handle, Request, Sampling
from heedful.pipeline.engines import keeping, new_engine
from heedful.pipeline.requiring import Wanted
from heedful.project.progress import Watcher
from heedful.project.randomness import stream
from heedful.records import FinishReason, Generation, Message, RequirementSpec, Usage

if TYPE_CHECKING:
    from heedful.requirements import Verdict

Treatment = Literal["enforced", "checked"]
"""Whether an answer was held to a requirement while it was written, or only looked at afterwards."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and whether it keeps each requirement. Printed, it is its text."""

    generation: Generation
    verdicts: tuple[Verdict, ...] = ()
    """One for each requirement, in their order."""
    requirements: tuple[RequirementSpec, ...] = ()
    """What it was to keep."""

    def __str__(self) -> str:
        return self.text

    @property
    def text(self) -> str:
        return self.generation.text

    @property
    def finish_reason(self) -> FinishReason:
        """`stop` when the model ended the answer, `length` when it was cut off, `cancelled` when nobody waited for the rest."""
        return self.generation.finish_reason

    @property
    def usage(self) -> Usage:
        return self.generation.usage

    @property
    def treated(self) -> tuple[Treatment, ...]:
        """What the engine says that it did about each requirement, in their order."""
        report = self.generation.constraint_report
        if report is not None and "treated" in report:
            return tuple(report["treated"])
        # Whoever enforces reports it, and enforces all that it was asked to enforce.
        return tuple("enforced" if report is not None and spec.enforce else "checked" for spec in self.requirements)

    @property
    def attempts(self) -> int:
        """How often it was asked for, to have the requirements kept."""
        return int((self.generation.constraint_report or {}).get("attempts", 1))

    @property
    def complaints(self) -> tuple[str, ...]:
        """One line for each requirement that is not met, with the reason; and one when the answer was cut off."""
        asked = f" (asked {self.attempts} times)" if self.attempts > 1 else ""
        broken = [f"not satisfied: {verdict.reason}{asked}" for verdict in self.verdicts if not verdict.satisfied]
        # Endpoints count all answers to a prompt together, and say so with the first.
        after = f" after {self.usage.completion_tokens} tokens" if self.usage.completion_tokens else ""
        cut = [f"cut off{after}; raise max_tokens (--max-tokens) to allow more"]
        return (*broken, *(cut if self.finish_reason == "length" else []))

    def as_dict(self) -> dict[str, Any]:
        """For `--json`; requirements, and what enforcing them did to the answer, only where there are any."""
        told: dict[str, Any] = {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "complaints": list(self.complaints),
        }
        if self.requirements:
            told["requirements"] = self.requirements_as_dicts()
            if report := self.generation.constraint_report:
                told["constraint_report"] = {name: value for name, value in report.items() if name != "treated"}
        return told

    def requirements_as_dicts(self) -> list[dict[str, Any]]:
        """What became of each requirement, for JSON."""
        return [
            {
                "kind": spec.kind,
                "parameters": dict(spec.parameters),
                "satisfied": verdict.satisfied,
                "reason": verdict.reason,
                "treated": treated,
            }
            for spec, verdict, treated in zip(self.requirements, self.verdicts, self.treated, strict=True)
        ]


class AnswerStream:
    """An answer as it is written: iterate for pieces of text, then read `answer`. Whoever stops early ends the writing.

    Iterate it or close it; the request of a stream that was left alone waits in the engine and is answered for nobody.
    """

    def __init__(self, handle: Handle, requirements: tuple[RequirementSpec, ...]) -> None:
        self._handle, self._requirements = handle, requirements

    def __iter__(self) -> Iterator[str]:
        try:
            for event in self._handle:
                if event.text:
                    yield event.text
        finally:
            # Without effect on an answer that is complete.
            self.close()

    @property
    def answer(self) -> Answer:
        """All that was written, checked; waits for what is not written yet."""
        (generation,) = self._handle.result()
        return checked(generation, self._requirements)

    def close(self) -> None:
        """Stop writing; what is written stays."""
        self._handle.cancel()


class Answerer:
    """A model that answers instructions. Safe to use from several threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @classmethod
    def load(cls, model: str, watcher: Watcher) -> Answerer:
        """Load `model`, a name on this machine or an endpoint (see `engines`)."""
        return cls(keeping(new_engine(model, watcher), model))

    def stream(self, instruction: str, input: str, wanted: Wanted, sampling: Sampling) -> AnswerStream:
        """Begin an answer; raises a UserError at once for what cannot be answered as asked."""
        prompt = prompt_of(instruction, input, wanted.said, seed=sampling.seed)
        request = Request("prompt", (Message("user", prompt),), sampling=sampling, requirements=wanted.all)
        return AnswerStream(self._engine.submit(request), wanted.all)

    def close(self) -> None:
        """Let go of the model."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def checked(generation: Generation, requirements: tuple[RequirementSpec, ...]) -> Answer:
    """A generation with a verdict on each requirement."""
    from heedful.requirements import check_all

    return Answer(generation, tuple(check_all(requirements, generation.text)), requirements)


def prompt_of(instruction: str, input: str, requirements: tuple[RequirementSpec, ...], *, seed: int) -> str:
    """The user's message: the instruction, sentences that ask for the requirements in its language, and the input."""
    from heedful.requirements import Language, say_all
    from heedful.text import detect_language

    language: Language = "zh" if detect_language(instruction) == "zh" else "en"
    said = say_all(requirements, language, rng=stream(seed, "wording")) if requirements else ""
    return "\n\n".join(part for part in (f"{instruction} {said}".strip(), input) if part)
