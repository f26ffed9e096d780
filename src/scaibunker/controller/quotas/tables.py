"""Tables of quota profiles, who they are assigned to, and what bunkers hold."""

from sqlalchemy import Column, ForeignKey, Integer, String, Table, UniqueConstraint

from scaigrid.db.types import ID, UtcDateTime, metadata

BUCKET = 160
"""Length of a bucket's name."""

quota_profiles = Table(
    "scaibunker_quota_profiles",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("owner", String(ID), nullable=False),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), index=True),
    Column("name", String(128), nullable=False),
    Column("description", String(1024), nullable=False),
    Column("max_concurrent_bunkers", Integer),
    Column("max_persistent_bunkers", Integer),
    Column("max_cpu_millicores", Integer),
    Column("max_memory_mb", Integer),
    Column("max_disk_mb", Integer),
    Column("max_gpu_count", Integer),
    Column("per_bunker_max_cpu", Integer),
    Column("per_bunker_max_memory", Integer),
    Column("per_bunker_max_disk", Integer),
    Column("per_bunker_max_gpu", Integer),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("owner", "name"),
)
"""One without a tenant is a default of the platform. `owner` is the tenant's id, or empty: no two
profiles of one owner have the same name, and of two nulls a database would not say that."""

quota_assignments = Table(
    "scaibunker_quota_assignments",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("tenant_id", String(ID), ForeignKey("tenants.id"), nullable=False),
    Column(
        "profile_id",
        String(ID),
        ForeignKey("scaibunker_quota_profiles.id"),
        nullable=False,
        index=True,
    ),
    Column("target_kind", String(16), nullable=False),
    Column("target_id", String(ID), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    UniqueConstraint("target_kind", "target_id"),
)
"""`tenant_id` is the target's."""

quota_holds = Table(
    "scaibunker_quota_holds",
    metadata,
    Column("bunker_id", String(ID), ForeignKey("scaibunker_bunkers.id"), primary_key=True),
    Column("bucket", String(BUCKET), primary_key=True, index=True),
    Column("concurrent_bunkers", Integer, nullable=False),
    Column("persistent_bunkers", Integer, nullable=False),
    Column("cpu_millicores", Integer, nullable=False),
    Column("memory_mb", Integer, nullable=False),
    Column("disk_mb", Integer, nullable=False),
    Column("gpu_count", Integer, nullable=False),
)
"""What bunkers that are not at their end hold, each of each of its buckets. The counters in Redis
are made from these."""

quota_epoch = Table(
    "scaibunker_quota_epoch",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("epoch", String(ID), nullable=False),
)
"""One row: which counters count. What was held in others is not held (`holds`)."""
