"""The requirement that an answer is JSON, valid against a schema.

The whole answer must be JSON; white space around it does not count. A Markdown code fence is an error unless
`allow_code_fence` says otherwise, because a program that reads the answer would stumble over it. Prose around the
JSON is always an error.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Annotated, Any

import regex
from jsonschema.exceptions import best_match
from pydantic import AfterValidator, Field, StrictBool

from heedful.requirements import schemas
from heedful.requirements.requirement import Language, Parameters, Verdict, pick
from heedful.requirements.strict_json import JsonProblemError, read_strictly
from heedful.requirements.wording import plural, shorten

_WORDINGS: dict[Language, tuple[str, ...]] = {
    "en": (
        "Answer with JSON only{fence}, valid against this JSON Schema: {schema}",
        "Your whole answer must be one JSON value{fence} that follows this JSON Schema: {schema}",
        "Write nothing but JSON{fence} in the form given by this JSON Schema: {schema}",
    ),
    "zh": (
        "只用 JSON {fence}作答，并符合这个 JSON Schema：{schema}",
        "整个回答必须是一个符合以下 JSON Schema 的 JSON 值{fence}：{schema}",
        "除 JSON {fence}外什么都不要写，格式须符合这个 JSON Schema：{schema}",
    ),
}
_FENCE_NOTE: dict[Language, str] = {
    "en": " (inside a Markdown code fence or not)",
    "zh": "（可以放在 Markdown 代码块中）",
}
_FENCE = regex.compile(r"```(?:json|JSON)?[ \t]*\n(?P<inside>.*)\n[ \t]*```", regex.DOTALL)


def _safe(schema: Any) -> Any:
    if not isinstance(schema, dict | bool):
        raise ValueError('a JSON Schema is an object such as {"type": "object"}, or true for any JSON')
    schemas.check_schema(schema)
    return schema


class JsonSchema(Parameters):
    """The answer is JSON, valid against `schema`."""

    kind = "json_schema"

    schema_: Annotated[Any, Field(alias="schema"), AfterValidator(_safe)]
    """The JSON Schema itself; `true` or `{}` asks for any JSON."""
    allow_code_fence: StrictBool = False
    """Whether one Markdown code fence around the JSON is accepted and removed."""

    @cached_property
    def _validator(self) -> Any:
        return schemas.validator_for(self.schema_)

    def say(self, language: Language, wording: int = 0) -> str:
        fence = _FENCE_NOTE.get(language, "") if self.allow_code_fence else ""
        schema = json.dumps(self.schema_, ensure_ascii=False)
        return pick(_WORDINGS, language, wording).format(schema=schema, fence=fence)

    def check(self, text: str) -> Verdict:
        """Nothing for what is not JSON; half for JSON, and more of the other half the fewer problems it has."""
        fenced = _FENCE.fullmatch(answer) if (answer := text.strip()).startswith("```") else None
        if fenced and not self.allow_code_fence:
            return Verdict(False, "the JSON is inside a Markdown code fence; only the JSON itself is accepted", 0.0)
        try:
            value = read_strictly(fenced["inside"] if fenced else answer)
        except JsonProblemError as error:
            return Verdict(False, f"the answer is not JSON: {error}", 0.0)
        return self._validate(value)

    def _validate(self, value: Any) -> Verdict:
        try:
            problems = schemas.problems(self._validator, value)
        except schemas.UncheckableError as error:
            return Verdict(False, f"the JSON cannot be checked against the schema: {error}", 0.5)
        if not problems:
            return Verdict(True, "valid against the schema", 1.0)
        worst = best_match(problems)
        others = f" (and {plural(len(problems) - 1, 'other problem', 'other problems')})" if len(problems) > 1 else ""
        reason = f"the JSON does not follow the schema: at {worst.json_path}: {shorten(worst.message, 160)}{others}"
        return Verdict(False, reason, 0.5 + 0.5 / (1 + len(problems)))
