"""Following a detached command through interruptions: a stream that breaks is taken up again.

Controllers are restarted and load balancers cut long connections; the command does not mind, so
whoever follows it should not have to.
"""

from collections.abc import AsyncGenerator

from scaibunker.sdk._async.exec_stream import decoded
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call
from scaibunker.sdk.errors import ConnectionFailed, StreamBroken, Unavailable
from scaibunker.sdk.events import ExecEvent
from scaibunker.sdk.replay import Replay


async def followed(transport: AsyncTransport, call: Call) -> AsyncGenerator[ExecEvent, None]:
    """The events of a call that can be repeated, each once, whatever breaks in between.

    Gives up when as many attempts as the client's retries allow have brought nothing new.
    """
    replay = Replay()
    failures = 0
    while True:
        try:
            async with transport.events(call) as events:
                async for event in decoded(events):
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
        await transport.pause(failures)
        replay.again()
