"""Rows -> a line of JSON for each, with a journal from which a killed run goes on.

The journal is a hidden file beside the output, `.answers.jsonl.KEY.journal`; its key is a hash of the prompts, the model
and how it is asked, so that another question never finds these answers.

With some engines an answer depends, in its last bits, on what else was in the batch. Then rows are answered in groups
that are cut by position alone, and the journal holds whole groups: a group that was under way is asked again, all of it.
Where answers are independent of each other each is kept as it comes. So they are of endpoints, whose answers are in a
request cache besides: none that has come is ever asked, and paid, again.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

from heedful.errors import EngineError
from heedful.generate.engine import Engine, Handle
from heedful.pipeline.asking import Asked, Kept
from heedful.pipeline.prompt_rows import PromptRow
from heedful.project.journal import Journal
from heedful.project.progress import Watcher, steps
from heedful.records import digest

_VERSION = 2
"""Raised by hand when the lines that are written change: journals of before are then no longer used."""
BATCHES_PER_GROUP = 4
"""Of the engine's preferred size: so many rows are under way at most. At the end of a group the batch runs empty, and a kill
costs at most one group."""
_WRITING_SHARE = 0.1
"""Of the time that may be spent on making answers durable one by one."""


def answered(
    engine: Engine, rows: Sequence[PromptRow], asked: Asked, out: Path, watcher: Watcher, *, in_groups: bool
) -> tuple[list[str], int]:
    """A line for every row, and how many of them an interrupted run had left."""
    size = BATCHES_PER_GROUP * engine.preferred_batch
    path = out.with_name(f".{out.name}.{_key(engine, rows, asked, size if in_groups else 0)[:16]}.journal")
    if not path.exists() and any(other.stat().st_size for other in journals(out)):
        watcher.say(
            f"{out} begins anew: prompts, model or settings are not those of the run that was interrupted, whose answers "
            "are kept until this one is complete"
        )
    with Journal(path, watcher) as journal:
        lines = [line for entry in journal.read() for line in entry["lines"]]
        num_found = len(lines)
        if num_found:
            watcher.say(f"{out} goes on: {num_found:,} of {len(rows):,} rows had been answered")
        fresh = _in_order(engine, rows[num_found:], asked, size, in_groups=in_groups)
        with steps(watcher, "generate", len(rows) - num_found, "rows") as progress:
            for group in _together(_counting(fresh, progress.advance), size if in_groups else None):
                journal.append({"lines": group})
                lines += group
    return lines, num_found


def journals(out: Path) -> list[Path]:
    """Of all runs that were to write `out`."""
    # Not by a pattern: the name may hold what a pattern would understand otherwise.
    start = f".{out.name}."
    return sorted(path for path in out.parent.iterdir() if path.name.startswith(start) and path.suffix == ".journal")


def _key(engine: Engine, rows: Sequence[PromptRow], asked: Asked, size: int) -> str:
    """A hash of everything that decides what is written; `size` of groups, 0 where there are none."""
    prompts = [
        [row.id, [[m.role, m.content] for m in row.messages], [spec.as_dict() for spec in row.requirements]]
        for row in rows
    ]
    settings: list[object] = [asdict(asked.sampling), asked.top_logprobs]
    if asked.num_samples is not None:
        settings.append([asked.best_of, asked.majority, asked.ties_by_likelihood])
    return digest([_VERSION, size, engine.identity, *settings, prompts])


def _in_order(engine: Engine, rows: Sequence[PromptRow], asked: Asked, size: int, *, in_groups: bool) -> Iterator[str]:
    """A line for each row. At most `size` are under way, and `in_groups` all of these end before others begin."""
    waiting = iter(rows)
    under_way: deque[tuple[PromptRow, Handle]] = deque()
    while True:
        if not (in_groups and under_way):
            for row in islice(waiting, size - len(under_way)):
                under_way.append((row, engine.submit(asked.request(row.id, row.messages, row.requirements))))
        if not under_way:
            return
        row, handle = under_way.popleft()
        try:
            generations = handle.result()
        except EngineError as error:
            raise EngineError(
                f"{row.place}: {error}; what is answered is kept, and the same command goes on"
            ) from error
        yield _line(row, asked.kept(generations), engine.identity)


def _line(row: PromptRow, kept: Kept, identity: str) -> str:
    value = {
        "id": row.id,
        "messages": [{"role": message.role, "content": message.content} for message in row.messages],
        "answers": kept.answers_as_dicts(row.requirements),
        **kept.majority_as_dict(),
        "model": identity,
    }
    return json.dumps(value, ensure_ascii=False, allow_nan=False) + "\n"


def _together(lines: Iterator[str], size: int | None) -> Iterator[list[str]]:
    """Lines to be made durable together: `size` of them; without a size each as it comes, while the disk keeps up."""
    if size is not None:
        while group := list(islice(lines, size)):
            yield group
        return
    group, free_at = [], 0.0
    try:
        for line in lines:
            group.append(line)
            if (begun := time.monotonic()) >= free_at:
                yield group
                done = time.monotonic()
                group, free_at = [], done + (done - begun) / _WRITING_SHARE
    except (Exception, KeyboardInterrupt):
        # What has come is kept, whatever ended the rest.
        if group:
            yield group
        raise
    if group:
        yield group


def _counting(lines: Iterable[str], advance: Callable[[], object]) -> Iterator[str]:
    for line in lines:
        advance()
        yield line
