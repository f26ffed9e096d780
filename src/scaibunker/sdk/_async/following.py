"""Following a detached command through interruptions: a stream that breaks is taken up again.

Controllers are restarted and load balancers cut long connections; the command does not mind, so
whoever follows it should not have to.
"""

from collections.abc import AsyncGenerator

from scaibunker.sdk._async.exec_stream import decoded
from scaibunker.sdk._async.transport import AsyncTransport
from scaibunker.sdk._calls import Call
from scaibunker.sdk.errors import Conflict, ConnectionFailed, NotFound, StreamBroken, Unavailable
from scaibunker.sdk.events import ExecEvent
from scaibunker.sdk.replay import Replay


async def followed(transport: AsyncTransport, call: Call) -> AsyncGenerator[ExecEvent, None]:
    """The events of a call that can be repeated, each once, whatever breaks in between.

    Gives up when three times as many attempts as the client's retries allow have brought nothing
    new, half a minute or so: servers take that long to restart.
    """
    replay = Replay()
    failures = 0
    patience = 3 * transport.retries.attempts if transport.retries.attempts > 1 else 1
    while True:
        try:
            async with transport.events(call) as events:
                async for event in decoded(events):
                    unseen = replay.unseen(event)
                    if unseen is not None:
                        failures = 0
                        yield unseen
        except (StreamBroken, ConnectionFailed, Unavailable, NotFound, Conflict) as error:
            # A worker that has just come back may not have found the command again yet.
            is_passing = replay.begun or not isinstance(error, NotFound | Conflict)
            failures += 1
            if failures >= patience or not is_passing:
                raise
        else:
            return
        await transport.pause(failures)
        replay.again()
