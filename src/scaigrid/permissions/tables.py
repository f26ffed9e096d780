"""Tables of custom roles."""

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from scaigrid.db.types import ID, UtcDateTime, metadata

custom_roles = Table(
    "custom_roles",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)

custom_role_permissions = Table(
    "custom_role_permissions",
    metadata,
    Column("role_id", String(ID), ForeignKey("custom_roles.id"), primary_key=True),
    Column("permission", String(128), primary_key=True),
)

custom_role_members = Table(
    "custom_role_members",
    metadata,
    Column("role_id", String(ID), ForeignKey("custom_roles.id"), primary_key=True),
    Column("user_id", String(ID), ForeignKey("users.id"), primary_key=True, index=True),
)
