"""The steps that bring a database of any earlier version to the tables of today; run when a store is opened.

`versions/` holds one file a step. To change a table: change `tables.py`, add the next step by hand, and
`tests/feedback` compares what the steps make with what `tables.py` says, in both databases. `env.py` is alembic's.
"""

from __future__ import annotations

import threading

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from heedful.errors import StorageError
from heedful.feedback.tables import VERSION_TABLE

# While it works, alembic's `context` and `op` are the process's only ones.
_LOCK = threading.Lock()


def migrate(connection: Connection, name: str) -> None:
    """Bring the database to the newest version, within the transaction that `connection` is in.

    Raises StorageError for a database that a later Heedful has changed: writing to it could lose what that one keeps.
    """
    config = Config()
    config.set_main_option("script_location", "heedful.feedback:migrations")
    config.attributes["connection"] = connection
    scripts = ScriptDirectory.from_config(config)
    now = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_heads()
    unknown = sorted(set(now) - {script.revision for script in scripts.walk_revisions()})
    if unknown:
        raise StorageError(
            f"the feedback store {name} has version {unknown[0]}, this Heedful knows up to {scripts.get_current_head()}; "
            "it was written by a newer one: upgrade Heedful (pip install --upgrade heedful)"
        )
    if now != (scripts.get_current_head(),):
        with _LOCK:
            command.upgrade(config, "head")
