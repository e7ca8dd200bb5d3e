"""The page's words in English and Chinese, and which of the two a visitor gets."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
"""Code and own name; the first is the default."""


@cache
def strings() -> Mapping[str, Mapping[str, str]]:
    """Key -> language -> text, from strings.toml."""
    return tomllib.loads(files("heedful.serve.pages").joinpath("strings.toml").read_text(encoding="utf-8"))


def words(language: str) -> dict[str, str]:
    """Key -> text in one language."""
    return {key: texts[language] for key, texts in strings().items()}


def script() -> str:
    """All strings as a JavaScript module, so that the page can change its language without being loaded again."""
    return f"export const STRINGS = {json.dumps(strings(), ensure_ascii=False)};\n"


def choose_language(chosen: str | None, accepted: str) -> str:
    """What the visitor chose before, else the best of `Accept-Language` (`zh-CN,zh;q=0.9,en;q=0.8`), else English."""
    if chosen in LANGUAGES:
        return str(chosen)
    wanted: list[tuple[float, int, str]] = []
    for place, part in enumerate(accepted.split(",")):
        name, _, quality = part.partition(";q=")
        wanted.append((-_number(quality), place, name.strip().lower().partition("-")[0]))
    return next((name for weight, _, name in sorted(wanted) if weight < 0 and name in LANGUAGES), next(iter(LANGUAGES)))


def _number(quality: str) -> float:
    try:
        return float(quality) if quality else 1.0
    except ValueError:
        return 0.0
