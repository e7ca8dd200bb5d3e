"""One instruction, answered: requirements said in the prompt, the answer checked against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heedful.errors import InputError
from heedful.generate.engine import Request, Sampling, generate
from heedful.project.progress import Watcher
from heedful.records import Generation, Message, RequirementSpec


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer and what it does not satisfy."""

    generation: Generation
    complaints: tuple[str, ...]
    """One line for each requirement that is not met, with the reason; and one when the answer was cut off."""

    @property
    def text(self) -> str:
        return self.generation.text

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        usage = self.generation.usage
        return {
            "text": self.text,
            "finish_reason": self.generation.finish_reason,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "complaints": list(self.complaints),
        }


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


def answer(
    model: str,
    instruction: str,
    input: str,
    requirements: tuple[RequirementSpec, ...],
    sampling: Sampling,
    watcher: Watcher,
) -> Answer:
    """Load `model`, answer once, check the answer."""
    from heedful.generate.local import LocalEngine
    from heedful.models import load
    from heedful.project.randomness import stream
    from heedful.requirements import Language, check_all, say_all
    from heedful.text import detect_language

    language: Language = "zh" if detect_language(instruction) == "zh" else "en"
    said = say_all(requirements, language, rng=stream(sampling.seed, "wording")) if requirements else ""
    prompt = "\n\n".join(part for part in (f"{instruction} {said}".strip(), input) if part)
    engine = LocalEngine(load(model, watcher=watcher))
    try:
        request = Request("prompt", (Message("user", prompt),), sampling=sampling)
        generation = next(iter(generate(engine, [request])))
    finally:
        engine.close()
    verdicts = check_all(requirements, generation.text)
    complaints = [f"not satisfied: {verdict.reason}" for verdict in verdicts if not verdict.satisfied]
    if generation.finish_reason == "length":
        complaints.append(f"cut off after {sampling.max_tokens} tokens; --max-tokens allows more")
    return Answer(generation, tuple(complaints))
