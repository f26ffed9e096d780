"""What bunkers have slept in, which their next snapshots may rest upon; where clean-ups have stopped."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0012"
down_revision = "scaibunker_0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, make the table."""
    table, column = "scaibunker_bunkers", "base_snapshot_id"
    there = {known["name"] for known in sa.inspect(op.get_bind()).get_columns(table)}
    if column not in there:
        op.add_column(table, sa.Column(column, sa.String(64)))
    op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)
    marks = "scaibunker_marks"
    op.create_table(
        marks,
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("position", sa.Text()),
        sa.PrimaryKeyConstraint("name", name=f"pk_{marks}"),
        if_not_exists=True,
    )
