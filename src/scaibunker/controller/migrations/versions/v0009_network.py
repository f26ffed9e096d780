"""What workers say of their networks."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0009"
down_revision = "scaibunker_0008"
branch_labels = None
depends_on = None

TABLE = "scaibunker_workers"
COLUMNS = (
    ("registry_hosts", sa.JSON()),
    ("default_bandwidth_mbit", sa.Integer()),
    ("network_addresses", sa.JSON()),
)


def upgrade() -> None:
    """Add the columns, which are empty until each worker's next heartbeat."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(TABLE)}
    for name, kind in COLUMNS:
        if name not in there:
            op.add_column(TABLE, sa.Column(name, kind))
