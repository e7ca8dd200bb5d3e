"""Rows in files, without a project: read, curate, evaluate, generate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from heedful.api._watching import watching

if TYPE_CHECKING:
    from heedful.api.generators import Requirements
    from heedful.records import Example
    from heedful.sources import ReadResult
    from heedful.sources.records_reader import OnError

Paths = str | Path | Sequence[str | Path]
"""A file, folder, glob or URL, or several of them."""


def read(path: Paths, *, on_error: OnError = "stop", progress: bool = False) -> ReadResult:
    """Rows of any known format, with a report of how each file was understood; `on_error="skip"` reports bad rows instead."""
    from heedful import sources

    with watching(progress) as watcher:
        return sources.read_records(_several(path), on_error=on_error, watcher=watcher)


@dataclass(frozen=True)
class Curated:
    """Every row that was read, once: kept or dropped. Printed, it is the funnel."""

    kept: list[Example]
    """Normalised, each with its split."""
    dropped: list[tuple[Example, str]]
    """Each with its reason."""
    funnel: dict[str, Any]
    """Counts by step, reason, split and method."""
    notes: tuple[str, ...]
    """What the command would have said: a split that cannot be what was asked."""

    def save(self, path: str | Path) -> Path:
        """Write the kept rows to `path` (.parquet or .jsonl); returns the file beside it that holds the dropped ones."""
        from heedful.curate.steps import CurateResult
        from heedful.pipeline.standalone import save_curated

        return save_curated(CurateResult(self.kept, self.dropped, self.funnel), Path(path))

    def __str__(self) -> str:
        from heedful.curate import describe_funnel

        return "\n\n".join([describe_funnel(self.funnel), *self.notes])


def curate(path: Paths, *, seed: int = 1, progress: bool = False, **settings: Any) -> Curated:
    """Clean, deduplicate and split the rows of files; `settings` are those of `[curate]`, as `test_share=0.2`."""
    from heedful.pipeline.standalone import curated

    overrides = {"project.seed": seed, **{f"curate.{name}": value for name, value in settings.items()}}
    with watching(progress) as watcher:
        result = curated(_several(path), overrides, watcher)
    return Curated(result.kept, result.dropped, result.funnel, tuple(watcher.said))


def evaluate(
    path: Paths,
    tuned: str | Path,
    *,
    base: str | Path | None = None,
    out: str | Path,
    seed: int = 1,
    progress: bool = False,
    **settings: Any,
) -> Mapping[str, Any]:
    """Compare `tuned` with `base` on the test rows of files; answers and scores go into the folder `out`.

    `settings` are those of `[evaluate]`, as `max_rows=20`. What is returned is also in `out/results.json`.
    """
    from heedful.pipeline.standalone import evaluate_files

    overrides: dict[str, Any] = {"project.seed": seed}
    overrides |= {f"evaluate.{name}": value for name, value in settings.items()}
    if base is not None:
        overrides["tune.model"] = str(base)
    with watching(progress) as watcher:
        results: Mapping[str, Any] = evaluate_files(_several(path), str(tuned), Path(out), overrides, watcher)[
            "results"
        ]
    return results


def generate_file(
    path: Paths,
    model: str | Path,
    *,
    out: str | Path,
    requirements: Requirements = (),
    check_only: bool = False,
    auto_require: bool = False,
    top_logprobs: int | None = None,
    best_of: int | None = None,
    majority: int | None = None,
    precision: Literal["float32", "bfloat16", "int8", "fastest"] = "float32",
    skip_bad_rows: bool = False,
    progress: bool = False,
    **sampling: Any,
) -> Mapping[str, Any]:
    """Answer every row of files into the .jsonl file `out`, in order; killed, the same call continues.

    A row has an instruction (and input), a prompt, or messages. `sampling` are fields of
    `heedful.generate.engine.Sampling`, as `max_tokens=64`. `best_of` answers are sampled to keep the likeliest, `majority`
    answers to keep one that says what most of them say; a row then holds the votes. Requirements, a row's own too, are said
    and enforced, unless `check_only`; `auto_require` adds what each instruction states itself. Returns counts; `skip_bad_rows` leaves
    out what cannot be answered, instead of raising InputError.
    """
    from heedful.api.generators import specs_of
    from heedful.pipeline.asking import Asked, sampling_from
    from heedful.pipeline.generating import generate_file as generate

    asked = Asked(
        sampling_from(sampling),
        specs_of(requirements),
        check_only=check_only,
        auto_require=auto_require,
        top_logprobs=top_logprobs,
        best_of=best_of,
        majority=majority,
    )
    with watching(progress) as watcher:
        return generate(
            _several(path),
            Path(out),
            asked,
            model=str(model),
            watcher=watcher,
            precision=precision,
            skip_bad_rows=skip_bad_rows,
        )


def _several(path: Paths) -> list[str]:
    return [str(path)] if isinstance(path, str | Path) else [str(one) for one in path]
