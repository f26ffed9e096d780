"""Tables of custom roles, and of the keys that a user has by itself."""

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

custom_role_groups = Table(
    "custom_role_groups",
    metadata,
    Column("role_id", String(ID), ForeignKey("custom_roles.id"), primary_key=True),
    Column("group_id", String(ID), ForeignKey("user_groups.id"), primary_key=True, index=True),
)
"""Who is in such a group, or in one below it, has the role."""

user_permissions = Table(
    "user_permissions",
    metadata,
    Column("user_id", String(ID), ForeignKey("users.id"), primary_key=True),
    Column("permission", String(128), primary_key=True),
)
