"""The nouns: frozen records that travel through every stage, and the Arrow columns that hold them on disk.

Identity rule. `id` says where a row came from: a hash of its origin (source and place, or method, parents and
draw). It stays the same while the row is normalised or edited. `content_hash` says what the row is now. `parents`
are written only when a row is derived from others. So any row can be followed back to its seed or document.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from heedful.errors import InputError

Role = Literal["system", "user", "assistant", "tool"]
ROLES: tuple[str, ...] = get_args(Role)
Split = Literal["", "train", "validation", "test"]
SPLITS: tuple[str, ...] = ("train", "validation", "test")

# 16 bytes: a collision among a billion rows has a chance of about 1e-21.
_DIGEST_SIZE = 16


def canonical_json(value: object) -> str:
    """The same text for the same value, whatever the order of its keys; not-a-number is refused."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: object) -> str:
    """A short stable hash (32 hexadecimal characters, BLAKE2b) of any JSON-like value."""
    return hashlib.blake2b(canonical_json(value).encode("utf-8", "surrogatepass"), digest_size=_DIGEST_SIZE).hexdigest()


def origin_id(source: str, place: str) -> str:
    """The id of what came from outside: `source` names the file or data set, `place` the row or section in it."""
    return digest(["origin", source, place])


def derived_id(method: str, parents: Iterable[str], draw: str | int) -> str:
    """The id of a row made by `method` from `parents`; `draw` tells apart rows made from the same parents."""
    return digest(["derived", method, list(parents), str(draw)])


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class RequirementSpec:
    """A verifiable property of an answer ("at most 50 words") as plain data; its behaviour lives in `requirements/`."""

    kind: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    enforce: bool = True
    """Where an answer is written under it: whether it is enforced, or only checked at the end."""

    def as_dict(self) -> dict[str, Any]:
        """`{"kind": ..., **parameters}`, the shape that files and users write; `"enforce": false` where it is only checked."""
        return {"kind": self.kind, **self.parameters, **({} if self.enforce else {"enforce": False})}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> RequirementSpec:
        """The inverse of `as_dict`; raises InputError without a `kind`."""
        if not isinstance(value, Mapping) or not isinstance(value.get("kind"), str):
            raise InputError(
                f'a requirement is an object with a "kind", for example {{"kind": "words", "maximum": 50}}; got {value!r}'
            )
        enforce = value.get("enforce", True)
        if not isinstance(enforce, bool):
            raise InputError(f"a requirement's enforce is true or false (only checked), got {enforce!r}")
        return cls(value["kind"], {key: item for key, item in value.items() if key not in ("kind", "enforce")}, enforce)

    def __hash__(self) -> int:
        return hash(canonical_json(self.as_dict()))


@dataclass(frozen=True, slots=True)
class Example:
    """One conversation, and what a good last answer must satisfy.

    `meta` is JSON text. Its key `groups` names what the row was built from ({"document": ..., "template": ...,
    "seed": ...}): rows that share a value there are never separated by a split.
    """

    id: str
    messages: tuple[Message, ...]
    method: str
    """What made the row: `import`, `templates`, `self_instruct`, `document_qa` ..."""
    source: str
    """The file, data set or document that it came from."""
    task: str = ""
    language: str = ""
    """ISO 639-1 code of the conversation; empty when unknown."""
    license: str = ""
    """SPDX identifier or the source's own words; empty when unknown."""
    parents: tuple[str, ...] = ()
    requirements: tuple[RequirementSpec, ...] = ()
    split: Split = ""
    weight: float = 1.0
    meta: str = "{}"

    @property
    def content_hash(self) -> str:
        """What the row says now: messages and requirements, nothing about its origin."""
        return digest([[[m.role, m.content] for m in self.messages], [spec.as_dict() for spec in self.requirements]])

    @property
    def prompt(self) -> tuple[Message, ...]:
        """The messages before the last answer."""
        return self.messages[:-1] if self.messages and self.messages[-1].role == "assistant" else self.messages

    @property
    def answer(self) -> str:
        """The last assistant message; empty when the conversation does not end with one."""
        return self.messages[-1].content if self.messages and self.messages[-1].role == "assistant" else ""

    @property
    def groups(self) -> dict[str, str]:
        """What the row was built from, by kind (see the class)."""
        groups = self.meta_value("groups")
        return dict(groups) if isinstance(groups, Mapping) else {}

    def meta_value(self, key: str, default: Any = None) -> Any:
        """One value of `meta`."""
        return json.loads(self.meta).get(key, default)

    def with_meta(self, **values: Any) -> Example:
        """A copy whose `meta` also holds `values`."""
        return replace(self, meta=canonical_json({**json.loads(self.meta), **values}))


@dataclass(frozen=True, slots=True)
class Preference:
    """Two answers to one prompt, and which one is better."""

    id: str
    prompt: tuple[Message, ...]
    chosen: str
    rejected: str
    decided_by: Literal["human", "judge", "requirement"]
    method: str
    source: str
    parents: tuple[str, ...] = ()
    language: str = ""
    license: str = ""
    meta: str = "{}"


@dataclass(frozen=True, slots=True)
class TaskExample:
    """One demonstration of a task; `reason` says why the output is good, or what is wrong with it."""

    input: str
    output: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """A task in the shape of Super-NaturalInstructions: a definition, and examples with reasons."""

    id: str
    name: str
    definition: str
    positive: tuple[TaskExample, ...] = ()
    negative: tuple[TaskExample, ...] = ()
    category: str = ""
    input_language: str = ""
    output_language: str = ""
    source: str = ""
    license: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a document. `meta` is JSON text with what the reader knows (a signature, a heading level)."""

    title: str
    text: str
    kind: str = "text"
    """`text`, `function`, `class`, `module`: what the title names."""
    meta: str = "{}"

    def meta_value(self, key: str, default: Any = None) -> Any:
        """One value of `meta`."""
        return json.loads(self.meta).get(key, default)


@dataclass(frozen=True, slots=True)
class Document:
    """A text from outside with its sections; `source` and `license` travel into every row made from it."""

    id: str
    title: str
    sections: tuple[Section, ...]
    source: str
    language: str = ""
    license: str = ""


FinishReason = Literal["stop", "length", "cancelled", "error"]


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens read and written."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Generation:
    """One answer to one request."""

    request_id: str
    text: str
    token_ids: tuple[int, ...] = ()
    """Generated ids, the end-of-turn token included when it was generated; empty from engines that do not tell. Where letters of one case
    were asked for, the text shows them turned."""
    logprobs: tuple[float, ...] | None = None
    """Natural logarithms, one for each of `token_ids`, when the request asked."""
    top_logprobs: tuple[tuple[tuple[int, float], ...], ...] | None = None
    """For each of `token_ids` the likeliest tokens with their log-probabilities, likeliest first, when asked."""
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    index: int = 0
    """Which of the `n` answers to the request this is."""
    constraint_report: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One metric's value for one item. `signature` says exactly how it was computed; only equal ones compare."""

    item_id: str
    metric: str
    value: float
    signature: str


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a person said about an answer."""

    id: str
    conversation: str
    message: str
    rating: int = 0
    """+1, -1, or 0 when only a correction or comparison was given."""
    reason: str = ""
    correction: str = ""
    comparison: str = ""
    who: str = ""
    when: str = ""
    """ISO 8601, UTC."""


# -- the classical triple ------------------------------------------------------------------------------------


def conversation(instruction: str, output: str, *, input: str = "", system: str = "") -> tuple[Message, ...]:
    """Messages of the triple instruction / input / output. A blank line joins instruction and input."""
    head = (Message("system", system),) if system else ()
    user = f"{instruction}\n\n{input}" if input else instruction
    return (*head, Message("user", user), Message("assistant", output))


# -- Arrow ------------------------------------------------------------------------------------------------------

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

EXAMPLE_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("content_hash", pa.string()),
        ("messages", _MESSAGES),
        ("method", pa.string()),
        ("source", pa.string()),
        ("task", pa.string()),
        ("language", pa.string()),
        ("license", pa.string()),
        ("parents", pa.list_(pa.string())),
        ("requirements", pa.string()),
        ("split", pa.string()),
        ("weight", pa.float64()),
        ("meta", pa.string()),
    ]
)
"""`requirements` is a JSON list: parameters differ by kind, which a struct column cannot hold."""

DOCUMENT_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("title", pa.string()),
        ("sections", pa.list_(pa.struct([(name, pa.string()) for name in ("title", "text", "kind", "meta")]))),
        ("source", pa.string()),
        ("language", pa.string()),
        ("license", pa.string()),
    ]
)


def example_to_row(example: Example) -> dict[str, Any]:
    """One row of `EXAMPLE_SCHEMA`."""
    return {
        "id": example.id,
        "content_hash": example.content_hash,
        "messages": [{"role": m.role, "content": m.content} for m in example.messages],
        "method": example.method,
        "source": example.source,
        "task": example.task,
        "language": example.language,
        "license": example.license,
        "parents": list(example.parents),
        "requirements": canonical_json([spec.as_dict() for spec in example.requirements]),
        "split": example.split,
        "weight": example.weight,
        "meta": example.meta,
    }


def example_from_row(row: Mapping[str, Any]) -> Example:
    """The inverse of `example_to_row`; `content_hash` is computed afresh, extra columns are ignored."""
    return Example(
        id=row["id"],
        messages=tuple(Message(m["role"], m["content"]) for m in row["messages"]),
        method=row["method"],
        source=row["source"],
        task=row["task"],
        language=row["language"],
        license=row["license"],
        parents=tuple(row["parents"]),
        requirements=tuple(RequirementSpec.from_dict(item) for item in json.loads(row["requirements"])),
        split=row["split"],
        weight=row["weight"],
        meta=row["meta"],
    )


def examples_to_table(examples: Iterable[Example]) -> pa.Table:
    """An Arrow table of `EXAMPLE_SCHEMA`."""
    return pa.Table.from_pylist([example_to_row(example) for example in examples], schema=EXAMPLE_SCHEMA)


def examples_from_table(table: pa.Table) -> list[Example]:
    """The inverse of `examples_to_table`."""
    return [example_from_row(row) for row in table.to_pylist()]


def write_examples(path: Path, examples: Iterable[Example]) -> None:
    """Write a parquet file. Equal examples give equal bytes, so that files can be compared by hash."""
    pq.write_table(examples_to_table(examples), path, compression="zstd")


def read_examples(path: Path) -> list[Example]:
    """Read a parquet file that `write_examples` wrote."""
    return examples_from_table(pq.read_table(path))


def document_to_row(document: Document) -> dict[str, Any]:
    """One row of `DOCUMENT_SCHEMA`."""
    return asdict(document)


def document_from_row(row: Mapping[str, Any]) -> Document:
    """The inverse of `document_to_row`."""
    return Document(**{**row, "sections": tuple(Section(**section) for section in row["sections"])})


def write_documents(path: Path, documents: Iterable[Document]) -> None:
    """Write a parquet file of `DOCUMENT_SCHEMA`."""
    rows = [document_to_row(document) for document in documents]
    pq.write_table(pa.Table.from_pylist(rows, schema=DOCUMENT_SCHEMA), path, compression="zstd")


def read_documents(path: Path) -> list[Document]:
    """The inverse of `write_documents`."""
    return [document_from_row(row) for row in pq.read_table(path).to_pylist()]
