"""Tables of bridges, and of what is plugged into them."""

from sqlalchemy import Column, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from scaigrid.db.types import ID, UtcDateTime, metadata

bridges = Table(
    "scaibunker_bridges",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("worker_id", String(ID), ForeignKey("scaibunker_workers.id"), nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_reason", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column("revision", Integer, nullable=False),
    UniqueConstraint("tenant_id", "name"),
    Index(None, "tenant_id", "created_at", "id"),
)

bridge_ports = Table(
    "scaibunker_bridge_ports",
    metadata,
    Column("bunker_id", String(ID), ForeignKey("scaibunker_bunkers.id"), primary_key=True),
    Column("if_name", String(16), primary_key=True),
    Column("bridge_id", String(ID), nullable=False),
    Column("mac", String(17), nullable=False),
    Index(None, "bridge_id", "mac"),
)
"""What each bunker was given, the ended ones too; so a bridge is named without a foreign key."""
