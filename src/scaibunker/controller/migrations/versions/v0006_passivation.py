"""How bunkers fall asleep and wake up, and workers that are emptied."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0006"
down_revision = "scaibunker_0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns."""
    _add_columns(
        "scaibunker_bunkers",
        sa.Column("passivated_from", sa.String(16)),
        sa.Column("passivate_after", sa.DateTime()),
        sa.Column("waking_since", sa.DateTime()),
        sa.Column("wake_kind", sa.String(16)),
        sa.Column("wake_refusal", sa.JSON()),
    )
    _add_columns(
        "scaibunker_bunker_events",
        sa.Column("passivated", sa.Boolean(), nullable=False, server_default="0"),
    )
    _add_columns("scaibunker_workers", sa.Column("emptied_since", sa.DateTime()))


def _add_columns(table: str, *columns: "sa.Column[Any]") -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)
