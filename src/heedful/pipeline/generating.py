"""Files of prompts -> one file with a line of JSON for every row, in order.

A run that is killed goes on when it is asked for again, and ends with the bytes that it would have written uninterrupted
(`answer_journal.py`). What cannot be answered is told before anything is generated.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

from filelock import FileLock, Timeout

from heedful.errors import InputError, ProjectError, UserError
from heedful.generate.engine import Engine, Request
from heedful.pipeline.answer_journal import answered, journals
from heedful.pipeline.asking import Asked, without_id
from heedful.pipeline.engines import (
    ENFORCING,
    MANY,
    Arithmetic,
    Need,
    described,
    is_endpoint,
    is_independent,
    keeping,
    new_engine,
)
from heedful.pipeline.prompt_rows import BadPrompt, PromptRow, read_prompts
from heedful.project.atomic import remove_partials, write_text
from heedful.project.progress import Watcher
from heedful.records import Message
from heedful.text import visible

_SHOWN = 10


def generate_file(
    files: Sequence[str],
    out: Path,
    asked: Asked,
    *,
    model: str,
    watcher: Watcher,
    precision: Arithmetic = "float32",
    skip_bad_rows: bool = False,
) -> dict[str, Any]:
    """Answer every row of `files` into `out`; raises InputError, before anything is generated, for rows that are none.

    With `skip_bad_rows` those are left out, and written with their reasons to a file beside `out`. Returns what was
    done as plain data, with a `text` for people.
    """
    skipped = out.with_name(f"{out.stem}.skipped.jsonl")
    asked = asked.of(model)
    _check_out(out)
    rows, bad = read_prompts(files, asked, forbidden=(out, skipped))
    _refuse(rows, bad, skip_bad_rows)
    if asked.auto_require:
        watcher.say(_told_of_reading(rows))
    enforces = any(spec.enforce for row in rows for spec in row.requirements)
    needs = asked.needs | MANY | (ENFORCING if enforces else frozenset())
    with _alone(out), _opened(model, out, needs, precision, watcher) as (engine, name):
        if not is_endpoint(model):
            rows, refused = _tried(engine, rows, asked)
            bad = sorted([*bad, *refused], key=lambda row: row.number)
            _refuse(rows, bad, skip_bad_rows)
        watcher.say(f"answered by {name}")
        in_groups = not (is_endpoint(model) or is_independent(engine))
        lines, num_found = answered(engine, rows, asked, out, watcher, in_groups=in_groups)
        _write(out, skipped, lines, bad)
    summary: dict[str, Any] = {
        "rows": len(rows) + len(bad),
        "answered": len(rows),
        "skipped": len(bad),
        "resumed": num_found,
    }
    summary |= {**_counted(lines), "engine": name, "out": str(out), "bad_rows": [row.reason for row in bad[:_SHOWN]]}
    if bad:
        summary["skipped_rows"] = str(skipped)
    return {"text": _told(summary), **summary}


# -- before anything is generated ------------------------------------------------------------------------------------------


def _check_out(out: Path) -> None:
    if out.suffix != ".jsonl":
        raise InputError(f"{out}: expected a name that ends in .jsonl, since each row's answers are a line of JSON")
    if out.is_dir():
        raise InputError(f"{out} is a folder; name a file for the answers")


def _told_of_reading(rows: Sequence[PromptRow]) -> str:
    read = [one for row in rows for one in row.read]
    if not read:
        return "no requirement was read from the instructions"
    kinds = Counter(f"{one.spec.kind}{'' if one.spec.enforce else ' (only checked)'}" for one in read)
    counts = ", ".join(f"{kind} {count:,}" for kind, count in kinds.most_common())
    return f"requirements read from {sum(bool(row.read) for row in rows):,} of {_several(len(rows), 'instruction')}: {counts}"


def _refuse(rows: Sequence[PromptRow], bad: Sequence[BadPrompt], skip: bool) -> None:
    """Raise InputError listing the bad rows, unless they may be skipped and others are left."""
    if not bad or (skip and rows):
        return
    remedy = "correct them" if skip else "correct them, or leave them out with --skip-bad-rows"
    head = f"{len(bad):,} of {_several(len(rows) + len(bad), 'row')} cannot be answered:"
    raise InputError(
        "\n".join([head, *_listed([row.reason for row in bad], len(bad)), f"{remedy}; nothing was generated"])
    )


def _listed(reasons: Sequence[str], total: int) -> list[str]:
    shown = [f"  {visible(reason)}" for reason in reasons[:_SHOWN]]
    return [*shown, f"  and {total - len(shown):,} more"] if total > len(shown) else shown


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """No other process writes `out` meanwhile. The lock is the kernel's: a killed process does not hold it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    path = out.with_name(f".{out.name}.lock")
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise ProjectError(f"another process is writing {out}; wait until it is done, or stop it") from None
    try:
        remove_partials(out.parent, out.name)
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


@contextmanager
def _opened(
    model: str, out: Path, needs: Collection[Need], precision: Arithmetic, watcher: Watcher
) -> Iterator[tuple[Engine, str]]:
    """The engine and what it is called. Of endpoints every answer is kept beside `out`: they may cost money."""
    engine = new_engine(model, watcher, needs=needs, precision=precision)
    name = described(engine)
    try:
        if is_endpoint(model):
            from heedful.generate.cached import CachedEngine

            engine = CachedEngine(engine, out.with_name(f".{out.name}.requests.sqlite"), watcher)
        yield keeping(engine, model), name
    finally:
        engine.close()


def _tried(engine: Engine, rows: Sequence[PromptRow], asked: Asked) -> tuple[list[PromptRow], list[BadPrompt]]:
    """The rows that `engine` takes, and those that it refuses: prompts that are too long for the model, requirements that take
    more tokens than an answer may have."""
    try:
        _try(engine, asked.request("settings", (Message("user", "a"),), asked.wanted("").all))
    except UserError as error:
        # What is wrong with every request is not the rows' fault.
        raise without_id(error, "settings") from None
    taken, refused = [], []
    for row in rows:
        try:
            _try(engine, asked.request(row.id, row.messages, row.requirements))
        except UserError as error:
            refused.append(row.bad(str(without_id(error, row.id))))
        else:
            taken.append(row)
    return taken, refused


def _try(engine: Engine, request: Request) -> None:
    """Raise the UserError for what `engine` refuses. One on this machine begins nothing before it is waited for."""
    check = getattr(engine, "check", None)
    if check is not None:
        check(request)
    # What it takes to keep requirements is known when they are composed.
    if check is None or any(spec.enforce for spec in request.requirements):
        engine.submit(request).cancel()


# -- the end ---------------------------------------------------------------------------------------------------------------


def _write(out: Path, skipped: Path, lines: Sequence[str], bad: Sequence[BadPrompt]) -> None:
    """Write both files, the one that was asked for last; then no journal is needed any more."""
    if bad or skipped.exists():
        told = ({"reason": row.reason, "row": row.values} for row in bad)
        write_text(skipped, "".join(json.dumps(value, ensure_ascii=False, default=str) + "\n" for value in told))
    write_text(out, "".join(lines))
    for path in journals(out):
        path.unlink(missing_ok=True)


def _counted(lines: Sequence[str]) -> dict[str, Any]:
    rows = [json.loads(line) for line in lines]
    answers = [answer for row in rows for answer in row["answers"]]
    shares = [row["majority"]["share"] for row in rows if "majority" in row]
    return {
        **({"mean_share": fmean(shares)} if shares else {}),
        "answers": len(answers),
        "finish_reasons": dict(sorted(Counter(answer["finish_reason"] for answer in answers).items())),
        # One more complaint is said of an answer that was cut off.
        "breaking_requirements": sum(
            len(answer["complaints"]) > (answer["finish_reason"] == "length") for answer in answers
        ),
        **_enforced(answers),
        "prompt_tokens": sum(answer["prompt_tokens"] for answer in answers),
        "completion_tokens": sum(answer["completion_tokens"] for answer in answers),
    }


def _enforced(answers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What enforcing requirements did, where any were."""
    reports = [answer["constraint_report"] for answer in answers if "constraint_report" in answer]
    counted = {
        "held_to_requirements": sum(
            any(one["treated"] == "enforced" for one in answer.get("requirements", ())) for answer in answers
        ),
        "forced_tokens": sum(report.get("forced_tokens", 0) for report in reports),
        "asked_again": sum(report.get("attempts", 1) - 1 for report in reports),
    }
    return counted if reports else {}


def _told(summary: Mapping[str, Any]) -> str:
    lines = [
        f"{_several(summary['answered'], 'row')} answered by {summary['engine']}, "
        f"{_several(summary['completion_tokens'], 'token')} written to {summary['out']}"
    ]
    if (share := summary.get("mean_share")) is not None:
        lines.append(f"of the answers sampled for a row, {share:.0%} on average say what the majority says")
    if cut := summary["finish_reasons"].get("length"):
        lines.append(f"{_several(cut, 'answer')} cut off; --max-tokens allows more")
    if held := summary.get("held_to_requirements"):
        share = summary["forced_tokens"] / max(summary["completion_tokens"], 1)
        forced = f"; {share:.0%} of all tokens are not what the model would have chosen" if share else ""
        lines.append(f"{_several(held, 'answer')} held to the requirements while written{forced}")
    if again := summary.get("asked_again"):
        lines.append(f"{_several(again, 'answer')} asked for again, to have the requirements kept")
    if broken := summary["breaking_requirements"]:
        lines.append(f"{broken:,} of {_several(summary['answers'], 'answer')} did not keep what was required")
    if summary["skipped"]:
        lines.append(f"{_several(summary['skipped'], 'row')} left out, with reasons in {summary['skipped_rows']}:")
        lines += _listed(summary["bad_rows"], summary["skipped"])
    return "\n".join(lines)


def _several(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
