"""A model that answers instructions: loaded once, asked as often as you like."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from heedful.api._watching import watching
from heedful.errors import InputError, RequirementError
from heedful.generate.engine import Sampling
from heedful.pipeline.answering import Answer, Answerer, AnswerStream
from heedful.pipeline.requiring import wanted
from heedful.records import RequirementSpec

if TYPE_CHECKING:
    from heedful.requirements import Requirement

Requirements = Iterable["RequirementSpec | Mapping[str, Any] | str | Requirement"]
"""Each as a spec, as a mapping (`{"kind": "words", "maximum": 50}`), or as the command's flag (`"words=30:50"`)."""


def generator(model: str | Path, *, progress: bool = False) -> Generator:
    """Load `model`: a model package's name, a folder, `owner/model` on the hub, or an endpoint `https://host/v1#model`."""
    return Generator(model, progress=progress)


class Generator:
    """Call it with an instruction. Safe to use from several threads; use it in a `with` block, or close it."""

    def __init__(self, model: str | Path, *, progress: bool = False) -> None:
        self.model = str(model)
        with watching(progress) as watcher:
            self._answerer = Answerer.load(self.model, watcher)

    def __call__(
        self,
        instruction: str,
        input: str = "",
        *,
        requirements: Requirements = (),
        check_only: bool = False,
        auto_require: bool = False,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> Answer:
        """The whole answer. Requirements are said in the prompt, enforced while the answer is written, and checked.

        `check_only` enforces none of them; `auto_require` adds those that the instruction itself states. An endpoint is asked
        again for what it cannot enforce. The answer's `verdicts` and `treated` tell what became of its `requirements`.
        """
        return self.stream(
            instruction,
            input,
            requirements=requirements,
            check_only=check_only,
            auto_require=auto_require,
            max_tokens=max_tokens,
            temperature=temperature,
            seed=seed,
        ).answer

    def stream(
        self,
        instruction: str,
        input: str = "",
        *,
        requirements: Requirements = (),
        check_only: bool = False,
        auto_require: bool = False,
        max_tokens: int = 256,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> AnswerStream:
        """The answer piece by piece: iterate it, then read its `answer`. Leaving the loop early ends the writing."""
        for name, text in (("instruction", instruction), ("input", input)):
            if not isinstance(text, str):
                raise InputError(f"{name} is {text!r}, expected a text")
        sampling = Sampling(
            temperature=_number("temperature", temperature),
            seed=_whole("seed", seed),
            max_tokens=_whole("max_tokens", max_tokens),
        )
        needed = wanted(instruction, specs_of(requirements), auto_require=auto_require, check_only=check_only)
        return self._answerer.stream(instruction, input, needed, sampling)

    def close(self) -> None:
        """Let go of the model; answers under way end."""
        self._answerer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Generator({self.model!r})"


def specs_of(requirements: Requirements) -> tuple[RequirementSpec, ...]:
    """Specs of whatever was given; raises RequirementError for what is none, or when they contradict each other."""
    from heedful.requirements import conflicts, parse

    if isinstance(requirements, str | Mapping | RequirementSpec):
        raise RequirementError(f"requirements is {requirements!r}, expected a list of them; put it in brackets")
    specs = tuple(_spec(item, f"requirement {number}") for number, item in enumerate(requirements, start=1))
    for number, spec in enumerate(specs, start=1):
        parse(spec, f"requirement {number}")
    if found := conflicts(specs):
        raise RequirementError(
            f"no answer can satisfy these requirements together: {'; '.join(found)}; drop one of each"
        )
    return specs


def _spec(item: Any, where: str) -> RequirementSpec:
    from heedful.requirements import parse_text

    if isinstance(item, RequirementSpec):
        return item
    if isinstance(item, str):
        return parse_text(item)
    if isinstance(item, Mapping):
        try:
            return RequirementSpec.from_dict(item)
        except InputError as error:
            raise RequirementError(f"{where}: {error}") from None
    spec = getattr(item, "spec", None)
    if isinstance(spec, RequirementSpec):
        return spec
    raise RequirementError(
        f'{where} is {item!r}; expected "words=30:50", {{"kind": "words", "minimum": 30}} or a RequirementSpec'
    )


def _whole(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}, expected a whole number")
    return value


def _number(name: str, value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InputError(f"{name} is {value!r}, expected a number")
    return float(value)
