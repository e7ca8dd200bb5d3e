"""A view of rows as text for a terminal: counts, then row by row, in as many columns as there are.

Widths are counted in cells, in which a Chinese character takes two; a line never ends inside one. Text from data is made
visible first: no control character of a row reaches the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping

import typer
from rich.cells import cell_len, split_graphemes

from heedful.project.lineage import Trail
from heedful.report.rows import DataRow, DataView
from heedful.text import visible

Paint = Callable[[str, str], str]
"""(text, colour) -> text with the colour, or as it was."""

_LABEL = 11
"""Columns that a label takes, the space behind it included."""
_LINES = 8
"""Of a message; the rest is counted, and shown by --full."""
_COLOURS = {"user": "cyan", "assistant": "green", "system": "magenta", "chosen": "green", "rejected": "red"}
# Chinese punctuation that never begins a line; the empty text is the end of a paragraph.
_CLOSING = frozenset(["", *"，。、；：？！）》」』】〉”’…～·"])
_NOT_ROWS = {"tasks": "task definitions, whose examples are the rows"}


def in_colour(text: str, colour: str) -> str:
    """For a terminal."""
    return typer.style(text, fg=colour or None, bold=not colour)


def plain(text: str, colour: str) -> str:
    """For everything else."""
    return text


def paint_of_screen() -> Paint:
    """In colour where standard output is a terminal that shows it, and nobody asked for none."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return in_colour if coloured else plain


def terminal_view(view: DataView, *, width: int, paint: Paint, full: bool) -> str:
    """The whole view. `full` shows long messages to their end."""
    blocks = ["\n".join(_head(view, width, paint))]
    blocks += [
        "\n".join(_row(row, view, number, width, paint, full))
        for number, row in enumerate(view.rows, start=view.offset + 1)
    ]
    return "\n\n".join([*blocks, _paging(view)])


def wrapped(text: str, width: int) -> list[str]:
    """`text` in lines of at most `width` cells, broken at spaces and between wide characters where it can be."""
    return [line for paragraph in text.split("\n") for line in _broken(paragraph, max(width, 2))]


def _head(view: DataView, width: int, paint: Paint) -> Iterator[str]:
    said = f"{view.matching:,} of {view.total:,} rows match"
    typed = f": {visible(' '.join(view.filters))}" if view.filters else ""
    for number, line in enumerate(wrapped(f"{visible(view.title)}: {said}{typed}", width)):
        yield paint(line, "") if number == 0 else line
    for name, counts in view.counts.items():
        if counts:
            yield from _labelled("dropped" if name == "reason" else name, _counted(counts), width, paint, "yellow")
    if view.missing:
        note = f"not built for these settings: {', '.join(view.missing)}; `heedful {view.missing[-1]}` builds "
        note += "it, and only then rows have a split or a reason why they were dropped"
        yield from _labelled("missing", note, width, paint, "red")
    for kind, number in view.not_rows.items():
        yield from _labelled("besides", f"{number:,} {_NOT_ROWS[kind]}", width, paint, "yellow")
    for hint in view.hints:
        yield from _labelled("hint", visible(hint), width, paint, "yellow")


def _row(row: DataRow, view: DataView, number: int, width: int, paint: Paint, full: bool) -> Iterator[str]:
    yield from _title(row, number, width, paint)
    if row.reason:
        yield from _labelled("because", visible(": ".join(filter(None, (row.reason, row.detail)))), width, paint, "red")
    yield from _labelled("from", visible(", ".join(filter(None, (row.source, row.place)))), width, paint, "")
    for role, content in row.turns:
        yield from _labelled(
            role, visible(content).expandtabs(4), width, paint, _COLOURS.get(role, ""), most=None if full else _LINES
        )
    for sentence in row.requirements:
        yield from _labelled("required", visible(sentence), width, paint, "magenta")
    if row.id in view.trails:
        yield from _trail(row, view.trails[row.id], width, paint)


def _title(row: DataRow, number: int, width: int, paint: Paint) -> Iterator[str]:
    """Number, id and state, coloured; then whatever else is known, in as many lines as it takes."""
    count, id, state = f"{number}.", visible(row.id)[:12], "dropped" if row.reason else row.split
    start = f"{count} {id}  {state}"
    facts = " · ".join(filter(None, [state, *map(visible, dict.fromkeys((row.method, row.task, row.language)))]))
    first, *more = wrapped(f"{count} {id}  {facts}", width)
    coloured = f"{paint(count, '')} {paint(id, 'yellow')}  {paint(state, 'red' if row.reason else 'blue')}"
    yield coloured + first.removeprefix(start)
    yield from more


def _trail(row: DataRow, trail: Trail, width: int, paint: Paint) -> Iterator[str]:
    label = "lineage"
    for ancestor in trail:
        node = ancestor.node
        whose = "" if node.id == row.id else f"{node.id[:12]}  "
        indent = "  " * min(ancestor.depth, 6)
        yield from _labelled(label, visible(f"{whose}{node.stage}: {node.what}"), width, paint, "yellow", indent=indent)
        label = ""


def _labelled(
    label: str, text: str, width: int, paint: Paint, colour: str, *, most: int | None = None, indent: str = ""
) -> Iterator[str]:
    """`label     text`, further lines below the first; at most `most` of them."""
    lines = wrapped(text, width - _LABEL - 3 - len(indent)) if text.strip() else ["(empty)"]
    for number, line in enumerate(lines[:most]):
        head = paint(label, colour) + " " * (_LABEL - len(label)) if number == 0 else " " * _LABEL
        yield f"   {head}{indent}{line}".rstrip()
    if most is not None and len(lines) > most:
        yield f"   {'':<{_LABEL}}… {len(lines) - most} more lines; --full shows them"


def _counted(counts: Mapping[str, int]) -> str:
    return " · ".join(f"{visible(name)} {number:,}" for name, number in counts.items())


def _paging(view: DataView) -> str:
    if not view.rows:
        return f"no rows here: --offset {view.offset} is behind the last one" if view.matching else "no rows to show"
    last = view.offset + len(view.rows)
    said = f"rows {view.offset + 1:,} to {last:,} of {view.matching:,}"
    return f"{said}; --offset {last} shows the next" if last < view.matching else said


def _broken(paragraph: str, width: int) -> Iterator[str]:
    """One paragraph in lines."""
    start, end, cells, opportunity = 0, 0, 0, 0
    for first, last, size in split_graphemes(paragraph)[0]:
        if cells + size > width and paragraph[first] == " ":
            # The space that does not fit is the break itself.
            yield paragraph[start:first].rstrip()
            start = end = last
            cells = 0
            continue
        if cells + size > width:
            cut = opportunity if opportunity > start else end
            yield paragraph[start:cut].rstrip()
            start = cut
            cells = cell_len(paragraph[start:first])
        cells, end = cells + size, last
        if _may_break(paragraph[first], size, paragraph[last : last + 1]):
            opportunity = last
    yield paragraph[start:].rstrip()


def _may_break(character: str, size: int, following: str) -> bool:
    """Whether a line may end behind `character`: after a space, and around wide characters, but not before 。"""
    if following in _CLOSING:
        return False
    return character == " " or size == 2 or cell_len(following) == 2
