"""The project folder: artefacts, manifests, journals, lineage, locks; and what every stage needs to behave.

Files: `atomic` (writing), `journal`, `locks`, `artifacts`, `lineage`, `folder`, `progress` (watchers, milestones),
`randomness` (named streams), `settings` (their base class).
"""

from heedful.project.artifacts import ArtifactStore, Manifest
from heedful.project.atomic import atomic_folder, atomic_write, read_json, write_json, write_text
from heedful.project.journal import Journal
from heedful.project.progress import MILESTONES, Silent, Steps, Watcher, steps
from heedful.project.randomness import stream, stream_seed
from heedful.project.settings import Settings, parse_settings

__all__ = [
    "MILESTONES",
    "ArtifactStore",
    "Journal",
    "Manifest",
    "Settings",
    "Silent",
    "Steps",
    "Watcher",
    "atomic_folder",
    "atomic_write",
    "parse_settings",
    "read_json",
    "steps",
    "stream",
    "stream_seed",
    "write_json",
    "write_text",
]
