"""Following a row back to where it came from, and saying what happened to it on the way."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from heedful.errors import InputError
from heedful.text import visible


@dataclass(frozen=True, slots=True)
class Node:
    """What one stage knows of one id. The same id may be known to several stages: it stays while a row is edited."""

    id: str
    stage: str
    what: str
    """One line: what this is and what was done to it."""
    parents: tuple[str, ...] = ()
    text: str = ""
    """How it reads, for people."""


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A node and how many steps it lies behind the row that was asked for."""

    node: Node
    depth: int

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        node = self.node
        return {"id": node.id, "depth": self.depth, "stage": node.stage, "what": node.what, "text": node.text}


class Trail(tuple[Ancestor, ...]):
    """A row's own history, newest first, then that of its parents, and so on. Printed, it is indented text."""

    def __str__(self) -> str:
        lines = []
        for ancestor in self:
            indent = "    " * ancestor.depth
            node = ancestor.node
            lines.append(f"{indent}{node.id[:12]}  {node.stage}: {node.what}")
            lines.extend(f"{indent}              {line}" for line in node.text.splitlines()[:6])
        return visible("\n".join(lines))


class Lineage:
    """Nodes of all stages, in the order in which data flows. `elsewhere` is said of ids that no node is about."""

    def __init__(self, nodes: Iterable[Node], *, elsewhere: str = "not in this project's current data") -> None:
        self._elsewhere = elsewhere
        self._nodes: dict[str, list[Node]] = {}
        for node in nodes:
            self._nodes.setdefault(node.id, []).append(node)

    def resolve(self, prefix: str) -> str:
        """The one id that starts with `prefix`; raises InputError when there is none, or more than one."""
        if prefix in self._nodes:
            return prefix
        found = sorted(id for id in self._nodes if prefix and id.startswith(prefix))
        if len(found) == 1:
            return found[0]
        if not found:
            raise InputError(
                f"no row, document or seed has an id that starts with {prefix!r}; `heedful inspect data` lists them"
            )
        raise InputError(
            f"{len(found)} ids start with {prefix!r}, for example {', '.join(found[:3])}; give more characters"
        )

    def trace(self, id: str) -> Trail:
        """From `id` back to the beginning; each id once."""
        trail: list[Ancestor] = []
        seen: set[str] = set()
        self._walk(id, 0, seen, trail)
        return Trail(trail)

    def _walk(self, id: str, depth: int, seen: set[str], trail: list[Ancestor]) -> None:
        if id in seen:
            return
        seen.add(id)
        nodes = self._nodes.get(id, [Node(id, "?", self._elsewhere)])
        trail.extend(Ancestor(node, depth) for node in reversed(nodes))
        for parent in dict.fromkeys(parent for node in reversed(nodes) for parent in node.parents):
            self._walk(parent, depth + 1, seen, trail)
