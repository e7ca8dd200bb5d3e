"""The word lists of `lexicon.toml`."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

_LISTS: dict[str, str] = tomllib.loads(files(__package__).joinpath("lexicon.toml").read_text(encoding="utf-8"))


def words(name: str) -> list[str]:
    """One list, in its order."""
    return _LISTS[name].split()


def alternatives(name: str) -> str:
    """One list as the inside of a pattern, longer words first."""
    return "|".join(sorted({re.escape(word) for word in words(name)}, key=len, reverse=True))
