"""What machines have sent, and finding the bunkers that ended of late."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0002"
down_revision = "scaibunker_0001"
branch_labels = None
depends_on = "grid_0002"

ID = sa.String(64)


def upgrade() -> None:
    """Make the table and the index."""
    table = "scaibunker_egress"
    op.create_table(
        table,
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("incarnation", ID, nullable=False),
        sa.Column("seen_bytes", sa.BigInteger(), nullable=False),
        sa.Column("accounted_bytes", sa.BigInteger(), nullable=False),
        sa.Column("owed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("bunker_id", "incarnation", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["bunker_id"], ["scaibunker_bunkers.id"], name=f"fk_{table}_bunker_id"
        ),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_owed_bunker_id", table, ["owed", "bunker_id"], if_not_exists=True)
    op.create_index(
        "ix_scaibunker_bunkers_terminated_at",
        "scaibunker_bunkers",
        ["terminated_at"],
        if_not_exists=True,
    )
