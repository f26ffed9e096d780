"""How often a bunker was changed, so that what is decided of one state is not written to another."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0003"
down_revision = "scaibunker_0002"
branch_labels = None
depends_on = None

TABLE = "scaibunker_bunkers"


def upgrade() -> None:
    """Add the column; every bunker begins at 0."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}
    if "revision" not in there:
        op.add_column(
            TABLE, sa.Column("revision", sa.Integer(), nullable=False, server_default="0")
        )
