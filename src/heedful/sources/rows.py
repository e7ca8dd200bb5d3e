"""One row of a file: fields under canonical names, errors that say where, and the records that are made from it.

A column is recognised by its name without case, full-width forms, spaces and a closing colon: `指令：`, `Instruction`
and `instruction` are one field. What no reader takes is kept in `meta.extra`, so that no column is lost.
"""

from __future__ import annotations

import contextlib
import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from heedful.errors import InputError, RequirementError
from heedful.records import Example, Message, Preference, RequirementSpec, canonical_json, origin_id
from heedful.requirements import parse
from heedful.text import detect_language

_ALIASES = {
    "id": "id _id uid 编号",
    "instruction": "instruction 指令 prompt question query 提示 问题 问 q",
    "input": "input 输入 context 上下文",
    "output": "output 输出 response completion answer 回答 答案 答 回复 补全 std_answer a",
    "system": "system system_prompt 系统 系统提示",
    "history": "history 历史 历史对话",
    "conversations": "conversations conversation",
    "messages": "messages",
    "chosen": "chosen chosen_messages",
    "rejected": "rejected rejected_messages",
    "label": "label",
    "tools": "tools",
    "instances": "instances",
    "task": "task category 任务 类别 name",
    "language": "language lang 语言",
    "license": "license licence 许可",
    "requirements": "requirements 要求",
    "wrong": "wrong",
    "wrong_output": "wrong_output 错误输出",
    "wrong_reason": "wrong_reason 错误原因",
    "decided_by": "decided_by",
}
ALIASES = {field: tuple(names.split()) for field, names in _ALIASES.items()}
"""Field -> names of columns; where a row has several, the first one named here is the field, others are extra."""

_LANGUAGES = {
    "english": "en",
    "chinese": "zh",
    "mandarin": "zh",
    "中文": "zh",
    "汉语": "zh",
    "英文": "en",
    "英语": "en",
}
_NO_INPUT = frozenset({"<noinput>", "<no input>", "<无输入>"})
_MISSING = object()
_SHOWN = 80


@dataclass(slots=True)
class Row:
    """One row as it was read. Readers `take` fields; `extra` is what is left."""

    file: str
    number: int
    """Position among the rows of the file, from 1; part of the id of rows that bear none."""
    line: int | None
    values: Mapping[str, Any]
    taken: dict[str, str] = field(default_factory=dict)
    """Column -> field, filled as fields are taken."""

    @property
    def place(self) -> str:
        """`line 3`, or `row 3` where lines mean nothing."""
        return f"line {self.line}" if self.line is not None else f"row {self.number}"

    def has(self, name: str) -> bool:
        """Whether the field is there and not null."""
        column = _columns(tuple(self.values)).get(name)
        return column is not None and self.values[column] is not None

    def take(self, name: str, default: Any = _MISSING) -> Any:
        """The field's value, marked as used; `default` when absent or null, an InputError without one."""
        if not self.has(name):
            if default is _MISSING:
                present = ", ".join(repr(column) for column in self.values) or "no columns"
                raise self.error(name, f"is missing; the row has {present}", f"add {_names(name)}")
            return default
        column = _columns(tuple(self.values))[name]
        self.taken[column] = name
        return self.values[column]

    def text(self, name: str, default: Any = _MISSING) -> str:
        """A field that must be text."""
        return self.as_text(self.take(name, default), name)

    def as_text(self, value: Any, name: str) -> str:
        """`value` if it is text that can be written as UTF-8."""
        if not isinstance(value, str):
            raise self.error(name, f"is {shown(value)}, expected text", "put it in quotes")
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise self.error(
                name, f"holds half a character at position {error.start}", "write the row again with whole characters"
            ) from None
        return value

    def system(self) -> list[Message]:
        """The message of the `system` column, when there is one."""
        text = self.text("system", "")
        return [Message("system", text)] if text else []

    def structured(self, name: str, kind: type[list[Any]] | type[dict[str, Any]], default: Any = _MISSING) -> Any:
        """A field that must be a list or an object; cells of a table may hold it as JSON text."""
        value = self.take(name, default)
        if isinstance(value, str):
            with contextlib.suppress(ValueError, RecursionError):
                value = json.loads(value)
        if not isinstance(value, kind):
            what = "a list" if kind is list else "an object"
            raise self.error(name, f"is {shown(value)}, expected {what}", "write it as JSON")
        return value

    def error(self, name: str, problem: str, remedy: str) -> InputError:
        """An InputError that names file, place and field."""
        return InputError(f"{self.file}, {self.place}: field {name!r} {problem}; {remedy}")

    # -- records ----------------------------------------------------------------------------------------------

    def key(self) -> str:
        """What identifies the row within its file: the id that it bears, or its position."""
        value = self.take("id", None)
        if value is None or value == "":
            return str(self.number)
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise self.error(
                "id", f"is {shown(value)}, expected text or a whole number", "remove it, or write it as text"
            )
        return self.as_text(str(value), "id")

    def example(
        self,
        messages: Sequence[Message],
        *,
        part: str = "",
        group: str = "",
        weight: float = 1.0,
        language: str = "",
        more: Mapping[str, Any] | None = None,
    ) -> Example:
        """An Example of this row. Call it after every other field is taken: the rest goes to `meta.extra`.

        `part` tells apart several examples of one row, which then share the seed group `group` or that of the row.
        `language` is that of the row when the reader knows it. `more` goes to the meta, except for what is empty.
        """
        key = self.key()
        id = origin_id(self.file, f"{key}/{part}" if part else key)
        self._check_conversation(messages)
        language = language or self._language(messages)
        license, task = self._label("license"), self._label("task")
        requirements, wrong = self.requirements(), self._wrong()
        whole = {
            "groups": {"seed": group or (origin_id(self.file, key) if part else id)},
            **({"wrong": wrong} if wrong else {}),
            **{name: value for name, value in (more or {}).items() if value},
            **self._extra(),
        }
        return Example(
            id=id,
            messages=tuple(messages),
            method="import",
            source=self.file,
            task=task,
            language=language,
            license=license,
            requirements=requirements,
            weight=weight,
            meta=self._json(whole),
        )

    def preference(self, prompt: Sequence[Message], chosen: str, rejected: str, *, part: str = "") -> Preference:
        """A Preference of this row; like `example`, it is made last, and `part` tells apart several of one row."""
        if not any(message.role == "user" for message in prompt):
            raise self.error("prompt", "holds no message of the user", "add the prompt that both answers reply to")
        decided_by = self.text("decided_by", "human")
        if decided_by not in ("human", "judge", "requirement"):
            raise self.error("decided_by", f"is {decided_by!r}", "write 'human', 'judge' or 'requirement'")
        return Preference(
            id=origin_id(self.file, f"{self.key()}/{part}" if part else self.key()),
            prompt=tuple(prompt),
            chosen=chosen,
            rejected=rejected,
            decided_by=decided_by,  # type: ignore[arg-type]
            method="import",
            source=self.file,
            language=self._language(prompt),
            license=self._label("license"),
            meta=self._json(self._extra()),
        )

    def _check_conversation(self, messages: Sequence[Message]) -> None:
        if not messages or messages[-1].role != "assistant":
            last = messages[-1].role if messages else "missing"
            raise self.error(
                "messages",
                f"ends with role {last!r}, expected 'assistant'",
                "complete the conversation or skip the row",
            )
        if not any(message.role == "user" and message.content.strip() for message in messages):
            raise self.error("instruction", "is empty", "write what the answer replies to, or skip the row")

    def _language(self, messages: Sequence[Message]) -> str:
        given = self.take("language", None)
        if given in (None, ""):
            text = "\n".join(message.content for message in messages if message.role != "system")
            detected = detect_language(text)
            return "" if detected == "und" else detected
        code = language_code(self.as_text(given, "language"))
        if not code:
            raise self.error("language", f"is {given!r}, expected an ISO 639 code", "write for example 'en' or 'zh'")
        return code

    def _label(self, name: str) -> str:
        """A short text; a list of texts (as some data sets have it) is joined."""
        value = self.take(name, "")
        return ", ".join(self.as_text(item, name) for item in (value if isinstance(value, list) else [value]))

    def requirements(self) -> tuple[RequirementSpec, ...]:
        """What the answer must satisfy, each checked to be one that we know."""
        if not self.has("requirements") or self.take("requirements") == "":
            return ()
        specs = []
        for item in self.structured("requirements", list):
            try:
                spec = RequirementSpec.from_dict(item)
                parse(spec)
            except (InputError, RequirementError) as error:
                raise self.error("requirements", f"cannot be understood: {error}", "correct it") from None
            specs.append(spec)
        return tuple(specs)

    def _wrong(self) -> list[dict[str, str]]:
        """Known wrong answers with what is wrong with them."""
        wrong = []
        for item in self.structured("wrong", list, []):
            if not isinstance(item, Mapping):
                raise self.error(
                    "wrong", f"holds {shown(item)}, expected objects", 'write {"output": ..., "reason": ...}'
                )
            wrong.append({key: self.as_text(item.get(key, ""), f"wrong.{key}") for key in ("output", "reason")})
        output, reason = self.text("wrong_output", ""), self.text("wrong_reason", "")
        if reason and not output:
            raise self.error(
                "wrong_reason", "is there without 'wrong_output'", "add the wrong output, or remove the reason"
            )
        return [*wrong, {"output": output, "reason": reason}] if output else wrong

    def _extra(self) -> dict[str, Any]:
        """What no reader took; the same for every record of the row."""
        for column, value in self.values.items():
            if column not in self.taken and value not in (None, ""):
                self.taken[column] = f"meta.extra.{column}"
        extra = {column: self.values[column] for column, name in self.taken.items() if name.startswith("meta.extra.")}
        return {"extra": extra} if extra else {}

    def _json(self, value: dict[str, Any]) -> str:
        try:
            text = canonical_json(_plain(value))
            text.encode()
        except (ValueError, TypeError, RecursionError) as error:
            raise self.error("meta", f"cannot be kept as JSON ({error})", "correct or remove the column") from None
        return text


def message_input(instruction: str, input: str) -> str:
    """The user's message of a triple; either part may be empty."""
    return "\n\n".join(part for part in (instruction, input) if part)


def without_placeholder(input: str) -> str:
    """Some data sets write "<noinput>" for an input that is not there."""
    return "" if input.strip().lower() in _NO_INPUT else input


def canonical_column(name: str) -> str:
    """`Positive Examples`, `指令：` -> `positive_examples`, `指令`."""
    return "_".join(unicodedata.normalize("NFKC", str(name)).strip().rstrip(":").casefold().split())


def known_fields(columns: Sequence[str]) -> dict[str, str]:
    """Field -> column, for the columns that are recognised."""
    return _columns(tuple(columns))


@lru_cache(maxsize=256)
def _columns(columns: tuple[str, ...]) -> dict[str, str]:
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(canonical_column(column), column)
    found = {field: next((by_name[n] for n in names if n in by_name), None) for field, names in ALIASES.items()}
    return {field: column for field, column in found.items() if column is not None}


def _names(name: str) -> str:
    others = [alias for alias in ALIASES.get(name, ()) if alias != name][:4]
    return f"{name!r}" + (f" (also understood: {', '.join(others)})" if others else "")


def language_code(value: str) -> str:
    """`zh-CN`, `Chinese`, `zh` -> `zh`; empty when it is no language that can be told."""
    name = value.strip().lower()
    base = name.replace("_", "-").split("-")[0]
    return _LANGUAGES.get(name) or (base if base.isascii() and base.isalpha() and len(base) in (2, 3) else "")


def shown(value: Any) -> str:
    """A value in an error message: its type and how it begins."""
    names = {type(None): "null", bool: "a truth value", int: "a number", float: "a number", str: "text"}
    names |= {list: "a list", dict: "an object"}
    text = repr(value)
    return f"{names.get(type(value), type(value).__name__)} ({text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''})"


def _plain(value: Any) -> Any:
    """Values of tables (dates, decimals, bytes) as JSON can hold them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
