"""The part of docs/requirements.md that is made from the classes: one entry for each kind.

    python tests/support/requirement_reference.py      # writes it; a test says when it is out of step

What an entry says of a kind is the docstring of its class, of its `check`, and of its fields: to change the page, change these.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from heedful.constraints import enforceable
from heedful.records import RequirementSpec
from heedful.requirements import REQUIREMENTS, parse
from heedful.requirements.counts import Counted
from requirement_examples import EXAMPLES

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "requirements.md"
BEGIN, END = "<!-- kinds: begin, made by tests/support/requirement_reference.py -->", "<!-- kinds: end -->"


def page() -> str:
    """The page with its entries as they should be."""
    head, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    return f"{head}{BEGIN}\n\n{entries()}\n{END}{rest.partition(END)[2]}"


def entries() -> str:
    return "\n".join(line for kind in REQUIREMENTS for line in _entry(kind))


def _entry(kind: str) -> Iterator[str]:
    spec = RequirementSpec(kind, EXAMPLES[kind])
    requirement, enforced = parse(spec), "enforced" if enforceable(spec) else "only checked"
    yield _plain(f"**`{kind}`** ({enforced}): {_said(REQUIREMENTS[kind])} {_own(REQUIREMENTS[kind], 'check')}".rstrip())
    if fields := [f"`{name}`{default}: {text}" for name, default, text in _fields(kind)]:
        yield _plain(f"- {' '.join(fields)}")
    yield _plain(f"- {' '.join(requirement.say('en').split())} {' '.join(requirement.say('zh').split())}")
    yield ""


def _fields(kind: str) -> Iterator[tuple[str, str, str]]:
    """(name, default in brackets, meaning) of each parameter; the bounds that many kinds have are told once, above."""
    bounds = Counted.model_fields if issubclass(REQUIREMENTS[kind], Counted) else {}
    if bounds:
        yield "minimum`, `maximum`, `exactly", "", "bounds."
    for name, field in REQUIREMENTS[kind].model_fields.items():
        if name in bounds:
            continue
        default: Any = field.get_default()
        shown = "" if field.is_required() or default is None else f" ({str(default).lower()})"
        yield field.alias or name, shown, " ".join(str(field.description).split())


def _said(thing: Any) -> str:
    """The first paragraph of a docstring."""
    return " ".join(str(thing.__doc__).strip().split("\n\n")[0].split())


def _own(kind: type, name: str) -> str:
    """What a method of the kind, or of the family it belongs to, says of itself."""
    return next((_said(vars(c)[name]) for c in kind.__mro__ if name in vars(c) and vars(c)[name].__doc__), "")


def _plain(line: str) -> str:
    """Asterisks and angle brackets as themselves, where Markdown would take them for marks: all but the first bold name."""
    start, kind, rest = line.rpartition("** (") if line.startswith("**") else ("", "", line)
    pieces = re.split(r"(`+[^`]*`+)", rest)
    pieces[::2] = [re.sub(r"[*<]", r"\\\g<0>", piece) for piece in pieces[::2]]
    return start + kind + "".join(pieces)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
