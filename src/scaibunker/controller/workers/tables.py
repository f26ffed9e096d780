"""The table of workers."""

from sqlalchemy import JSON, Boolean, Column, Integer, String, Table

from scaigrid.db.types import ID, UtcDateTime, metadata

workers = Table(
    "scaibunker_workers",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("name", String(255), nullable=False),
    Column("address", String(512), nullable=False),
    Column("protocol", Integer, nullable=False),
    Column("version", String(64), nullable=False),
    Column("acceleration", String(64), nullable=False),
    Column("network_profiles", JSON, nullable=False),
    Column("cpu_millicores", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("disk_mb", Integer, nullable=False),
    Column("gpus", JSON, nullable=False),
    Column("cached_images", JSON, nullable=False),
    Column("draining", Boolean, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False),
    Column("last_heartbeat_at", UtcDateTime, nullable=False, index=True),
)
