"""The table of workers."""

from sqlalchemy import JSON, Boolean, Column, ForeignKey, Integer, String, Table

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
    Column("templates", JSON),
    Column("registry_hosts", JSON),
    Column("default_bandwidth_mbit", Integer),
    Column("network_addresses", JSON),
    Column("draining", Boolean, nullable=False),
    Column("emptied_since", UtcDateTime),
    Column("registered_at", UtcDateTime, nullable=False),
    Column("last_heartbeat_at", UtcDateTime, nullable=False, index=True),
    Column("held_bunkers", Integer, nullable=False, server_default="0"),
    Column("held_cpu_millicores", Integer, nullable=False, server_default="0"),
    Column("held_memory_mb", Integer, nullable=False, server_default="0"),
    Column("held_disk_mb", Integer, nullable=False, server_default="0"),
    Column("facts", String(64), nullable=False, server_default=""),
    Column(
        "changed_at",
        UtcDateTime,
        nullable=False,
        server_default="2000-01-01 00:00:00",
        index=True,
    ),
)
"""`held_*` is what its live bunkers have, written in the transactions that give and take. `facts`
names what the worker says of itself beyond amounts, so that a reader knows whether that has changed."""

controllers = Table(
    "scaibunker_controllers",
    metadata,
    Column("address", String(45), primary_key=True),
    Column("seen_at", UtcDateTime, nullable=False),
)
"""Addresses of the hosts that controllers run on, and when one last said so."""

worker_gpus = Table(
    "scaibunker_worker_gpus",
    metadata,
    Column("worker_id", String(ID), ForeignKey("scaibunker_workers.id"), primary_key=True),
    Column("gpu_type", String(ID), primary_key=True),
    Column("total", Integer, nullable=False),
    Column("held", Integer, nullable=False),
)
