"""The charts: Altair specifications drawn to SVG by vl-convert, without a browser and without reading anything.

Every chart is drawn twice, for wide and for narrow screens, since a chart that is merely scaled down to a phone cannot be
read; the style sheet shows one of the two. Labels stand above their bars and intervals on narrow charts, beside them on
wide ones. What a chart shows is always also on the page as a table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair
import vl_convert
from altair.utils.schemapi import debug_mode
from markupsafe import Markup

from heedful.report.palette import LIGHT
from heedful.report.svg import inline

_WIDE, _NARROW = 860, 350
_SIDE_LABEL, _SIDE_NUMBER = 190, 215
"""Pixels for labels left and right of a wide chart."""
_AXIS_HEIGHT = 50
_POINTS = {"better": ("circle", "better"), "worse": ("diamond", "worse"), "unsure": ("circle", "paper")}
"""Shape and filling of a point by verdict: they repeat what the colour says, for readers who cannot tell the colours apart
and for black and white print."""

_CONFIG = {
    "background": "transparent",
    "aria": False,
    "view": {"stroke": None},
    "axis": {
        "labelColor": LIGHT["muted"],
        "titleColor": LIGHT["muted"],
        "gridColor": LIGHT["line"],
        "domainColor": LIGHT["line"],
        "tickColor": LIGHT["line"],
        "labelFontSize": 12,
        "titleFontSize": 13,
        "titleFontWeight": 400,
        "titlePadding": 8,
        "labelFlush": False,
    },
}

Chart = Any
"""Altair's classes change with every release; nothing here depends on more than their methods."""


@dataclass(frozen=True, slots=True)
class Interval:
    """One line of a forest plot. `gain` is the difference turned so that more is better."""

    label: str
    difference: str
    interval: str
    """Both in words, as they stand beside the line."""
    gain: float
    low: float
    high: float
    verdict: str
    """`better`, `worse` or `unsure`."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One line of the funnel: of `received` rows `kept` go on."""

    label: str
    number: str
    received: int
    kept: int


def forest(intervals: Sequence[Interval], *, name: str, axis: str) -> Markup:
    """Differences with their intervals around zero."""
    numbers = [f"{item.difference} {item.interval}" for item in intervals]
    return _both(lambda wide: _forest(intervals, axis, wide, numbers), name)


def small_forest(intervals: Sequence[Interval], *, name: str, axis: str) -> Markup:
    """The same in the narrow shape only and with shorter numbers, for a grid of several."""
    numbers = [item.difference for item in intervals]
    return _draw(lambda wide: _forest(intervals, axis, wide, numbers), False, name, "")


def funnel(bars: Sequence[Bar], *, name: str) -> Markup:
    """What each step of curation kept and dropped."""
    return _both(lambda wide: _funnel(bars, wide), name)


def training_curve(history: Sequence[Mapping[str, Any]], best_step: int | None, *, name: str) -> Markup:
    """Loss by step: training as a line, validation as a line with points, the best step as a rule."""
    return _both(lambda wide: _curve(history, best_step, wide), name)


def step_curve(rows: Sequence[Mapping[str, Any]], field: str, *, name: str, axis: str) -> Markup:
    """One number by step, as a line."""
    return _both(lambda wide: _step_curve(rows, field, axis, wide), name)


# -- charts -----------------------------------------------------------------------------------------------------------


def _forest(intervals: Sequence[Interval], axis: str, wide: bool, numbers: Sequence[str]) -> Chart:
    rows = [
        {"row": index, "label": item.label, "number": number, "verdict": item.verdict}
        | {"gain": item.gain, "low": item.low, "high": item.high}
        for index, (item, number) in enumerate(zip(intervals, numbers, strict=True))
    ]
    edges = [0.0, *(edge for item in intervals for edge in (item.low, item.high, item.gain))]
    margin = 0.06 * (max(edges) - min(edges)) or 1.0
    scale = altair.Scale(domain=[min(edges) - margin, max(edges) + margin], nice=False, zero=False)
    x = altair.X("low:Q", title=axis, scale=scale, axis=altair.Axis(tickCount=6 if wide else 5))
    y = _row_axis()
    base = altair.Chart()
    verdict = altair.Color(
        "verdict:N", scale=altair.Scale(domain=list(_POINTS), range=[LIGHT[name] for name in _POINTS]), legend=None
    )
    zero = base.mark_rule(color=LIGHT["muted"], strokeWidth=1).encode(x=altair.datum(0))
    line = base.mark_rule(strokeWidth=3, strokeCap="round").encode(x=x, x2="high:Q", y=y, color=verdict)
    points = [
        base.transform_filter(f"datum.verdict == '{name}'")
        .mark_point(shape=shape, size=120, filled=True, opacity=1, strokeWidth=2, fill=LIGHT[fill], stroke=LIGHT[name])
        .encode(x=altair.X("gain:Q", title=axis), y=y)
        for name, (shape, fill) in _POINTS.items()
    ]
    return _by_rows([zero, line, *points, *_labels(base, y, wide)], rows, wide)


def _funnel(bars: Sequence[Bar], wide: bool) -> Chart:
    rows = [
        {"row": index, "label": bar.label, "number": bar.number, "received": bar.received, "kept": bar.kept}
        for index, bar in enumerate(bars)
    ]
    scale = altair.Scale(domain=[0, max([1, *(bar.received for bar in bars)])], nice=False)
    y = _row_axis()
    base = altair.Chart()
    size = 14 if wide else 12
    x = altair.X("received:Q", scale=scale, title="rows", axis=altair.Axis(tickCount=5, tickMinStep=1))
    received = base.mark_bar(size=size, color=LIGHT["worse"], fillOpacity=0.55).encode(x=x, y=y)
    kept = base.mark_bar(size=size, color=LIGHT["tuned"]).encode(x="kept:Q", y=y)
    return _by_rows([received, kept, *_labels(base, y, wide)], rows, wide)


def _curve(history: Sequence[Mapping[str, Any]], best_step: int | None, wide: bool) -> Chart:
    train = [{"step": row["step"], "loss": row["loss"]} for row in history if row.get("loss") is not None]
    validation = [
        {"step": row["step"], "loss": row["validation_loss"]}
        for row in history
        if row.get("validation_loss") is not None
    ]
    x = altair.X(
        "step:Q", title="optimiser step", axis=altair.Axis(tickMinStep=1, tickCount=8 if wide else 5, grid=False)
    )
    y = altair.Y("loss:Q", title="loss per trained token (nats)", scale=altair.Scale(zero=False, nice=True))
    layers = [
        altair.Chart(altair.Data(values=train)).mark_line(color=LIGHT["base"], strokeWidth=1.75).encode(x=x, y=y),
        altair.Chart(altair.Data(values=validation))
        .mark_line(color=LIGHT["tuned"], strokeWidth=2.5, point={"color": LIGHT["tuned"], "size": 55, "opacity": 1})
        .encode(x=x, y=y),
    ]
    best = [row for row in validation if row["step"] == best_step]
    if best:
        rule = altair.Chart(altair.Data(values=best))
        layers.append(rule.mark_rule(color=LIGHT["better"], strokeDash=[4, 4], strokeWidth=1.5).encode(x="step:Q"))
        layers.append(
            rule.mark_point(
                shape="circle", size=170, filled=False, color=LIGHT["better"], opacity=1, strokeWidth=2.5
            ).encode(x="step:Q", y="loss:Q")
        )
    return _layered(layers, wide, height=300 if wide else 220, sides=(60, 12) if wide else (52, 8))


def _step_curve(rows: Sequence[Mapping[str, Any]], field: str, axis: str, wide: bool) -> Chart:
    x = altair.X(
        "step:Q", title="optimiser step", axis=altair.Axis(tickMinStep=1, tickCount=8 if wide else 5, grid=False)
    )
    y = altair.Y("value:Q", title=axis, axis=altair.Axis(tickCount=4, format="~s"))
    values = [{"step": row["step"], "value": row[field]} for row in rows]
    line = altair.Chart(altair.Data(values=values)).mark_line(color=LIGHT["base"], strokeWidth=1.75).encode(x=x, y=y)
    return _layered([line], wide, height=130, sides=(60, 12) if wide else (52, 8))


# -- what the charts share ------------------------------------------------------------------------------------------------


def _row_axis() -> Chart:
    return altair.Y("row:O", axis=None, sort=None, scale=altair.Scale(paddingInner=0, paddingOuter=0))


def _labels(base: Chart, y: Chart, wide: bool) -> list[Chart]:
    """Name and number of every row: at the sides when there is room, else above."""
    left, right, shift = (-14, 14, 0) if wide else (0, 0, -16)
    size, limit = (14, _SIDE_LABEL - 14) if wide else (13, 240)
    name = base.mark_text(
        align="right" if wide else "left", dx=left, dy=shift, fontSize=size, fontWeight=600, color=LIGHT["ink"],
        limit=limit, baseline="middle",
    )  # fmt: skip
    number = base.mark_text(
        align="left" if wide else "right",
        dx=right,
        dy=shift,
        fontSize=size - 1,
        color=LIGHT["muted"],
        baseline="middle",
    )
    return [
        name.encode(x=altair.value(0), y=y, text="label:N"),
        number.encode(x=altair.value("width"), y=y, text="number:N"),
    ]


def _by_rows(layers: Sequence[Chart], rows: Sequence[Mapping[str, Any]], wide: bool) -> Chart:
    """As wide as a page or a phone, and as high as its rows need."""
    sides = (_SIDE_LABEL, _SIDE_NUMBER) if wide else (8, 8)
    height = (34 if wide else 52) * max(1, len(rows))
    return _layered(layers, wide, height=height, sides=sides, data=altair.Data(values=rows))


def _layered(layers: Sequence[Chart], wide: bool, *, height: int, sides: tuple[int, int], **more: Any) -> Chart:
    left, right = sides
    return altair.layer(
        *layers,
        width=(_WIDE if wide else _NARROW) - left - right,
        height=height,
        padding={"left": left, "right": right, "top": 6, "bottom": _AXIS_HEIGHT},
        # Vega would otherwise shrink the drawing for labels that stand outside it on purpose.
        autosize="none",
        **more,
    )


def _both(build: Callable[[bool], Chart], name: str) -> Markup:
    return _draw(build, True, f"{name}-wide-", "wide") + _draw(build, False, f"{name}-narrow-", "narrow")


def _draw(build: Callable[[bool], Chart], wide: bool, prefix: str, css_class: str) -> Markup:
    # Altair checks every part of a chart against the whole schema: seconds for a page, and our charts do not change shape.
    with debug_mode(False):
        specification = build(wide).to_dict(validate=False)
    # allowed_base_urls=[]: a specification that names a file or an address fails instead of reading it.
    svg = vl_convert.vegalite_to_svg(specification, config=_CONFIG, allowed_base_urls=[])
    # `inline` lets only drawing elements through.
    return Markup(inline(svg, prefix=prefix, css_class=css_class))
