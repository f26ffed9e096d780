"""Bridges, and what is plugged into them."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0010"
down_revision = "scaibunker_0009"
branch_labels = None
depends_on = None

ID = sa.String(64)


def upgrade() -> None:
    """Make the tables."""
    table = "scaibunker_bridges"
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_reason", sa.Text()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id"),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["scaibunker_workers.id"], name=f"fk_{table}_worker_id"
        ),
        sa.UniqueConstraint("tenant_id", "name", name=f"uq_{table}_tenant_id_name"),
        if_not_exists=True,
    )
    op.create_index(
        f"ix_{table}_tenant_id_created_at_id",
        table,
        ["tenant_id", "created_at", "id"],
        if_not_exists=True,
    )
    ports = "scaibunker_bridge_ports"
    op.create_table(
        ports,
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("if_name", sa.String(16), nullable=False),
        sa.Column("bridge_id", ID, nullable=False),
        sa.Column("mac", sa.String(17), nullable=False),
        sa.PrimaryKeyConstraint("bunker_id", "if_name", name=f"pk_{ports}"),
        sa.ForeignKeyConstraint(
            ["bunker_id"], ["scaibunker_bunkers.id"], name=f"fk_{ports}_bunker_id"
        ),
        if_not_exists=True,
    )
    op.create_index(f"ix_{ports}_bridge_id_mac", ports, ["bridge_id", "mac"], if_not_exists=True)
