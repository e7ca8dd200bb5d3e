"""What alembic runs for each command: our tables, and the connection that it is handed by `migrate`."""

from alembic import context

from heedful.feedback.tables import VERSION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
)
context.run_migrations()
