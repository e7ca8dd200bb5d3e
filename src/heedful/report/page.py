"""Writes the page: one HTML file that loads nothing, runs nothing, and is the same bytes for the same data.

Everything from data is escaped by Jinja. Were a hole found in that, the page's own policy still forbids scripts,
frames, forms, images and every address, and allows exactly one style sheet, named by its hash.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from heedful.errors import InputError
from heedful.project import write_text
from heedful.report.data import ReportData
from heedful.report.palette import LIGHT, PALETTE, chart_rules, variables
from heedful.report.view import duration, thousands, typographic, view
from heedful.text import visible


def write_report(path: Path, data: ReportData) -> None:
    """Write `report.html` atomically."""
    write_text(path, render_report(data))


def write_page(path: Path, page: str) -> None:
    """Write a page where the user wants it; raises InputError for a file that is no page, or cannot be written."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{path}: expected a name that ends in .html, so that no data is overwritten by a page")
    try:
        write_text(path, page)
    except (FileExistsError, IsADirectoryError, NotADirectoryError, PermissionError) as error:
        raise InputError(f"{path}: cannot be written ({error.strerror}); name a file in a folder of yours") from None


def render_report(data: ReportData) -> str:
    """The page as text."""
    return render("report", view(data), charts=Markup(chart_rules()))


def render(name: str, values: Mapping[str, Any], **style_values: Markup) -> str:
    """The page `name`.html, with `name`.css as its style sheet, filled with `values`."""
    environment = Environment(
        loader=PackageLoader("heedful.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": thousands, "duration": duration, "typographic": typographic}
    style = environment.get_template(f"{name}.css").render(
        light=Markup(variables("light")), dark=Markup(variables("dark")), **style_values
    )
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template(f"{name}.html").render(
        **values,
        # The style sheet and the policy are ours; they hold nothing from data.
        style=Markup(style),
        policy=f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'",
        paper={"light": LIGHT["paper"], "dark": PALETTE["paper"].dark},
    )


def _shown(value: Any) -> Any:
    """Text from data, with what cannot stand in a page made visible."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
