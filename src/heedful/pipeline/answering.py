"""Instructions, answered one by one with a model that is loaded once: requirements said in the prompt, answers checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from heedful.errors import InputError
from heedful.generate.engine import Engine, Handle, Request, Sampling
from heedful.pipeline.engines import new_engine
from heedful.project.progress import Watcher
from heedful.project.randomness import stream
from heedful.records import FinishReason, Generation, Message, RequirementSpec, Usage

if TYPE_CHECKING:
    from heedful.requirements import Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and whether it keeps each requirement. Printed, it is its text."""

    generation: Generation
    verdicts: tuple[Verdict, ...] = ()
    """One for each requirement, in their order."""

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
    def complaints(self) -> tuple[str, ...]:
        """One line for each requirement that is not met, with the reason; and one when the answer was cut off."""
        broken = [f"not satisfied: {verdict.reason}" for verdict in self.verdicts if not verdict.satisfied]
        # Endpoints count all answers to a prompt together, and say so with the first.
        after = f" after {self.usage.completion_tokens} tokens" if self.usage.completion_tokens else ""
        cut = [f"cut off{after}; raise max_tokens (--max-tokens) to allow more"]
        return (*broken, *(cut if self.finish_reason == "length" else []))

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "prompt_tokens": self.usage.prompt_tokens,
            "completion_tokens": self.usage.completion_tokens,
            "complaints": list(self.complaints),
        }


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
        from heedful.requirements import check_all

        (generation,) = self._handle.result()
        return Answer(generation, tuple(check_all(self._requirements, generation.text)))

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
        return cls(new_engine(model, watcher))

    def stream(
        self, instruction: str, input: str, requirements: tuple[RequirementSpec, ...], sampling: Sampling
    ) -> AnswerStream:
        """Begin an answer; raises a UserError at once for what cannot be answered as asked."""
        prompt = prompt_of(instruction, input, requirements, seed=sampling.seed)
        request = Request("prompt", (Message("user", prompt),), sampling=sampling)
        return AnswerStream(self._engine.submit(request), requirements)

    def close(self) -> None:
        """Let go of the model."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def prompt_of(instruction: str, input: str, requirements: tuple[RequirementSpec, ...], *, seed: int) -> str:
    """The user's message: the instruction, sentences that ask for the requirements in its language, and the input."""
    from heedful.requirements import Language, say_all
    from heedful.text import detect_language

    language: Language = "zh" if detect_language(instruction) == "zh" else "en"
    said = say_all(requirements, language, rng=stream(seed, "wording")) if requirements else ""
    return "\n\n".join(part for part in (f"{instruction} {said}".strip(), input) if part)


def requirements_from(
    *, words: str | None, must: Sequence[str], forbid: Sequence[str], schema: Path | None
) -> tuple[RequirementSpec, ...]:
    """Requirements from command-line flags; raises RequirementError or InputError naming the flag."""
    from heedful.requirements import from_flags

    schema_text = None
    if schema is not None:
        try:
            schema_text = schema.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"--schema {schema}: cannot be read as UTF-8 text ({error}); name a file with a JSON schema"
            ) from None
    return tuple(from_flags(words=words, must=must, forbid=forbid, json_schema_text=schema_text))
