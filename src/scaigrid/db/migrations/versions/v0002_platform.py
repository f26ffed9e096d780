"""Partners, suspended tenants, groups, single permissions, modules of a tenant, audit, usage, tasks."""

import sqlalchemy as sa
import structlog
from alembic import op

log = structlog.get_logger(__name__)

revision = "grid_0002"
down_revision = "grid_0001"
branch_labels = None
depends_on = None

ID = sa.String(64)
NAME = sa.String(128)
TIME = sa.DateTime()
TRIGGER_DENIED = (
    1142,  # the account has no TRIGGER privilege
    1227,  # SUPER, or BINLOG ADMIN, is needed
    1419,  # likewise, because there is a binary log (log_bin_trust_function_creators is off)
)


def upgrade() -> None:
    """Make the tables and columns."""
    _partners()
    _groups()
    _permissions()
    _modules()
    _audit()
    _usage()
    _tasks()


def _table(name: str, *parts: sa.Column[object] | sa.Constraint, key: tuple[str, ...]) -> None:
    op.create_table(
        name, *parts, sa.PrimaryKeyConstraint(*key, name=f"pk_{name}"), if_not_exists=True
    )


def _references(table: str, column: str, target: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint([column], [f"{target}.id"], name=f"fk_{table}_{column}")


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{'_'.join(columns)}", table, list(columns), if_not_exists=True)


def _has(table: str, column: str) -> bool:
    return any(c["name"] == column for c in sa.inspect(op.get_bind()).get_columns(table))


def _status() -> "sa.Column[str]":
    return sa.Column("status", sa.String(16), nullable=False, server_default="active")


def _partners() -> None:
    _table(
        "partners",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", NAME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.UniqueConstraint("name", name="uq_partners_name"),
        key=("id",),
    )
    # Plain ALTERs: rebuilding a table, as Alembic does on SQLite otherwise, would break the rows
    # that refer to it.
    if not _has("tenants", "partner_id"):
        reference = "CONSTRAINT fk_tenants_partner_id REFERENCES partners (id)"
        op.execute(f"ALTER TABLE tenants ADD COLUMN partner_id VARCHAR(64) {reference}")
    for table in ("tenants", "users"):
        if not _has(table, "status"):
            op.add_column(table, _status())
    _index("tenants", "partner_id")
    if not _has("users", "subject"):
        op.add_column("users", sa.Column("subject", sa.String(255)))
    op.create_index("uq_users_subject", "users", ["subject"], unique=True, if_not_exists=True)


def _groups() -> None:
    table = "user_groups"
    _table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("parent_id", ID),
        sa.Column("name", NAME, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.UniqueConstraint("tenant_id", "name", name=f"uq_{table}_tenant_id_name"),
        _references(table, "tenant_id", "tenants"),
        _references(table, "parent_id", table),
        key=("id",),
    )
    _index(table, "parent_id")
    table = "user_group_members"
    _table(
        table,
        sa.Column("group_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        _references(table, "group_id", "user_groups"),
        _references(table, "user_id", "users"),
        key=("group_id", "user_id"),
    )
    _index(table, "user_id")


def _permissions() -> None:
    table = "custom_role_groups"
    _table(
        table,
        sa.Column("role_id", ID, nullable=False),
        sa.Column("group_id", ID, nullable=False),
        _references(table, "role_id", "custom_roles"),
        _references(table, "group_id", "user_groups"),
        key=("role_id", "group_id"),
    )
    _index(table, "group_id")
    table = "user_permissions"
    _table(
        table,
        sa.Column("user_id", ID, nullable=False),
        sa.Column("permission", NAME, nullable=False),
        _references(table, "user_id", "users"),
        key=("user_id", "permission"),
    )


def _modules() -> None:
    table = "tenant_modules"
    _table(
        table,
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("module", sa.String(64), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("changed_at", TIME, nullable=False),
        _references(table, "tenant_id", "tenants"),
        key=("tenant_id", "module"),
    )


def _audit() -> None:
    table = "audit_log"
    _table(
        table,
        sa.Column("id", ID, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("tenant_id", ID),
        sa.Column("actor_type", sa.String(16), nullable=False),
        sa.Column("actor_id", ID),
        sa.Column("actor_name", NAME),
        sa.Column("action", NAME, nullable=False),
        sa.Column("method", sa.String(8), nullable=False),
        sa.Column("path", sa.String(1024), nullable=False),
        sa.Column("resource_type", sa.String(64)),
        sa.Column("resource_id", sa.String(255)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("code", sa.String(64)),
        sa.Column("address", sa.String(64)),
        sa.Column("request_id", ID, nullable=False),
        sa.Column("details", sa.JSON()),
        key=("id",),
    )
    _index(table, "tenant_id", "at", "id")
    _index(table, "at", "id")
    _index(table, "actor_id", "at")
    _index(table, "resource_id", "at")
    _append_only(table)


def _append_only(table: str) -> None:
    """Let the database refuse to change a row. The table's own rows are all that it protects: who
    may drop a table may do everything. A server may reserve triggers to its administrators; the
    product never changes a row, so the schema is good without them."""
    bind = op.get_bind()
    refusal = "the audit log is append-only"
    if bind.dialect.name == "sqlite":
        body = f"BEGIN SELECT RAISE(ABORT, '{refusal}'); END"
    else:
        body = f"FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = '{refusal}'"
    for what in ("update", "delete"):
        name = f"{table}_no_{what}"
        head = f"CREATE TRIGGER IF NOT EXISTS {name} BEFORE {what.upper()} ON {table}"
        try:
            bind.exec_driver_sql(f"{head} {body}")
        except sa.exc.DBAPIError as error:
            if error.orig is None or error.orig.args[0] not in TRIGGER_DENIED:
                raise
            log.warning("the database allows no trigger; see docs/guides/audit.md", trigger=name)


def _usage() -> None:
    table = "usage_ticks"
    _table(
        table,
        sa.Column("resource_id", ID, nullable=False),
        sa.Column("minute", TIME, nullable=False),
        sa.Column("module", sa.String(64), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("cpu_seconds", sa.Double(), nullable=False),
        sa.Column("memory_mb_seconds", sa.Double(), nullable=False),
        sa.Column("disk_mb_seconds", sa.Double(), nullable=False),
        sa.Column("gpu_seconds", sa.Double(), nullable=False),
        sa.Column("egress_bytes", sa.BigInteger(), nullable=False),
        key=("resource_id", "minute"),
    )
    _index(table, "tenant_id", "minute")
    _index(table, "user_id", "minute")


def _tasks() -> None:
    _table(
        "task_runs",
        sa.Column("name", NAME, nullable=False),
        sa.Column("done_until", TIME, nullable=False),
        sa.Column("owner", ID),
        sa.Column("lease_until", TIME),
        key=("name",),
    )
