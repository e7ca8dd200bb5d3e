"""What may be asked and what comes back, as OpenAI's clients write and read it.

Strict: a wrong type, a misspelt name or something that this server cannot do is refused by name, because a parameter
that is silently ignored gives a wrong answer that looks right. Names from OpenAI's API that change nothing here are
accepted and say so in their description.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from heedful.requirements import REQUIREMENTS

MAX_CHOICES = 16
MAX_STOPS = 4
MAX_BIASES = 1024
MAX_TOP_LOGPROBS = 20
MAX_TEXT_LOGPROBS = 5
MAX_REQUIREMENTS = 32

UNSUPPORTED = frozenset(
    {
        "audio",
        "function_call",
        "functions",
        "modalities",
        "moderation",
        "prediction",
        "prompt_cache_options",
        "reasoning_effort",
        "suffix",
        "tool_choice",
        "tools",
        "verbosity",
        "web_search_options",
    }
)
"""Parameters of OpenAI's API that this server cannot honour; named here only for a better message."""


class Wire(BaseModel):
    """Frozen, and strict about names and types."""

    model_config = ConfigDict(
        frozen=True, strict=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


def _whole_characters(text: str) -> str:
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("the text holds half a surrogate pair, which is no character")
    return text


def _text_of(content: Any) -> Any:
    """A list of text parts is the text that they join to."""
    if not isinstance(content, list):
        return content
    texts = []
    for number, part in enumerate(content):
        if not (isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)):
            raise ValueError(f'part {number} is not {{"type": "text", "text": "..."}}; this server reads text only')
        if unknown := set(part) - {"type", "text"}:
            raise ValueError(f"part {number}: unknown field {min(unknown)!r}")
        texts.append(part["text"])
    if not texts:
        raise ValueError("the list of parts is empty")
    return "".join(texts)


def _only_false(value: bool) -> bool:
    if value:
        raise ValueError("expected false: this server cannot do it")
    return value


def _stops_of(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else [] if stop is None else stop


def _prompt_of(prompt: Any) -> Any:
    if not isinstance(prompt, list):
        return prompt
    if len(prompt) != 1 or not isinstance(prompt[0], str):
        raise ValueError(
            "expected one text; for several prompts send several requests, they are answered together; "
            "token ids are not taken"
        )
    return prompt[0]


_TEXT_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
    "additionalProperties": False,
}
Words = Annotated[str, AfterValidator(_whole_characters)]
NonEmpty = Annotated[str, Field(min_length=1), AfterValidator(_whole_characters)]
Content = Annotated[
    Words,
    BeforeValidator(_text_of),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT_PART, "minItems": 1}]}),
]
_STOP = {"type": "string", "minLength": 1}
Stop = Annotated[
    list[NonEmpty],
    Field(max_length=MAX_STOPS),
    BeforeValidator(_stops_of),
    WithJsonSchema({"anyOf": [_STOP, {"type": "array", "items": _STOP, "maxItems": MAX_STOPS}, {"type": "null"}]}),
]
_PROMPT = {"type": "string", "minLength": 1}
Prompt = Annotated[
    NonEmpty,
    BeforeValidator(_prompt_of),
    WithJsonSchema({"anyOf": [_PROMPT, {"type": "array", "items": _PROMPT, "minItems": 1, "maxItems": 1}]}),
]
# JSON has one kind of number: 9.0 is a whole one.
_WHOLE = BeforeValidator(lambda n: int(n) if isinstance(n, float) and n.is_integer() else n)
LogitBias = Annotated[
    dict[Annotated[str, Field(pattern=r"^[0-9]{1,9}$")], Annotated[float, Field(ge=-100, le=100)]],
    Field(max_length=MAX_BIASES),
    BeforeValidator(lambda bias: {} if bias is None else bias),
    WithJsonSchema(
        {
            "anyOf": [
                {
                    "type": "object",
                    "propertyNames": {"pattern": "^[0-9]{1,9}$"},
                    "additionalProperties": {"type": "number", "minimum": -100, "maximum": 100},
                    "maxProperties": MAX_BIASES,
                },
                {"type": "null"},
            ]
        }
    ),
]
# `Literal[False]` would take 0 for it.
Off = Annotated[bool, AfterValidator(_only_false), WithJsonSchema({"type": "boolean", "const": False})]


class ChatMessage(Wire):
    """One turn of the conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    """Who speaks; `developer` is read as `system`."""
    content: Content
    """What is said: text, or a list of text parts, which are joined."""


class StreamOptions(Wire):
    """How to stream."""

    include_usage: bool | None = None
    """End the stream with a chunk that has no choices and tells the usage."""


class TextFormat(Wire):
    """Free text."""

    type: Literal["text"]


class JsonObjectFormat(Wire):
    """Any JSON object. Enforced; say in a message what should be in it, since nothing else does."""

    type: Literal["json_object"]


class NamedSchema(Wire):
    """A JSON Schema with a name."""

    name: Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    """Accepted and not used."""
    description: str | None = None
    """Accepted and not used: the model is not told."""
    # `schema` is a method of pydantic's.
    schema_: Annotated[dict[str, Any] | None, Field(alias="schema")] = None
    """The schema itself; without one any JSON will do. What cannot be enforced of it is refused."""
    strict: bool | None = None
    """Accepted and not used: the schema is always enforced, and may leave keys open."""


class JsonSchemaFormat(Wire):
    """JSON that fits a schema. Enforced while the answer is written; the model is not told of the schema."""

    type: Literal["json_schema"]
    json_schema: NamedSchema
    """The schema, and what it is called."""


_REQUIREMENT = {
    "type": "object",
    "properties": {"kind": {"enum": sorted(REQUIREMENTS)}, "enforce": {"type": "boolean"}},
    "required": ["kind"],
}
RequirementItems = Annotated[
    list[dict[str, Any]],
    Field(max_length=MAX_REQUIREMENTS),
    WithJsonSchema({"type": "array", "items": _REQUIREMENT, "maxItems": MAX_REQUIREMENTS}),
]


class SamplingRequest(Wire):
    """What both kinds of completion share."""

    model: str
    """One of the ids that `/v1/models` lists."""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = 1.0
    """0 always takes the likeliest token; higher values choose more freely."""
    top_p: Annotated[float, Field(ge=0, le=1)] | None = 1.0
    """Choose among the likeliest tokens that together have this probability."""
    top_k: Annotated[int, Field(ge=0), _WHOLE] | None = 0
    """Choose among this many of the likeliest tokens; 0 means no limit. Not in OpenAI's API."""
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES), _WHOLE] | None = 1
    """How many answers."""
    seed: Annotated[int, _WHOLE] | None = None
    """Equal requests with equal seeds get equal answers; without one, a seed is drawn for each request."""
    stop: Stop = Field(default_factory=list)
    """Up to four texts; the answer ends before the first of them."""
    stream: bool | None = False
    """Send the answer piece by piece as server-sent events."""
    stream_options: StreamOptions | None = None
    """How to stream; means nothing without `stream`."""
    frequency_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    """Taken from a token's logit for each time that the answer holds it."""
    presence_penalty: Annotated[float, Field(ge=-2, le=2)] | None = 0.0
    """Taken from the logit of every token that the answer holds."""
    logit_bias: LogitBias = Field(default_factory=dict)
    """Token ids, each with what is added to its logit."""
    min_p: Annotated[float, Field(ge=0, le=1)] | None = 0.0
    """Leave out tokens less likely than this share of the likeliest one. Not in OpenAI's API."""
    min_tokens: Annotated[int, Field(ge=0), _WHOLE] | None = 0
    """The model may not end its answer before this many tokens; a stop text can. Not in OpenAI's API."""
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = 1.0
    """Divides positive logits of tokens that the prompt or the answer holds, multiplies negative ones. Not in OpenAI's API."""
    requirements: RequirementItems | None = None
    """What the answer must keep, such as `{"kind": "words", "maximum": 50}`: enforced while it is written, or with
    `"enforce": false` only checked. They are not said in the prompt. Each choice tells what became of them. Not in OpenAI's API."""
    user: str | None = None
    """Accepted and not used."""
    metadata: dict[str, str] | None = None
    """Accepted and not used."""
    store: Off | None = None
    """Nothing is stored, so only false."""
    service_tier: Literal["auto", "default"] | None = None
    """Accepted and not used: there is one tier."""
    safety_identifier: str | None = None
    """Accepted and not used."""
    prompt_cache_key: str | None = None
    """Accepted and not used."""


class ChatRequest(SamplingRequest):
    """Ask for the next message of a conversation."""

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    """The conversation so far; the last message is not the assistant's."""
    max_tokens: Annotated[int, Field(ge=1), _WHOLE] | None = None
    """Longest answer in tokens; without it, as long as the model can write. The older name of the next one."""
    max_completion_tokens: Annotated[int, Field(ge=1), _WHOLE] | None = None
    """Longest answer in tokens. When both are given, the smaller counts."""
    response_format: Annotated[TextFormat | JsonObjectFormat | JsonSchemaFormat, Field(discriminator="type")] | None = (
        None
    )
    """Free text, a JSON object, or JSON that fits a schema."""
    logprobs: bool | None = False
    """Tell the log-probability of each token, before temperature and limits."""
    top_logprobs: Annotated[int, Field(ge=0, le=MAX_TOP_LOGPROBS), _WHOLE] | None = None
    """With `logprobs`: how many of the likeliest tokens are told at each place."""
    return_tokens_as_token_ids: bool | None = False
    """With `logprobs`: write tokens as `token_id:7`. Not in OpenAI's API, but in vLLM's."""


class CompletionRequest(SamplingRequest):
    """Ask for a continuation of plain text, without a chat template."""

    prompt: Prompt
    """The text to continue: one text, or a list of one. Special tokens written in it are read as such."""
    max_tokens: Annotated[int, Field(ge=1), _WHOLE] | None = 16
    """Longest continuation in tokens."""
    echo: Off | None = None
    """Not supported: only false."""
    best_of: Annotated[int, Field(ge=1, le=MAX_CHOICES), _WHOLE] | None = None
    """Write so many continuations, and return the `n` with the highest mean log-probability per token. Not with `stream`."""
    logprobs: Annotated[int, Field(ge=0, le=MAX_TEXT_LOGPROBS), _WHOLE] | None = None
    """Tell the log-probability of each token and of so many of the likeliest ones."""


class ModelCard(BaseModel):
    """A model that can be asked."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: str


class ModelList(BaseModel):
    """All models that can be asked."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class TokenUsage(BaseModel):
    """Tokens read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


EndReason = Literal["stop", "length"]


class TopToken(BaseModel):
    """A token that could stand at a place of an answer."""

    token: str
    """Its text; part of a character as `bytes:\\xe4\\xbd`."""
    logprob: float
    """Natural logarithm; -9999 for what cannot be."""
    bytes: list[int] | None
    """What it adds to the text's UTF-8: nothing for control tokens. Null where the tokenizer does not tell."""


class ChosenToken(TopToken):
    """The token that stands there."""

    top_logprobs: list[TopToken]
    """The likeliest ones."""


class ChatLogprobs(BaseModel):
    """The tokens of an answer, or of a piece of it. Those of a stop text, which is not shown, are left out."""

    content: list[ChosenToken]
    refusal: None = None


class TextLogprobs(BaseModel):
    """The tokens of a continuation, or of a piece of it."""

    tokens: list[str]
    token_logprobs: list[float]
    top_logprobs: list[dict[str, float]] | None
    """The likeliest ones and the chosen one; null when none were asked for."""
    text_offset: list[int]
    """Where each begins in the continuation, in characters."""


class RequirementOutcome(BaseModel):
    """What became of one of the request's `requirements`."""

    kind: str
    satisfied: bool
    reason: str
    """What was found, and what was expected."""
    treated: Literal["enforced", "checked"]
    """Enforced while the answer was written, or only checked at its end."""


Outcomes = Annotated[list[RequirementOutcome] | None, Field(exclude_if=lambda value: value is None)]
"""Of the request's `requirements`, in their order; absent where it had none. Not in OpenAI's API."""


class ChatAnswer(BaseModel):
    """What the assistant says."""

    role: Literal["assistant"] = "assistant"
    content: str
    refusal: None = None


class ChatChoice(BaseModel):
    """One of the answers."""

    index: int
    message: ChatAnswer
    finish_reason: EndReason
    logprobs: ChatLogprobs | None = None
    requirements: Outcomes = None


class ChatCompletion(BaseModel):
    """All answers, whole."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    """Changes when the weights or the arithmetic change."""
    choices: list[ChatChoice]
    usage: TokenUsage


class ChatDelta(BaseModel):
    """A piece of what the assistant says."""

    role: Literal["assistant"] | None = Field(None, exclude_if=lambda value: value is None)
    content: str | None = Field(None, exclude_if=lambda value: value is None)


class ChatChunkChoice(BaseModel):
    """A piece of one of the answers."""

    index: int
    delta: ChatDelta
    finish_reason: EndReason | None = None
    logprobs: ChatLogprobs | None = None
    requirements: Outcomes = None


class ChatChunk(BaseModel):
    """One event of a stream."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChatChunkChoice]
    usage: TokenUsage | None = None


class TextChoice(BaseModel):
    """One of the continuations; in a stream, a piece of it."""

    index: int
    text: str
    finish_reason: EndReason | None = None
    logprobs: TextLogprobs | None = None
    requirements: Outcomes = None


class TextCompletion(BaseModel):
    """All continuations, or, in a stream, pieces of them."""

    id: str
    object: Literal["text_completion"] = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[TextChoice]
    usage: TokenUsage | None = None


class Health(BaseModel):
    """Is the server there, and how busy is it?"""

    status: Literal["ok", "stopping"]
    models: list[str]
    in_flight: int
    """Answers that are being written now."""
