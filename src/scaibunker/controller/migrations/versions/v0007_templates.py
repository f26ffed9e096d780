"""Of what workers can make machines without a boot."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0007"
down_revision = "scaibunker_0006"
branch_labels = None
depends_on = None

TABLE = "scaibunker_workers"


def upgrade() -> None:
    """Add the column, which is empty until each worker's next heartbeat."""
    columns = sa.inspect(op.get_bind()).get_columns(TABLE)
    if all(column["name"] != "templates" for column in columns):
        op.add_column(TABLE, sa.Column("templates", sa.JSON()))
