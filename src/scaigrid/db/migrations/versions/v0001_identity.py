"""Tenants, users, custom roles, API keys, idempotency keys."""

import sqlalchemy as sa
from alembic import op

revision = "grid_0001"
down_revision = None
branch_labels = ("scaigrid",)
depends_on = None

ID = sa.String(64)


def upgrade() -> None:
    """Make the tables."""
    _people()
    _roles()
    _keys()


def _people() -> None:
    op.create_table(
        "tenants",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenants"),
        sa.UniqueConstraint("name", name="uq_tenants_name"),
        if_not_exists=True,
    )
    op.create_table(
        "users",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("role", sa.String(32), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_users_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_users_tenant_id_name"),
        if_not_exists=True,
    )


def _roles() -> None:
    op.create_table(
        "custom_roles",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_custom_roles"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_custom_roles_tenant_id"),
        sa.UniqueConstraint("tenant_id", "name", name="uq_custom_roles_tenant_id_name"),
        if_not_exists=True,
    )
    op.create_table(
        "custom_role_permissions",
        sa.Column("role_id", ID, nullable=False),
        sa.Column("permission", sa.String(128), nullable=False),
        sa.PrimaryKeyConstraint("role_id", "permission", name="pk_custom_role_permissions"),
        sa.ForeignKeyConstraint(
            ["role_id"], ["custom_roles.id"], name="fk_custom_role_permissions_role_id"
        ),
        if_not_exists=True,
    )
    op.create_table(
        "custom_role_members",
        sa.Column("role_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.PrimaryKeyConstraint("role_id", "user_id", name="pk_custom_role_members"),
        sa.ForeignKeyConstraint(
            ["role_id"], ["custom_roles.id"], name="fk_custom_role_members_role_id"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_custom_role_members_user_id"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_custom_role_members_user_id", "custom_role_members", ["user_id"], if_not_exists=True
    )


def _keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", ID, nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("user_id", ID, nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("prefix", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime()),
        sa.Column("revoked_at", sa.DateTime()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenants.id"], name="fk_api_keys_tenant_id"),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name="fk_api_keys_user_id"),
        sa.UniqueConstraint("digest", name="uq_api_keys_digest"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_api_keys_user_id_created_at_id",
        "api_keys",
        ["user_id", "created_at", "id"],
        if_not_exists=True,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("tenant_id", ID, nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("token", sa.String(32), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("media_type", sa.String(128)),
        sa.Column("body", sa.LargeBinary(1 << 24)),
        sa.PrimaryKeyConstraint("id", name="pk_idempotency_keys"),
        if_not_exists=True,
    )
    op.create_index(
        "ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"], if_not_exists=True
    )
