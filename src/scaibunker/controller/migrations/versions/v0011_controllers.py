"""The addresses of controllers, which no bunker may reach."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0011"
down_revision = "scaibunker_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, which controllers fill."""
    op.create_table(
        "scaibunker_controllers",
        sa.Column("address", sa.String(45), nullable=False),
        sa.Column("seen_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("address", name="pk_scaibunker_controllers"),
        if_not_exists=True,
    )
