"""What every reader of documents returns, and how headings and the text between them become sections."""

from __future__ import annotations

from dataclasses import dataclass

from heedful.records import Section, canonical_json
from heedful.sources.reports import Skipped
from heedful.text import normalize


@dataclass(frozen=True, slots=True)
class Parsed:
    """A document as a reader saw it."""

    sections: tuple[Section, ...]
    """Those with text; a section without a title lies before the first heading."""
    title: str = ""
    license: str = ""
    skipped: tuple[Skipped, ...] = ()
    hint: str = ""
    """Why there may be no text, for the message when there is none."""


class Outline:
    """Collects sections while a reader walks through a document."""

    def __init__(self) -> None:
        self.title = ""
        self._sections: list[Section] = []
        self._path: list[tuple[int, str]] = []
        self._lines: list[str] = []

    def heading(self, level: int, title: str) -> None:
        """A heading: the text before it belongs to the heading before."""
        self._close()
        title = " ".join(title.split())
        self.title = self.title or title
        self._path = [(other, name) for other, name in self._path if other < level] + [(level, title)]

    def text(self, text: str) -> None:
        """More text under the last heading."""
        self._lines.append(text)

    def sections(self) -> tuple[Section, ...]:
        """Everything collected so far."""
        self._close()
        return tuple(self._sections)

    def _close(self) -> None:
        text = normalize("\n".join(self._lines)).strip("\n")
        self._lines = []
        if text.strip():
            level, title = self._path[-1] if self._path else (0, "")
            meta = canonical_json({"level": level, "path": [name for _, name in self._path]})
            self._sections.append(Section(title, text, "text", meta))
