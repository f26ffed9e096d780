"""Images, workers, bunkers, commands and file operations."""

import sqlalchemy as sa
from alembic import op

revision = "scaibunker_0001"
down_revision = None
branch_labels = ("scaibunker",)
depends_on = "grid_0001"

ID = sa.String(64)


def upgrade() -> None:
    """Make the tables."""
    _images()
    _workers()
    _bunkers()
    _bunker_parts()
    _execs()
    _file_operations()


def _images() -> None:
    op.create_table(
        "scaibunker_images",
        sa.Column("id", ID, nullable=False),
        sa.Column("owner", ID, nullable=False),
        sa.Column("tenant_id", ID),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("scope", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("sha256", sa.String(64)),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("default_cpu_millicores", sa.Integer()),
        sa.Column("default_memory_mb", sa.Integer()),
        sa.Column("default_disk_mb", sa.Integer()),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scaibunker_images"),
        sa.ForeignKeyConstraint(
            ["tenant_id"], ["tenants.id"], name="fk_scaibunker_images_tenant_id"
        ),
        sa.UniqueConstraint(
            "owner", "name", "version", name="uq_scaibunker_images_owner_name_version"
        ),
        if_not_exists=True,
    )


def _workers() -> None:
    op.create_table(
        "scaibunker_workers",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("address", sa.String(512), nullable=False),
        sa.Column("protocol", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.Column("acceleration", sa.String(64), nullable=False),
        sa.Column("network_profiles", sa.JSON(), nullable=False),
        sa.Column("cpu_millicores", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_mb", sa.Integer(), nullable=False),
        sa.Column("gpus", sa.JSON(), nullable=False),
        sa.Column("cached_images", sa.JSON(), nullable=False),
        sa.Column("draining", sa.Boolean(), nullable=False),
        sa.Column("registered_at", sa.DateTime(), nullable=False),
        sa.Column("last_heartbeat_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_scaibunker_workers"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_scaibunker_workers_last_heartbeat_at",
        "scaibunker_workers",
        ["last_heartbeat_at"],
        if_not_exists=True,
    )


def _bunkers() -> None:
    table = "scaibunker_bunkers"
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("owner_user_id", ID, nullable=False),
        sa.Column("name", sa.String(128)),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("status_reason", sa.Text()),
        sa.Column("desired", sa.String(16), nullable=False),
        sa.Column("desired_reason", sa.Text()),
        sa.Column("image_id", ID, nullable=False),
        sa.Column("image_name", sa.String(255), nullable=False),
        sa.Column("image_sha256", sa.String(64), nullable=False),
        sa.Column("image_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("lifecycle_mode", sa.String(16), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("env", sa.JSON(), nullable=False),
        sa.Column("network_profile", sa.String(16), nullable=False),
        sa.Column("network_allowlist", sa.JSON()),
        sa.Column("interfaces", sa.JSON()),
        sa.Column("bandwidth_mbit", sa.Integer()),
        sa.Column("cpu_millicores", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_mb", sa.Integer(), nullable=False),
        sa.Column("gpu_count", sa.Integer(), nullable=False),
        sa.Column("gpu_type", sa.String(64)),
        sa.Column("max_lifetime_s", sa.Integer()),
        sa.Column("idle_timeout_s", sa.Integer()),
        sa.Column("session_type", sa.String(16), nullable=False),
        sa.Column("session_ref", sa.String(255)),
        sa.Column("worker_id", ID),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("placed_at", sa.DateTime()),
        sa.Column("started_at", sa.DateTime()),
        sa.Column("terminated_at", sa.DateTime()),
        sa.Column("last_activity_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_scaibunker_bunkers"),
        *(
            sa.ForeignKeyConstraint([column], [target], name=f"fk_{table}_{column}")
            for column, target in (
                ("tenant_id", "tenants.id"),
                ("owner_user_id", "users.id"),
                ("image_id", "scaibunker_images.id"),
                ("worker_id", "scaibunker_workers.id"),
            )
        ),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_status", table, ["status"], if_not_exists=True)
    op.create_index(
        f"ix_{table}_worker_id_status", table, ["worker_id", "status"], if_not_exists=True
    )
    op.create_index(
        f"ix_{table}_tenant_id_created_at_id",
        table,
        ["tenant_id", "created_at", "id"],
        if_not_exists=True,
    )


def _bunker_parts() -> None:
    table = "scaibunker_bunker_labels"
    op.create_table(
        table,
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("key", sa.String(63), nullable=False),
        sa.Column("value", sa.String(255), nullable=False),
        sa.PrimaryKeyConstraint("bunker_id", "key", name=f"pk_{table}"),
        _of_bunker(table),
        if_not_exists=True,
    )
    op.create_index(f"ix_{table}_key_value", table, ["key", "value"], if_not_exists=True)
    table = "scaibunker_bunker_events"
    op.create_table(
        table,
        sa.Column("sequence", sa.Integer(), nullable=False, autoincrement=True),
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("previous", sa.String(16)),
        sa.Column("reason", sa.Text()),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=f"pk_{table}"),
        _of_bunker(table),
        if_not_exists=True,
    )
    op.create_index(
        f"ix_{table}_bunker_id_sequence", table, ["bunker_id", "sequence"], if_not_exists=True
    )


def _execs() -> None:
    table = "scaibunker_execs"
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("command", sa.JSON(), nullable=False),
        sa.Column("user", sa.String(16), nullable=False),
        sa.Column("detach", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("started_at", sa.DateTime(), nullable=False),
        sa.Column("deadline_at", sa.DateTime(), nullable=False),
        sa.Column("exit_code", sa.Integer()),
        sa.Column("signal", sa.String(32)),
        sa.Column("timed_out", sa.Boolean(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger()),
        sa.Column("stdout_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stderr_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stdout_head", sa.LargeBinary(1024), nullable=False),
        sa.Column("stderr_head", sa.LargeBinary(1024), nullable=False),
        sa.Column("output_ref", sa.String(255)),
        sa.Column("error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        _of_bunker(table),
        if_not_exists=True,
    )
    op.create_index(
        f"ix_{table}_bunker_id_started_at_id",
        table,
        ["bunker_id", "started_at", "id"],
        if_not_exists=True,
    )
    op.create_index(
        f"ix_{table}_state_deadline_at", table, ["state", "deadline_at"], if_not_exists=True
    )


def _file_operations() -> None:
    table = "scaibunker_file_operations"
    op.create_table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("bunker_id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("operation", sa.String(16), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("target", sa.Text()),
        sa.Column("as_user", sa.String(16), nullable=False),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        _of_bunker(table),
        if_not_exists=True,
    )
    op.create_index(
        f"ix_{table}_bunker_id_at_id", table, ["bunker_id", "at", "id"], if_not_exists=True
    )


def _of_bunker(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["bunker_id"], ["scaibunker_bunkers.id"], name=f"fk_{table}_bunker_id"
    )
