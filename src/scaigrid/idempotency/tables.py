"""The table of idempotency keys."""

from sqlalchemy import Column, Integer, LargeBinary, String, Table

from scaigrid.db.types import ID, UtcDateTime, metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(ID), nullable=False),
    Column("fingerprint", String(64), nullable=False),
    Column("token", String(32), nullable=False),
    Column("lease_until", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("status", Integer),
    Column("media_type", String(128)),
    Column("body", LargeBinary(1 << 24)),
)
