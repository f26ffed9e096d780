"""Finding bunkers among those that sleep, and the others without them."""

from alembic import op

revision = "scaibunker_0008"
down_revision = "scaibunker_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    table, columns = "scaibunker_bunkers", ["passivated", "status", "desired"]
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns, if_not_exists=True)
