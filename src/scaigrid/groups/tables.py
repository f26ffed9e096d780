"""Tables of groups and their members."""

from sqlalchemy import Column, ForeignKey, String, Table, UniqueConstraint

from scaigrid.db.types import ID, UtcDateTime, metadata

groups = Table(
    "user_groups",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), nullable=False),
    Column("parent_id", String(ID), ForeignKey("user_groups.id"), index=True),
    Column("name", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("tenant_id", "name"),
)
"""`groups` is a word of MariaDB's own, hence the name."""

group_members = Table(
    "user_group_members",
    metadata,
    Column("group_id", String(ID), ForeignKey("user_groups.id"), primary_key=True),
    Column("user_id", String(ID), ForeignKey("users.id"), primary_key=True, index=True),
)
