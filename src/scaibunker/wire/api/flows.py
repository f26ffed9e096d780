"""The record of a bunker's flows: batches, and the lines of JSON that are in them. Source: the product contract, §8."""

from datetime import datetime
from enum import StrEnum

from pydantic import BaseModel

MAX_SINCE_US = 10**16 - 1
"""Of the year 2286: batches are ordered by sixteen digits."""
BATCH_NAME = r"[0-9]{16}-[0-9]{1,10}\.ndjson"
"""`{ts_us}-{worker_pid}.ndjson`"""


class AuditBatch(BaseModel):
    """A batch of records, complete. `ts_us`: when it was begun, in microseconds since 1970, by its worker's clock; no
    record in it was written before. `size` in bytes; `key` in object storage."""

    name: str
    key: str
    ts_us: int
    size: int
    stored_at: datetime


class FlowVerdict(StrEnum):
    """What became of a flow."""

    ALLOWED = "allowed"
    REFUSED = "refused"


class FlowRecord(BaseModel):
    """A flow of a bunker, written when it had ended; or packets that were refused. `start` by the worker's clock;
    `duration_ms` to its last packet. `source_*` is the bunker's end. Ports are null for protocols without any.

    `host`: the name that the address stood for when the flow began, or, where a worker dials for its bunker, the name
    that it gave; null if there was none. `protocol`: `tcp`, `udp`, `icmp`, `icmpv6`, `sctp`, or a number. `bytes_*` and `packets_*`
    from the bunker's side: with the headers of IP where packets are counted, without where they are null. `reason`: why it was refused.
    """

    start: datetime
    duration_ms: int
    source_address: str
    source_port: int | None
    destination_address: str
    destination_port: int | None
    host: str | None
    protocol: str
    bytes_sent: int
    bytes_received: int
    packets_sent: int | None
    packets_received: int | None
    verdict: FlowVerdict
    reason: str | None
    bunker_id: str


class LossRecord(BaseModel):
    """That records are missing: `dropped` of them, or null if nobody can know. They would have been written between
    `start` and `end`. `reason`: `memory` or `disk` (no room on the worker), `flood` (refused packets that came too
    fast), `restart` (what writes them was killed), `detached`, `unreadable`."""

    dropped: int | None
    reason: str
    start: datetime
    end: datetime
    bunker_id: str
