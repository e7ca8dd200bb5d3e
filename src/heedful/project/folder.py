"""Where things are in a project folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from heedful.errors import ProjectError

SETTINGS_FILE = "heedful.toml"


@dataclass(frozen=True, slots=True)
class Project:
    """A folder with a `heedful.toml`; everything that Heedful makes lies in `.heedful` and in `report.html`."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> Project:
        """The project in `root`; raises ProjectError when there is none."""
        if not root.is_dir():
            raise ProjectError(f"{root}: no such folder; `heedful init {root}` makes a project there")
        if not (root / SETTINGS_FILE).is_file():
            raise ProjectError(
                f"{root}: no {SETTINGS_FILE} here; `heedful init {root}` makes one, or name the project with --project DIR"
            )
        return cls(root.resolve())

    @property
    def settings_path(self) -> Path:
        return self.root / SETTINGS_FILE

    @property
    def state(self) -> Path:
        """Everything that Heedful keeps for itself."""
        return self.root / ".heedful"

    @property
    def artifacts(self) -> Path:
        return self.state / "artifacts"

    @property
    def request_cache(self) -> Path:
        """Answers already paid for, shared by all stages and runs."""
        return self.state / "requests.sqlite"

    @property
    def feedback_url(self) -> str:
        """Where conversations and what people say about answers are kept, unless the settings name another place."""
        return f"sqlite:///{quote(str(self.state / 'feedback.sqlite'))}"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    def journal(self, stage: str, key: str) -> Path:
        """A stage's journal; outside the artefact, so that it survives a run that is killed."""
        return self.state / "journals" / f"{stage}-{key}.jsonl"

    def checkpoints(self, stage: str, key: str) -> Path:
        """Training checkpoints of one run, kept until the artefact is complete."""
        return self.state / "checkpoints" / f"{stage}-{key}"

    def training_log(self, stage: str, key: str) -> Path:
        """metrics.jsonl and TensorBoard's files of one run: outside the artefact, which must not depend on the clock."""
        return self.state / "logs" / f"{stage}-{key}"
