"""Plain text in blocks, `指令: ... 输入: ... 输出: ...` or `Instruction: ... Input: ... Output: ...`, -> fields of rows.

A marker begins a line and ends with a colon of either width; `### Response:` and `**Output:**` are understood too. A
field goes on, over blank lines as well, until the next marker; a block until the next instruction or system marker.
Only markers of the family that the file begins with count, so an `Answer:` inside an output stays part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from heedful.errors import InputError

_FAMILIES: tuple[dict[str, str], ...] = (
    {"系统": "system", "指令": "instruction", "输入": "input", "输出": "output"},
    {"问题": "instruction", "回答": "output"},
    {"问": "instruction", "答": "output"},
    {"system": "system", "instruction": "instruction", "input": "input", "output": "output", "response": "output"},
    {"question": "instruction", "answer": "output"},
    {"q": "instruction", "a": "output"},
)
"""Marker (lower case) -> field."""


@dataclass(slots=True)
class Block:
    """One block; `fields` maps markers as they were written to their text."""

    line: int
    fields: dict[str, str] = field(default_factory=dict)
    problem: str = ""
    """Why the block cannot be used, with the remedy; empty when it can."""


def begins(text: str) -> bool:
    """Whether the text's first line is a marker that may begin a block."""
    first = next((line for line in _lines(text) if line.strip()), "")
    return any(_opens(family, first) for family in _FAMILIES) and occurs(text)


def occurs(text: str) -> bool:
    """Whether an instruction marker and an output marker of one family begin lines somewhere."""
    return _family(_lines(text)) is not None


def split(text: str, name: str) -> Iterator[Block]:
    """The blocks of a text in which they occur; raises InputError for text before the first one."""
    lines = _lines(text)
    family = _family(lines)
    assert family is not None
    block: Block | None = None
    marker, collected = "", list[str]()
    for number, line in enumerate(lines, start=1):
        found = _marker(family, line)
        if found is None and block is None and line.strip():
            raise InputError(
                f"{name}, line {number}: {line.strip()[:60]!r} stands before the first instruction; remove it or begin it "
                f"with a marker such as 'Instruction:'"
            )
        if found is None:
            collected.append(line)
            continue
        if block is not None:
            _store(block, marker, collected)
        if block is None or _begins_block(family, block, found[0]):
            if block is not None:
                yield block
            block = Block(number)
        marker, collected = found[0], [found[1]]
        _check_order(block, family, marker, number)
    if block is not None:
        _store(block, marker, collected)
        yield block


def _lines(text: str) -> list[str]:
    # Not `splitlines`, which also splits at characters that belong to a line (U+2028, form feed).
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _begins_block(family: dict[str, str], block: Block, marker: str) -> bool:
    """An instruction begins a block unless only its system message came before; so does a system message."""
    seen = {family[name.lower()] for name in block.fields}
    name = family[marker.lower()]
    return name == "system" or (name == "instruction" and seen != {"system"})


def _check_order(block: Block, family: dict[str, str], marker: str, number: int) -> None:
    order = ["system", "instruction", "input", "output"]
    seen = [family[name.lower()] for name in block.fields]
    name = family[marker.lower()]
    if seen and order.index(name) <= max(order.index(other) for other in seen):
        block.problem = block.problem or (
            f"{marker!r} on line {number} comes after {list(block.fields)[-1]!r} in the same block; begin a new block with "
            f"an instruction, or indent the line if it is part of the text"
        )


def _store(block: Block, marker: str, lines: list[str]) -> None:
    """Blank lines at either end go; indentation of the rest stays, for it may be code."""
    while lines and not lines[0].strip():
        lines.pop(0)
    block.fields.setdefault(marker, "\n".join(lines).rstrip())


def _family(lines: list[str]) -> dict[str, str] | None:
    """The family of the first marker, among those that have an instruction and an output in the text."""
    best: tuple[int, dict[str, str]] | None = None
    for family in _FAMILIES:
        found: dict[str, int] = {}
        for number, line in enumerate(lines):
            marker = _marker(family, line)
            if marker is not None:
                found.setdefault(family[marker[0].lower()], number)
        if {"instruction", "output"} <= found.keys() and (best is None or min(found.values()) < best[0]):
            best = (min(found.values()), family)
    return best[1] if best else None


def _opens(family: dict[str, str], line: str) -> bool:
    found = _marker(family, line)
    return found is not None and family[found[0].lower()] in ("system", "instruction")


def _marker(family: dict[str, str], line: str) -> tuple[str, str] | None:
    """(marker as written, text after it) when the line begins with one."""
    match = _PATTERNS[tuple(family)].match(line)
    return (match.group(1), match.group(2)) if match else None


def _pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    # At most three spaces of indentation: a line of the text that looks like a marker can be indented by four.
    return re.compile(
        rf" {{0,3}}(?:#{{1,6}} *|\*\*)?({'|'.join(names)})(?:\*\*)? *[:：](?:\*\*)?[ \t]*(.*)", re.IGNORECASE
    )


_PATTERNS = {tuple(family): _pattern(tuple(family)) for family in _FAMILIES}
