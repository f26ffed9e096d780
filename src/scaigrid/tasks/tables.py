"""The table of background tasks: what was done, and who is doing it."""

from sqlalchemy import Column, String, Table

from scaigrid.db.types import ID, UtcDateTime, metadata

task_runs = Table(
    "task_runs",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("done_until", UtcDateTime, nullable=False),
    Column("owner", String(ID)),
    Column("lease_until", UtcDateTime),
)
"""`done_until` is the last slot that is done: whatever was due after it is missing. `owner` is one
claim, not a process, and nobody else may claim the task before `lease_until`."""
