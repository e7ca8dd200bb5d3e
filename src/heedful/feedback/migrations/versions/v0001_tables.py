"""The first tables: conversations, messages, feedback."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "heedful_conversation",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("hidden", sa.Boolean, nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.Column("changed", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("number", name="heedful_conversation_primary"),
        sa.UniqueConstraint("id", name="heedful_conversation_id_unique"),
    )
    op.create_index("heedful_conversation_changed_index", "heedful_conversation", ["changed"])
    op.create_table(
        "heedful_message",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("conversation", sa.String(32), nullable=False),
        sa.Column("parent", sa.String(32), nullable=True),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("system", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("finish_reason", sa.Text, nullable=False),
        sa.Column("sampling", sa.Text, nullable=False),
        sa.Column("created", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("number", name="heedful_message_primary"),
        sa.UniqueConstraint("id", name="heedful_message_id_unique"),
        sa.ForeignKeyConstraint(
            ["conversation"], ["heedful_conversation.id"], name="heedful_message_conversation_reference"
        ),
        sa.ForeignKeyConstraint(["parent"], ["heedful_message.id"], name="heedful_message_parent_reference"),
    )
    op.create_index("heedful_message_conversation_index", "heedful_message", ["conversation"])
    op.create_table(
        "heedful_feedback",
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("message", sa.String(32), nullable=False),
        sa.Column("who", sa.String(200), nullable=False),
        sa.Column("rating", sa.Integer, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("correction", sa.Text, nullable=False),
        sa.Column("given", sa.String(27), nullable=False),
        sa.PrimaryKeyConstraint("number", name="heedful_feedback_primary"),
        sa.UniqueConstraint("id", name="heedful_feedback_id_unique"),
        sa.UniqueConstraint("message", "who", name="heedful_feedback_message_who_unique"),
        sa.ForeignKeyConstraint(["message"], ["heedful_message.id"], name="heedful_feedback_message_reference"),
    )


def downgrade() -> None:
    """Remove the tables."""
    for table in ("heedful_feedback", "heedful_message", "heedful_conversation"):
        op.drop_table(table)
