"""Lines of a batch of flow records, from bytes as they come. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from scaibunker.sdk import _answers
from scaibunker.sdk.errors import ResponseInvalid
from scaibunker.wire.api.flows import FlowRecord, LossRecord

MAX_LINE = 64 * 1024
SLACK = timedelta(minutes=1)
"""A record is in a batch that was begun, by its worker's clock, up to so long before it was written."""
_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class FlowLines:
    """Takes chunks; gives the records of the lines that are complete."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[FlowRecord | LossRecord]:
        """Raises `ResponseInvalid` for a line that is no record."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        if len(self._rest) > MAX_LINE:
            raise ResponseInvalid("a line of the batch is too long")
        for line in lines:
            yield _answers.flow(line)

    def end(self) -> None:
        """Raises `ResponseInvalid` if the last line is not complete."""
        if self._rest:
            raise ResponseInvalid("the batch ends within a line")


def first_batch_us(since: datetime | None) -> int | None:
    """From which batch on there may be records of `since` or later. A time without a zone is local."""
    if since is None:
        return None
    return max(0, (since.astimezone() - SLACK - _EPOCH) // timedelta(microseconds=1))


def ended_at(record: FlowRecord | LossRecord) -> datetime:
    """When what it tells of was over."""
    if isinstance(record, LossRecord):
        return record.end
    return record.start + timedelta(milliseconds=record.duration_ms)
