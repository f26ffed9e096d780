# Generated from _async/following.py by scripts/generate_sdk_sync.py. Edit that, not this.
"""Following a detached command through interruptions: a stream that breaks is taken up again.

Controllers are restarted and load balancers cut long connections; the command does not mind, so
whoever follows it should not have to.
"""

from collections.abc import Generator

from scaibunker.sdk._calls import Call
from scaibunker.sdk._sync.exec_stream import decoded
from scaibunker.sdk._sync.transport import Transport
from scaibunker.sdk.errors import ConnectionFailed, StreamBroken, Unavailable
from scaibunker.sdk.events import ExecEvent
from scaibunker.sdk.replay import Replay


def followed(transport: Transport, call: Call) -> Generator[ExecEvent, None, None]:
    """The events of a call that can be repeated, each once, whatever breaks in between.

    Gives up when as many attempts as the client's retries allow have brought nothing new.
    """
    replay = Replay()
    failures = 0
    while True:
        try:
            with transport.events(call) as events:
                for event in decoded(events):
                    unseen = replay.unseen(event)
                    if unseen is not None:
                        failures = 0
                        yield unseen
        except (StreamBroken, ConnectionFailed, Unavailable):
            failures += 1
            if failures >= transport.retries.attempts:
                raise
        else:
            return
        transport.pause(failures)
        replay.again()
