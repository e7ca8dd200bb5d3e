"""`heedful generate`: one instruction answered on standard output, or files of prompts answered into a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heedful.cli.requiring import (
    AutoRequireOption,
    BulletsOption,
    CharactersOption,
    CheckOnlyOption,
    ChoiceOption,
    EndsWithOption,
    ForbidOption,
    LanguageOption,
    MustOption,
    ParagraphsOption,
    RegexOption,
    RequirementsOption,
    RequireOption,
    SchemaOption,
    SentencesOption,
    StartsWithOption,
    WordsOption,
    in_options,
    told,
)
from heedful.cli.session import HERE, JsonOption, Precision, PrecisionOption, ProjectOption, Session, SetOption, opened
from heedful.errors import InputError, UserError

if TYPE_CHECKING:
    from heedful.generate.several import Agreement
    from heedful.pipeline.answering import Answer
    from heedful.pipeline.asking import Asked

_SHOWN_VOTES = 5
_LONGEST_VOTE = 40
"""Characters."""


def register(app: typer.Typer) -> None:
    """Add `generate` to `app`."""
    app.command("generate")(generate)


def generate(
    context: typer.Context,
    prompts: Annotated[
        list[str],
        typer.Argument(
            metavar="INSTRUCTION | FILE",
            show_default=False,
            help="What to do, in quotes; with --out, files, folders, globs or URLs with a prompt in each row.",
        ),
    ],
    input: Annotated[str, typer.Option("--input", metavar="TEXT", help="What to do it with.")] = "",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="PATH", help="Answer files: where to write a line of JSON for every row (.jsonl)."
        ),
    ] = None,
    skip_bad_rows: Annotated[
        bool, typer.Option("--skip-bad-rows", help="Leave out rows that cannot be answered, and list them.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="NAME",
            help="A model's name or folder, a .gguf file, or https://host/v1#name; default: the project's tuned model.",
        ),
    ] = None,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer, in tokens.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", min=0.0, help="0 is greedy.")] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="For temperatures above 0.")] = 0,
    top_p: Annotated[
        float, typer.Option("--top-p", min=0.0, max=1.0, help="Only the likeliest tokens that hold this share.")
    ] = 1.0,
    top_k: Annotated[int, typer.Option("--top-k", min=0, help="Only so many likeliest tokens; 0: no limit.")] = 0,
    min_p: Annotated[
        float,
        typer.Option("--min-p", min=0.0, max=1.0, help="Only tokens with this share of the likeliest one's chance."),
    ] = 0.0,
    n: Annotated[int, typer.Option("--n", min=1, help="How many answers to each prompt.")] = 1,
    stop: Annotated[
        list[str], typer.Option("--stop", metavar="TEXT", help="The answer ends before it; may be repeated.")
    ] = [],  # noqa: B006  (typer copies it)
    sampling: Annotated[
        list[str],
        typer.Option(
            "--sampling",
            metavar="NAME=VALUE",
            help="min_tokens, repetition_penalty, presence_penalty, frequency_penalty, logit_bias (ID:BIAS,...), "
            "num_beams or length_penalty; may be repeated.",
        ),
    ] = [],  # noqa: B006
    logprobs: Annotated[
        int | None,
        typer.Option(
            "--logprobs",
            metavar="K",
            min=0,
            help="Tell each token's log-probability, and the K likeliest tokens beside it (with --json or --out).",
        ),
    ] = None,
    best_of: Annotated[
        int | None,
        typer.Option("--best-of", metavar="N", min=1, help="Sample N answers, and keep the likeliest."),
    ] = None,
    majority: Annotated[
        int | None,
        typer.Option(
            "--majority",
            metavar="N",
            min=1,
            help="Sample N answers, and keep one that says in the end what most of them say.",
        ),
    ] = None,
    words: WordsOption = None,
    characters: CharactersOption = None,
    sentences: SentencesOption = None,
    paragraphs: ParagraphsOption = None,
    bullets: BulletsOption = None,
    must: MustOption = [],  # noqa: B006
    forbid: ForbidOption = [],  # noqa: B006
    starts_with: StartsWithOption = None,
    ends_with: EndsWithOption = None,
    choice: ChoiceOption = None,
    schema: SchemaOption = None,
    regex: RegexOption = None,
    language: LanguageOption = None,
    require: RequireOption = [],  # noqa: B006
    requirements: RequirementsOption = None,
    check_only: CheckOnlyOption = False,
    auto_require: AutoRequireOption = False,
    precision: PrecisionOption = "float32",
    project: ProjectOption = HERE,
    overrides: SetOption = [],  # noqa: B006
    as_json: JsonOption = False,
) -> None:
    """Answer one instruction, or every row of files.

    What is required of the answer, from --words to --auto-require, is said in the prompt, enforced while the answer is
    written, and checked at the end. Endpoints are asked again for what they cannot enforce.

    Without --out there is one argument, an instruction. With --out all arguments name files, in any format that import
    reads. A row has an "instruction" (and "input"), a "prompt", or "messages"; it may have an "id" and "requirements".
    An answer that it has is left out. Answers are written in the order of the rows. Killed, the same command continues.
    """
    from heedful.pipeline.asking import Asked, sampling_from
    from heedful.pipeline.requiring import requirements_from

    session: Session = context.obj
    _check_usage(prompts, out, input, skip_bad_rows)
    given = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed, "n": n, "stop": tuple(stop)}
    given |= {"top_p": top_p, "top_k": top_k, "min_p": min_p}
    flags = {"words": words, "characters": characters, "sentences": sentences, "paragraphs": paragraphs}
    flags |= {"bullets": bullets, "starts_with": starts_with, "ends_with": ends_with, "choice": choice}
    flags |= {"regex": regex, "language": language}
    asked = Asked(
        sampling_from(given, sampling),
        requirements_from(flags, must=must, forbid=forbid, schema=schema, texts=require, file=requirements),
        check_only=check_only,
        auto_require=auto_require,
        top_logprobs=logprobs,
        best_of=best_of,
        majority=majority,
    )
    name = model or _tuned(session, project, overrides)
    try:
        if out is None:
            return _answer(session, name, prompts[0], input, asked, precision, as_json)
        return _answer_files(session, name, prompts, out, asked, precision, skip_bad_rows, as_json)
    except UserError as error:
        raise in_options(error) from None


def _check_usage(prompts: list[str], out: Path | None, input: str, skip_bad_rows: bool) -> None:
    """Whether the arguments are an instruction or files is decided by --out alone; say so where something else is meant."""
    if out is None:
        if len(prompts) > 1:
            raise InputError(
                f"{len(prompts)} arguments: put the instruction in quotes; to answer the rows of files, add --out PATH"
            )
        if _is_file(prompts[0]):
            raise InputError(f"{prompts[0]} is a file; to answer its rows, add --out PATH")
        if skip_bad_rows:
            raise InputError("--skip-bad-rows is for the rows of files: name files, and add --out PATH")
        return
    if input:
        raise InputError("--input belongs to an instruction; rows of files have an 'input' of their own")
    for prompt in prompts:
        if not _may_be_path(prompt):
            raise InputError(
                f"{prompt[:80]!r} is no file: with --out, arguments name files; to answer one instruction, leave --out out"
            )


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except OSError:  # Too long for a name, for example.
        return False


def _may_be_path(text: str) -> bool:
    """False for what nobody calls a file: several lines, or words that name none and have no extension."""
    if "\n" in text or len(text) > 4000:
        return False
    return _is_file(text) or " " not in text or bool(Path(text).suffix) or "/" in text or "*" in text


def _tuned(session: Session, folder: Path, overrides: list[str]) -> str:
    from heedful.pipeline.run import graph_of, tuned_model

    project, settings = opened(folder, overrides)
    return tuned_model(graph_of(project, settings, session.watcher))


def _answer_files(
    session: Session,
    model: str,
    files: list[str],
    out: Path,
    asked: Asked,
    precision: Precision,
    skip_bad_rows: bool,
    as_json: bool,
) -> None:
    from heedful.pipeline.generating import generate_file

    result = generate_file(
        files, out, asked, model=model, precision=precision, watcher=session.watcher, skip_bad_rows=skip_bad_rows
    )
    session.show(str(result.pop("text")), result, as_json=as_json)


def _answer(
    session: Session,
    model: str,
    instruction: str,
    input: str,
    asked: Asked,
    precision: Precision,
    as_json: bool,
) -> None:
    from heedful.pipeline.asking import answers_to
    from heedful.pipeline.engines import described, keeping, new_engine
    from heedful.text import visible

    wanted = asked.wanted(instruction)
    for line in told(wanted.read) if asked.auto_require else ():
        session.watcher.say(visible(line))
    engine = keeping(new_engine(model, session.watcher, needs=asked.needs, precision=precision), model)
    try:
        session.watcher.say(f"answered by {described(engine)}")
        kept = answers_to(engine, instruction, input, asked.of(model), wanted)
    finally:
        engine.close()
    answers = kept.answers(wanted.all)
    value: Any = kept.answers_as_dicts(wanted.all)
    value = {**value[0], **kept.majority_as_dict()} if len(value) == 1 else {"answers": value}
    marks = [f"[{number}] " if len(answers) > 1 else "" for number in range(1, len(answers) + 1)]
    text = "\n\n".join(f"{mark}{answer.text}" for mark, answer in zip(marks, answers, strict=True))
    # What others wrote must not steer a terminal; whoever reads through a pipe gets it as it is.
    session.show(visible(text) if sys.stdout.isatty() else text, value, as_json=as_json)
    for mark, answer in zip(marks, answers, strict=True):
        for line in [*([] if as_json else _held(answer)), *answer.complaints]:
            typer.echo(visible(mark + line), err=True)
    if kept.agreement is not None and not as_json:
        typer.echo(visible(_votes(kept.agreement)), err=True)


def _held(answer: Answer) -> list[str]:
    """`enforced: words, keywords (7 of 40 tokens are not what the model would have chosen)`; nothing without requirements."""
    lines = []
    for treated in ("enforced", "checked"):
        pairs = zip(answer.requirements, answer.treated, strict=True)
        if kinds := [spec.kind for spec, own in pairs if own == treated]:
            lines.append(f"{treated}: {', '.join(dict.fromkeys(kinds))}")
    report = answer.generation.constraint_report or {}
    if lines and (forced := report.get("forced_tokens")):
        lines[0] += f" ({forced:,} of {report['tokens']:,} tokens are not what the model would have chosen)"
    return lines


def _votes(agreement: Agreement) -> str:
    """`5 of 8 answers say 42; others: 41 (2), 7 (1)`."""
    if not agreement.votes:
        return f"none of {agreement.num_samples} answers says anything"
    told = [f"{_shortened(text)} ({count})" for text, count in agreement.votes[1:]]
    shown = told if len(told) <= _SHOWN_VOTES else [*told[:_SHOWN_VOTES], f"and {len(told) - _SHOWN_VOTES} more"]
    others = f"; others: {', '.join(shown)}" if shown else ""
    count = agreement.votes[0][1]
    return f"{count} of {agreement.num_samples} answers say {_shortened(agreement.answer)}{others}"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_VOTE else f"{text[:_LONGEST_VOTE]}…"
