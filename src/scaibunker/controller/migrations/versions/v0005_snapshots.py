"""Snapshots, and what bunkers are made of."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0005"
down_revision = "scaibunker_0004"
branch_labels = None
depends_on = None

ID = sa.String(64)
KIND = sa.String(16)


def upgrade() -> None:
    """Make the table, and the columns of bunkers."""
    _snapshots()
    _bunkers()


def _snapshots() -> None:
    table = "scaibunker_snapshots"
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("owner_user_id", ID, nullable=False),
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("name", sa.String(128)),
        sa.Column("kind", KIND, nullable=False),
        sa.Column("purpose", KIND, nullable=False),
        sa.Column("status", KIND, nullable=False),
        sa.Column("status_reason", sa.Text()),
        sa.Column("phase", KIND),
        sa.Column("done_bytes", sa.BigInteger(), nullable=False),
        sa.Column("total_bytes", sa.BigInteger(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("manifest_sha256", sa.String(64)),
        sa.Column("worker_id", ID),
        sa.Column("base_snapshot_id", ID),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("image_name", sa.String(255), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("image_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("cpu_millicores", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_mb", sa.Integer(), nullable=False),
        sa.Column("network_profile", KIND, nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("moved_at", sa.DateTime(), nullable=False),
        sa.Column("ready_at", sa.DateTime()),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("deleted_at", sa.DateTime()),
        sa.Column("cleared_at", sa.DateTime()),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        *(
            sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")
            for column, target in (
                ("tenant_id", "tenants"),
                ("owner_user_id", "users"),
                ("bunker_id", "scaibunker_bunkers"),
                ("worker_id", "scaibunker_workers"),
                ("image_id", "scaibunker_images"),
            )
        ),
        if_not_exists=True,
    )
    for columns in (
        ["tenant_id", "created_at", "id"],
        ["bunker_id", "created_at"],
        ["status"],
        ["expires_at"],
        ["deleted_at"],
        ["base_snapshot_id"],
    ):
        op.create_index(f"ix_{table}_{'_'.join(columns)}", table, columns, if_not_exists=True)


def _bunkers() -> None:
    table = "scaibunker_bunkers"
    _add_columns(
        table,
        sa.Column("source_snapshot_id", ID),
        sa.Column("source_kind", KIND),
        sa.Column("source_manifest_sha256", sa.String(64)),
        sa.Column("capturing_snapshot_id", ID),
        sa.Column("captured_from", KIND),
        sa.Column("passivated", sa.Boolean(), nullable=False, server_default="0"),
        sa.Column("passive_snapshot_id", ID),
    )
    for column in ("source_snapshot_id", "passive_snapshot_id"):
        op.create_index(f"ix_{table}_{column}", table, [column], if_not_exists=True)


def _add_columns(table: str, *columns: "sa.Column[Any]") -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)
