"""Quotas, and what workers have given away."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0004"
down_revision = "scaibunker_0003"
branch_labels = None
depends_on = None

ID = sa.String(64)
BUCKET = sa.String(160)
LIVE = "('pending', 'provisioning', 'running', 'paused', 'snapshotting')"
AMOUNTS = (
    "concurrent_bunkers",
    "persistent_bunkers",
    "cpu_millicores",
    "memory_mb",
    "disk_mb",
    "gpu_count",
)


def upgrade() -> None:
    """Make the tables and columns, and fill them from the bunkers that there are."""
    _quota_profiles()
    _quota_assignments()
    _quota_holds()
    _quota_epoch()
    _workers()
    _worker_gpus()
    _bunkers()
    _fill()


def _quota_profiles() -> None:
    table = "scaibunker_quota_profiles"
    caps = [f"max_{name}" for name in AMOUNTS]
    caps += [f"per_bunker_max_{name}" for name in ("cpu", "memory", "disk", "gpu")]
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("tenant_id", ID),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("description", sa.String(1024), nullable=False),
        *(sa.Column(name, sa.Integer()) for name in caps),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id"),
        sa.UniqueConstraint("owner", "name", name=f"uq_{table}_owner_name"),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_tenant_id", table, ["tenant_id"], if_not_exists=True)


def _quota_assignments() -> None:
    table = "scaibunker_quota_assignments"
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("profile_id", ID, nullable=False),
        sa.Column("target_kind", sa.String(16), nullable=False),
        sa.Column("target_id", ID, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name=f"fk_{table}_tenant_id"),
        sa.ForeignKeyConstraint(
            ["profile_id"], ["scaibunker_quota_profiles.id"], name=f"fk_{table}_profile_id"
        ),
        sa.UniqueConstraint("target_kind", "target_id", name=f"uq_{table}_target_kind_target_id"),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_profile_id", table, ["profile_id"], if_not_exists=True)


def _quota_holds() -> None:
    table = "scaibunker_quota_holds"
    op.create_table(
        table,
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("bucket", BUCKET, nullable=False),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in AMOUNTS),
        sa.PrimaryKeyConstraint("bunker_id", "bucket", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["bunker_id"], ["scaibunker_bunkers.id"], name=f"fk_{table}_bunker_id"
        ),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_bucket", table, ["bucket"], if_not_exists=True)


def _quota_epoch() -> None:
    table = "scaibunker_quota_epoch"
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", ID, nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        if_not_exists=True,
    )
    op.execute(
        f"INSERT INTO {table} (id, epoch) SELECT 1, 'none' FROM (SELECT 1 AS one) AS once "  # noqa: S608
        f"WHERE NOT EXISTS (SELECT 1 FROM {table})"
    )


def _workers() -> None:
    table = "scaibunker_workers"
    _add_columns(
        table,
        *(
            sa.Column(f"held_{name}", sa.Integer(), nullable=False, server_default="0")
            for name in ("bunkers", "cpu_millicores", "memory_mb", "disk_mb")
        ),
        sa.Column("facts", sa.String(64), nullable=False, server_default=""),
        sa.Column(
            "changed_at", sa.DateTime(), nullable=False, server_default="2000-01-01 00:00:00"
        ),
    )
    op.create_index(f"ix_{table}_changed_at", table, ["changed_at"], if_not_exists=True)


def _worker_gpus() -> None:
    table = "scaibunker_worker_gpus"
    op.create_table(
        table,
        sa.Column("worker_id", ID, nullable=False),
        sa.Column("gpu_type", ID, nullable=False),
        sa.Column("total", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "gpu_type", name=f"pk_{table}"),
        sa.ForeignKeyConstraint(
            ["worker_id"], ["scaibunker_workers.id"], name=f"fk_{table}_worker_id"
        ),
        if_not_exists=True,
    )


def _bunkers() -> None:
    _add_columns(
        "scaibunker_bunkers",
        sa.Column("gpu_type_held", ID),
        sa.Column("refused_by", sa.JSON(), nullable=True),
    )


def _add_columns(table: str, *columns: "sa.Column[Any]") -> None:
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            op.add_column(table, column)


def _fill() -> None:
    """What live bunkers hold of their workers, and of their owners' allowances."""
    sums = ", ".join(
        f"held_{name} = (SELECT COALESCE({what}, 0) FROM scaibunker_bunkers b "  # noqa: S608
        f"WHERE b.worker_id = scaibunker_workers.id AND b.status IN {LIVE})"
        for name, what in (
            ("bunkers", "COUNT(*)"),
            ("cpu_millicores", "SUM(b.cpu_millicores)"),
            ("memory_mb", "SUM(b.memory_mb)"),
            ("disk_mb", "SUM(b.disk_mb)"),
        )
    )
    op.execute(f"UPDATE scaibunker_workers SET {sums}")  # noqa: S608
    sqlite = op.get_bind().dialect.name == "sqlite"
    bucket = "'user:' || b.owner_user_id" if sqlite else "CONCAT('user:', b.owner_user_id)"
    op.execute(
        "INSERT INTO scaibunker_quota_holds (bunker_id, bucket, "  # noqa: S608
        f"{', '.join(AMOUNTS)}) "
        f"SELECT b.id, {bucket}, 1, "
        "CASE WHEN b.lifecycle_mode = 'persistent' THEN 1 ELSE 0 END, "
        "b.cpu_millicores, b.memory_mb, b.disk_mb, b.gpu_count FROM scaibunker_bunkers b "
        f"WHERE b.status IN {LIVE} AND NOT EXISTS "
        "(SELECT 1 FROM scaibunker_quota_holds h WHERE h.bunker_id = b.id)"
    )
