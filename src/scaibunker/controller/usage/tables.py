"""The table of what machines have sent."""

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, String, Table

from scaigrid.db.types import ID, metadata

egress = Table(
    "scaibunker_egress",
    metadata,
    Column("bunker_id", String(ID), ForeignKey("scaibunker_bunkers.id"), primary_key=True),
    Column("incarnation", String(ID), primary_key=True),
    Column("seen_bytes", BigInteger, nullable=False),
    Column("accounted_bytes", BigInteger, nullable=False),
    Column("owed", Boolean(create_constraint=False), nullable=False),
    Index(None, "owed", "bunker_id"),
)
"""One row for each time that a bunker's machine was built: its counter begins at zero each time.
`owed` is whether more was seen than accounted for."""
