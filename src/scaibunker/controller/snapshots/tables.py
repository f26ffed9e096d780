"""The table of snapshots."""

from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from scaigrid.db.types import ID, UtcDateTime, metadata

snapshots = Table(
    "scaibunker_snapshots",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), nullable=False),
    Column("owner_user_id", String(ID), ForeignKey("users.id"), nullable=False),
    Column("bunker_id", String(ID), ForeignKey("scaibunker_bunkers.id"), nullable=False),
    Column("name", String(128)),
    Column("kind", String(16), nullable=False),
    Column("purpose", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("status_reason", Text),
    Column("phase", String(16)),
    Column("done_bytes", BigInteger, nullable=False),
    Column("total_bytes", BigInteger, nullable=False),
    Column("size_bytes", BigInteger),
    Column("manifest_sha256", String(64)),
    Column("worker_id", String(ID), ForeignKey("scaibunker_workers.id")),
    Column("base_snapshot_id", String(ID)),
    Column("image_id", String(ID), ForeignKey("scaibunker_images.id"), nullable=False),
    Column("image_name", String(255), nullable=False),
    Column("image_sha256", String(64), nullable=False),
    Column("image_size_bytes", BigInteger, nullable=False),
    Column("cpu_millicores", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("disk_mb", Integer, nullable=False),
    Column("network_profile", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("moved_at", UtcDateTime, nullable=False),
    Column("ready_at", UtcDateTime),
    Column("expires_at", UtcDateTime),
    Column("deleted_at", UtcDateTime),
    Column("cleared_at", UtcDateTime),
    Column("revision", Integer, nullable=False),
    Index(None, "tenant_id", "created_at", "id"),
    Index(None, "bunker_id", "created_at"),
    Index(None, "status"),
    Index(None, "expires_at"),
    Index(None, "deleted_at"),
    Index(None, "base_snapshot_id"),
)
"""What depends on a snapshot names it without a foreign key: the name outlives the row."""

marks = Table(
    "scaibunker_marks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("position", Text),
)
"""Where background work that takes several runs has stopped: a key; null when it has come to its end."""
