"""What a request wants kept, `requirements` and `response_format`, as specs; and what became of each, in the answer's words."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.errors import InputError, RequirementError
from heedful.pipeline.answering import checked
from heedful.records import Generation, RequirementSpec
from heedful.requirements import conflicts, parse
from heedful.serve.openai.errors import ParameterError
from heedful.serve.openai.schemas import (
    ChatRequest,
    CompletionRequest,
    JsonObjectFormat,
    JsonSchemaFormat,
    RequirementOutcome,
)


@dataclass(frozen=True, slots=True)
class Required:
    """All that the answers to one request must keep."""

    listed: tuple[RequirementSpec, ...]
    """The request's `requirements`."""
    format: tuple[RequirementSpec, ...]
    """What its `response_format` comes to."""

    @property
    def all(self) -> tuple[RequirementSpec, ...]:
        return (*self.listed, *self.format)

    @property
    def parameter(self) -> str:
        """The one to name when they cannot be kept."""
        return "requirements" if self.listed or not self.format else "response_format"

    def outcomes(self, generation: Generation) -> list[RequirementOutcome] | None:
        """One for each of `requirements`; None without any, as OpenAI's answers are."""
        if not self.listed:
            return None
        told = checked(generation, self.all).requirements_as_dicts()[: len(self.listed)]
        return [RequirementOutcome(**{name: one[name] for name in RequirementOutcome.model_fields}) for one in told]


def required(body: ChatRequest | CompletionRequest) -> Required:
    """What `body` asks for; raises ParameterError naming the parameter."""
    listed = tuple(_spec(item, f"requirements[{place}]") for place, item in enumerate(body.requirements or ()))
    format = _format(body.response_format) if isinstance(body, ChatRequest) else ()
    found = Required(listed, format)
    if problems := conflicts(found.all):
        raise ParameterError(
            f"no answer can satisfy these requirements together: {'; '.join(problems)}; drop one of each",
            found.parameter,
        )
    return found


def _spec(item: dict[str, object], parameter: str) -> RequirementSpec:
    try:
        spec = RequirementSpec.from_dict(item)
        parse(spec, parameter)
    except (RequirementError, InputError) as error:
        raise ParameterError(str(error), parameter) from None
    return spec


def _format(format: object) -> tuple[RequirementSpec, ...]:
    if isinstance(format, JsonObjectFormat):
        return (RequirementSpec("json_schema", {"schema": {"type": "object"}}),)
    if not isinstance(format, JsonSchemaFormat):
        return ()
    schema = format.json_schema.schema_
    spec = RequirementSpec("json_schema", {"schema": {} if schema is None else schema})
    try:
        parse(spec)
    except RequirementError as error:
        raise ParameterError(
            f"response_format.json_schema.schema: {error}", "response_format.json_schema.schema"
        ) from None
    return (spec,)
