"""Colours, by role, for light and dark pages.

Charts are drawn once, in the light colours; the style sheet then recolours every attribute that carries one of them
(`[fill="#..."]`), so that a chart follows the page's theme, and still has sensible colours when taken out of it.
All text colours reach a contrast of at least 4.5 : 1 on `paper` and on `panel`; `tests/report` computes it.
"""

from __future__ import annotations

from typing import NamedTuple


class Shades(NamedTuple):
    """One role's colour in both themes."""

    light: str
    dark: str


PALETTE: dict[str, Shades] = {
    "paper": Shades("#fbfaf7", "#14171a"),
    "panel": Shades("#ffffff", "#1c2024"),
    "sunken": Shades("#f3f1eb", "#0f1214"),
    "line": Shades("#dfdcd3", "#343a40"),
    "ink": Shades("#1c2126", "#eceae4"),
    "muted": Shades("#57606a", "#a3acb6"),
    "base": Shades("#626b76", "#98a2ad"),
    "tuned": Shades("#3d44b5", "#a9b0ff"),
    "better": Shades("#0b6b57", "#5fd0b0"),
    "worse": Shades("#ae3d0f", "#ffa07a"),
    "unsure": Shades("#5f6670", "#a0a8b1"),
    "soft": Shades("#d9dcf3", "#33385f"),
}

LIGHT: dict[str, str] = {role: shades.light for role, shades in PALETTE.items()}


def variables(theme: str) -> str:
    """The style sheet's custom properties for `theme` ("light" or "dark")."""
    return "".join(f"--{role}:{getattr(shades, theme)};" for role, shades in PALETTE.items())


def chart_rules() -> str:
    """Rules that give every coloured attribute of a chart the page's colour of the same role."""
    return "\n".join(
        f'.plot [{attribute}="{shades.light}"]{{{attribute}:var(--{role})}}'
        for role, shades in PALETTE.items()
        for attribute in ("fill", "stroke")
    )
