"""What must be kept, as options of a command: a flag for each kind that people often ask for, --require for all others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heedful.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from heedful.pipeline.requiring import Read

WordsOption = Annotated[
    str | None, typer.Option("--words", metavar="MIN:MAX", help="Number of words: 40, 30:50, 30: or :50.")
]
CharactersOption = Annotated[str | None, typer.Option("--characters", metavar="MIN:MAX", help="Of characters.")]
SentencesOption = Annotated[str | None, typer.Option("--sentences", metavar="MIN:MAX", help="Of sentences.")]
ParagraphsOption = Annotated[str | None, typer.Option("--paragraphs", metavar="MIN:MAX", help="Of paragraphs.")]
BulletsOption = Annotated[str | None, typer.Option("--bullets", metavar="MIN:MAX", help="Of bullet points.")]
MustOption = Annotated[list[str], typer.Option("--must", metavar="WORD", help="Must occur; may be repeated.")]
ForbidOption = Annotated[list[str], typer.Option("--forbid", metavar="WORD", help="Must not occur; may be repeated.")]
StartsWithOption = Annotated[str | None, typer.Option("--starts-with", metavar="TEXT", help="How it begins.")]
EndsWithOption = Annotated[str | None, typer.Option("--ends-with", metavar="TEXT", help="How it ends.")]
ChoiceOption = Annotated[str | None, typer.Option("--choice", metavar="A|B|...", help="It is one of these.")]
SchemaOption = Annotated[
    Path | None,
    typer.Option("--schema", "--json-schema", metavar="FILE", help="It is JSON that fits the JSON Schema in FILE."),
]
RegexOption = Annotated[
    str | None, typer.Option("--regex", metavar="PATTERN", help="All of it matches a regular expression.")
]
LanguageOption = Annotated[str | None, typer.Option("--language", metavar="CODE", help="Its language: en, zh ...")]
RequireOption = Annotated[
    list[str],
    typer.Option(
        "--require",
        metavar="NAME=VALUE",
        help="Any other kind, such as letters='e :5', case=upper, no-commas; may be repeated.",
    ),
]
RequirementsOption = Annotated[
    Path | None, typer.Option("--requirements", metavar="FILE", help="A list of requirements (.toml or .json).")
]
CheckOnlyOption = Annotated[
    bool, typer.Option("--check-only", help="Say requirements and check them, but do not enforce any.")
]
AutoRequireOption = Annotated[
    bool, typer.Option("--auto-require", help="Require what each instruction itself states, and list it.")
]


def in_options(error: UserError) -> UserError:
    """The same error, with remedies that can be typed."""
    text = str(error)
    for said, option in (
        ('set "enforce": false on each', "add --check-only"),
        ('set "enforce": false', "add --check-only"),
        ("raise max_tokens", "raise --max-tokens"),
    ):
        text = text.replace(said, option)
    return type(error)(text)


def told(read: Iterable[Read]) -> list[str]:
    """A line for each requirement that was read, or that none was."""
    lines = [f"read from the instruction: {one.described()}" for one in read]
    return lines or ["no requirement was read from the instruction"]
