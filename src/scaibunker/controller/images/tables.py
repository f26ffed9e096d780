"""The table of images. A platform image has no tenant; its `owner` is then `platform`, so that
names are unique within an owner on every database."""

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, String, Table, UniqueConstraint

from scaigrid.db.types import ID, UtcDateTime, metadata

images = Table(
    "scaibunker_images",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(ID), nullable=False),
    Column("tenant_id", String(ID), ForeignKey("tenants.id")),
    Column("name", String(255), nullable=False),
    Column("version", String(64), nullable=False),
    Column("scope", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("sha256", String(64)),
    Column("size_bytes", BigInteger),
    Column("default_cpu_millicores", Integer),
    Column("default_memory_mb", Integer),
    Column("default_disk_mb", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner", "name", "version"),
)
