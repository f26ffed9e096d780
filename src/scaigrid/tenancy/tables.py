"""Tables of partners, tenants, users, and of the modules that a tenant has."""

from sqlalchemy import Boolean, Column, ForeignKey, Index, String, Table, UniqueConstraint

from scaigrid.db.types import ID, UtcDateTime, metadata

partners = Table(
    "partners",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("created_at", UtcDateTime, nullable=False),
)

tenants = Table(
    "tenants",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("name", String(128), nullable=False, unique=True),
    Column("partner_id", String(ID), ForeignKey("partners.id"), index=True),
    Column("status", String(16), nullable=False, server_default="active"),
    Column("created_at", UtcDateTime, nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("role", String(32), nullable=False),
    Column("status", String(16), nullable=False, server_default="active"),
    Column("subject", String(255)),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    Index("uq_users_subject", "subject", unique=True),
)
"""`subject` is the `sub` of the identity provider's tokens for this user."""

tenant_modules = Table(
    "tenant_modules",
    metadata,
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), primary_key=True),
    Column("module", String(64), primary_key=True),
    Column("enabled", Boolean(create_constraint=False), nullable=False),
    Column("changed_at", UtcDateTime, nullable=False),
)
"""What differs from the default, which is that a tenant has every module."""
