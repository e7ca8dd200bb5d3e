"""A chart made safe and neutral enough to stand inside a page.

Labels in charts come from data, so the SVG is untrusted although a library drew it: only the elements and attributes
that charts need survive, nothing that runs, links or loads. Sizes become a view box, so that the page decides the width;
ids get the chart's own prefix, because all charts of a page share one document; fonts are left to the style sheet.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

_NAMESPACE = "http://www.w3.org/2000/svg"
_ELEMENTS = {"svg", "g", "path", "rect", "line", "circle", "text", "tspan", "defs", "clipPath"}
_ATTRIBUTES = {
    *(
        "viewBox",
        "id",
        "transform",
        "clip-path",
        "d",
        "x",
        "y",
        "x1",
        "x2",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "width",
        "height",
    ),
    *("fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "stroke-linecap"),
    *("stroke-linejoin", "opacity", "text-anchor", "font-size", "font-weight", "display", "dx", "dy"),
}
# A value that names something elsewhere; only references to the chart's own ids may stay.
_REFERENCE = re.compile(r"url\(#([\w-]+)\)")

ElementTree.register_namespace("", _NAMESPACE)


def inline(svg: str, *, prefix: str, css_class: str) -> str:
    """The chart as an element to put into HTML, hidden from screen readers: the page says in words what it shows."""
    # The chart library's output, not a user's file: entities and external parts cannot occur in it.
    root = ElementTree.fromstring(svg)
    _clean(root, prefix)
    del root.attrib["width"], root.attrib["height"]
    root.set("class", css_class)
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    return ElementTree.tostring(root, encoding="unicode")


def _clean(element: ElementTree.Element, prefix: str) -> None:
    for child in list(element):
        if _local_name(child) in _ELEMENTS and child.get("display") != "none":
            _clean(child, prefix)
        else:
            element.remove(child)
    for name, value in list(element.attrib.items()):
        if name not in _ATTRIBUTES or ("url(" in value and not _REFERENCE.fullmatch(value)):
            del element.attrib[name]
        elif name == "id":
            element.set(name, prefix + value)
        elif "url(" in value:
            element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))


def _local_name(element: ElementTree.Element) -> str:
    name = element.tag
    return name.removeprefix(f"{{{_NAMESPACE}}}") if isinstance(name, str) else ""
