"""Tables of commands and file operations."""

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
)

from scaigrid.db.types import ID, UtcDateTime, metadata

execs = Table(
    "scaibunker_execs",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("bunker_id", String(ID), ForeignKey("scaibunker_bunkers.id"), nullable=False),
    Column("tenant_id", String(ID), nullable=False),
    Column("user_id", String(ID), nullable=False),
    Column("command", JSON, nullable=False),
    Column("user", String(16), nullable=False),
    Column("detach", Boolean, nullable=False),
    Column("state", String(16), nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("deadline_at", UtcDateTime, nullable=False),
    Column("exit_code", Integer),
    Column("signal", String(32)),
    Column("timed_out", Boolean, nullable=False),
    Column("duration_ms", BigInteger),
    Column("stdout_bytes", BigInteger, nullable=False),
    Column("stderr_bytes", BigInteger, nullable=False),
    Column("stdout_head", LargeBinary(1024), nullable=False),
    Column("stderr_head", LargeBinary(1024), nullable=False),
    Column("output_ref", String(255)),
    Column("error", Text),
    Index(None, "bunker_id", "started_at", "id"),
    Index(None, "state", "deadline_at"),
)

file_operations = Table(
    "scaibunker_file_operations",
    metadata,
    Column("id", String(ID), primary_key=True),
    Column("bunker_id", String(ID), ForeignKey("scaibunker_bunkers.id"), nullable=False),
    Column("tenant_id", String(ID), nullable=False),
    Column("user_id", String(ID), nullable=False),
    Column("operation", String(16), nullable=False),
    Column("path", Text, nullable=False),
    Column("target", Text),
    Column("as_user", String(16), nullable=False),
    Column("bytes", BigInteger),
    Column("outcome", String(64), nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Index(None, "bunker_id", "at", "id"),
)
