"""docs/theory.md leads to code that exists: every link names a file and, in it, a function, class, method or constant."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "theory.md"
TEXT = PAGE.read_text(encoding="utf-8")
LINK = re.compile(r"\[`([^`\]]+)`\]\(([^)#]+)#([^)]+)\)")
SECTIONS = re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]
FORMULAS = (
    "Scaled dot-product attention",
    "Multi-head attention",
    "Masked attention",
    "Cross attention",
    "Positions",
    "A language model",
    "Cross-entropy",
    "Masked language modelling",
    "Span corruption",
    "Supervised contrastive loss",
    "Unlikelihood",
    "Kullback-Leibler divergence",
    "Reward model",
    "PPO",
    "DPO",
)


def names_in(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """`function`, `Class`, `Class.method`, `CONSTANT` of a module."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield prefix + node.name
        if isinstance(node, ast.ClassDef):
            yield from names_in(node.body, f"{node.name}.")
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        yield from (prefix + target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("link", LINK.findall(TEXT), ids=lambda link: f"{link[1]}#{link[2]}")
def test_links_lead_somewhere(link: tuple[str, str, str]) -> None:
    label, file, name = link
    path = (PAGE.parent / file).resolve()
    assert path.is_file(), f"{file} does not exist; the formula's code has moved: link where it is now"
    assert name in set(names_in(ast.parse(path.read_text(encoding="utf-8")).body)), f"{file} has no {name}"
    assert label in (name, path.name), "a link should show the name that it leads to"


def test_no_link_to_code_goes_unchecked() -> None:
    assert TEXT.count("](../") == len(LINK.findall(TEXT)) > 20, (
        "write links to code as [`name`](../src/heedful/file.py#name)"
    )


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.partition("\n")[0])
def test_every_formula_leads_to_code_or_says_that_there_is_none(section: str) -> None:
    assert bool(LINK.search(section)) != ("Not built yet" in section)


def test_no_formula_is_missing() -> None:
    assert set(FORMULAS) <= {section.partition("\n")[0] for section in SECTIONS}


def test_mathematics_is_balanced() -> None:
    blocks = re.findall(r"^```math\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```math\n.*?^```$", "", TEXT, flags=re.MULTILINE | re.DOTALL)
    inline = re.findall(r"\$([^$\n]+)\$", prose)
    assert prose.count("$") == 2 * len(inline), "an inline formula is not closed on its line"
    for formula in inline:
        # GitHub reads Markdown first: `\\,` becomes a comma unless the formula is written as code, $`...`$.
        assert formula.startswith("`") or not re.search(r"\\[^a-zA-Z]", formula), formula
    for formula in [*blocks, *inline]:
        assert formula.count("{") - formula.count(r"\{") == formula.count("}") - formula.count(r"\}"), formula
        assert formula.count(r"\begin") == formula.count(r"\end")
        assert len(re.findall(r"\\left[^a-z]", formula)) == len(re.findall(r"\\right[^a-z]", formula)), formula
