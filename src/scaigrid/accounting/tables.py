"""The table of usage ticks."""

from sqlalchemy import BigInteger, Column, Double, Index, String, Table

from scaigrid.db.types import ID, UtcDateTime, metadata

usage_ticks = Table(
    "usage_ticks",
    metadata,
    Column("resource_id", String(ID), primary_key=True),
    Column("minute", UtcDateTime, primary_key=True),
    Column("module", String(64), nullable=False),
    Column("tenant_id", String(ID), nullable=False),
    Column("user_id", String(ID), nullable=False),
    Column("cpu_seconds", Double, nullable=False),
    Column("memory_mb_seconds", Double, nullable=False),
    Column("disk_mb_seconds", Double, nullable=False),
    Column("gpu_seconds", Double, nullable=False),
    Column("egress_bytes", BigInteger, nullable=False),
    Index(None, "tenant_id", "minute"),
    Index(None, "user_id", "minute"),
)
"""The primary key is what makes a minute count once, whatever runs twice."""
