# Generated from _async/bunker_calls.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""What can be done to a bunker whose id is known. Records in, records out.

Making and finding bunkers is `bunkers`; an object that stands for one is `bunker`.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from scaibunker.sdk import _answers, _calls, _requests
from scaibunker.sdk._calls import Call, bunker_path
from scaibunker.sdk._runtime import sleep
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.errors import BunkerFailed, WaitTimedOut
from scaibunker.sdk.records import BunkerRecord
from scaibunker.sdk.sse import ServerEvent
from scaibunker.sdk.waiting import pauses
from scaibunker.wire.api.bunkers import BunkerEvent, BunkerStatus
from scaibunker.wire.api.snapshots import SnapshotKind

DEFAULT_WAIT_S = 120.0


class BunkerCalls:
    """Operations on one bunker each, by id."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def record(self, bunker_id: str) -> BunkerRecord:
        """The bunker's record as it is now."""
        return self._transport.record(_calls.get(bunker_path(bunker_id)), BunkerRecord)

    def delete(
        self, bunker_id: str, *, snapshot: bool | SnapshotKind | str = False
    ) -> BunkerRecord:
        """Terminate the bunker. Doing it again changes nothing.

        With `snapshot` (a kind, or True for `disk`) it stands still until there is one of it, and
        ends then: if its record is `snapshotting` still, later. If there can be none it goes on,
        which raises `Conflict` if it is known by the time of the answer.
        """
        call = Call(
            "DELETE", bunker_path(bunker_id), _requests.last_snapshot(snapshot), repeatable=True
        )
        return self._transport.record(call, BunkerRecord)

    def pause(self, bunker_id: str) -> BunkerRecord:
        """Freeze it in place: memory and quota kept, no CPU used."""
        return self._verb(bunker_id, "pause")

    def resume(self, bunker_id: str) -> BunkerRecord:
        """Let a paused bunker go on where it was."""
        return self._verb(bunker_id, "resume")

    def keepalive(self, bunker_id: str) -> BunkerRecord:
        """Count as activity, so that the idle time starts again."""
        return self._verb(bunker_id, "keepalive")

    def wait_until(
        self,
        bunker_id: str,
        status: BunkerStatus | str = BunkerStatus.RUNNING,
        *,
        timeout: float = DEFAULT_WAIT_S,
    ) -> BunkerRecord:
        """Wait until the bunker has this status.

        Raises `BunkerFailed` when it reaches a final one instead, `WaitTimedOut` after `timeout`
        seconds. What happens faster than anyone looks is not seen: wait for states that last.
        """
        wanted = BunkerStatus(status)
        record = self.record(bunker_id)
        for pause in pauses(timeout):
            if record.status is wanted or record.status.is_final:
                break
            sleep(pause)
            record = self.record(bunker_id)
        if record.status is wanted:
            return record
        if record.status.is_final:
            raise BunkerFailed(bunker_id, record.status, record.status_reason)
        raise WaitTimedOut(
            f"bunker {bunker_id} is {record.status} after {timeout:g} s, not {wanted}"
        )

    @contextmanager
    def events(self, bunker_id: str) -> Iterator[Iterator[BunkerEvent]]:
        """Its changes of state as they happen, until it reaches a final one.

        Kinds of event that this version does not know are left out.
        """
        call = _calls.get(bunker_path(bunker_id, "events"))
        with self._transport.events(call) as events:
            yield _bunker_events(events)

    def _verb(self, bunker_id: str, verb: str) -> BunkerRecord:
        call = Call(
            "POST",
            bunker_path(bunker_id, verb),
            repeatable=True,
            idempotency_key=_calls.new_key(),
        )
        return self._transport.record(call, BunkerRecord)


def _bunker_events(events: Iterator[ServerEvent]) -> Iterator[BunkerEvent]:
    for event in events:
        if event.name == "status":
            yield _answers.event(BunkerEvent, event)
