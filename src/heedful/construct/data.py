"""What the methods say and know, read from the TOML files beside this one: wordings, prompts, word lists."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from heedful.requirements import Language


@cache
def table(name: str) -> dict[str, Any]:
    """The file `name`.toml. Shared by all callers: do not change it."""
    return tomllib.loads(files("heedful.construct").joinpath(f"{name}.toml").read_text(encoding="utf-8"))


def prompts(method: str, language: Language) -> dict[str, Any]:
    """What `method` asks the writing model in `language`."""
    texts: dict[str, Any] = table("prompts")[method][language]
    return texts


def word_list(name: str) -> frozenset[str]:
    """The words of a list."""
    return frozenset(table("words")[name].split())
