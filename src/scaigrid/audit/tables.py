"""The table of the audit log. Rows are added, and never changed."""

from sqlalchemy import JSON, Column, Index, Integer, String, Table

from scaigrid.db.types import ID, UtcDateTime, metadata

audit_log = Table(
    "audit_log",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("tenant_id", String(ID)),
    Column("actor_type", String(16), nullable=False),
    Column("actor_id", String(ID)),
    Column("actor_name", String(128)),
    Column("action", String(128), nullable=False),
    Column("method", String(8), nullable=False),
    Column("path", String(1024), nullable=False),
    Column("resource_type", String(64)),
    Column("resource_id", String(255)),
    Column("outcome", String(16), nullable=False),
    Column("status", Integer, nullable=False),
    Column("code", String(64)),
    Column("address", String(64)),
    Column("request_id", String(ID), nullable=False),
    Column("details", JSON(none_as_null=True)),
    Index(None, "tenant_id", "at", "id"),
    Index(None, "at", "id"),
    Index(None, "actor_id", "at"),
    Index(None, "resource_id", "at"),
)
"""No foreign keys: an entry outlives whatever it speaks of, and names what never was."""
