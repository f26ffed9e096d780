"""The proxy as a part of the gateway: accepts what one machine's rules redirect to it, and keeps account of it."""

import asyncio
import errno
import functools
import socket
import time
from collections.abc import Callable

import structlog

from scaibunker.worker.gateway.attachment import Attachment
from scaibunker.worker.gateway.counts import CONNECTIONS
from scaibunker.worker.gateway.intake import Intake
from scaibunker.worker.gateway.lookup import Lookup
from scaibunker.worker.gateway.names import Names
from scaibunker.worker.gateway.proxy.connection import Connection
from scaibunker.worker.gateway.proxy.limits import LIMITS, Limits
from scaibunker.worker.gateway.proxy.original import Address, original_destination
from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.proxy.room import Room
from scaibunker.worker.gateway.proxy.setting import Setting
from scaibunker.worker.gateway.proxy.side import reset
from scaibunker.worker.gateway.recorder import Endpoint, Flow, Verdict
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.network.openings import CLOSED_PORTS
from scaibunker.worker.network.policy import Passage, Policy

log = structlog.get_logger(__name__)

CONNECTION_S, REFUSED_S = 0.000_4, 0.000_08
"""Of the loop's time: a connection, without what it moves and its end; and one that is refused at once."""
ENDED = 16
"""At once, of all there are; then others have their turn."""
SWEEP_S = 5.0
OUT_OF_S = 0.5
_OUT_OF = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

Original = Callable[[socket.socket], tuple[Address, int]]


class Proxy:
    """A `Part`. `original` says where an accepted connection wanted to go; raises OSError."""

    def __init__(
        self,
        surroundings: Surroundings,
        lookup: Lookup,
        limits: Limits = LIMITS,
        original: Original = original_destination,
    ) -> None:
        self._surroundings = surroundings
        self._lookup = lookup
        self._limits = limits
        self._original = original
        self._connections: dict[Connection, None] = {}
        self._intakes: list[Intake] = []
        self._sweeping: asyncio.TimerHandle | None = None
        self._names = Names(())
        self._tokens = float(limits.burst)
        self._filled = time.monotonic()
        self._setting: Setting | None = None

    def start(self, attachment: Attachment) -> None:
        self._setting = Setting(
            attachment=attachment,
            surroundings=self._surroundings,
            lookup=self._lookup,
            limits=self._limits,
            room=Room(self._limits, attachment.share),
            permit=self._permit,
        )
        self._read(attachment.policy)
        for listening in attachment.sockets.proxied:
            take = functools.partial(self._take, listening)
            self._intakes.append(Intake(listening, attachment.share, take))
        self._sweep()

    def change(self, policy: Policy) -> None:
        self._read(policy)
        for connection in list(self._connections):
            if not connection.permitted():
                connection.end(Reason.POLICY_CHANGED, Verdict.REFUSED)

    async def close(self) -> None:
        if self._setting is None:
            return
        for intake in self._intakes:
            intake.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        connections = list(self._connections)
        for number, connection in enumerate(connections):
            connection.end(Reason.CLOSED)
            if number % ENDED == ENDED - 1:
                await asyncio.sleep(0)
        for connection in connections:
            await connection.gone()
        self._setting = None

    def _read(self, policy: Policy) -> None:
        self._names = Names(policy.names if policy.passage is Passage.NAMED else ())

    def _permit(self, name: str) -> bool:
        return self._names.permit(name)

    def _take(self, listening: socket.socket) -> float | None:
        if not self._token():
            return 1 / self._limits.per_second
        try:
            accepted, source = listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return None
        except OSError as error:
            if error.errno not in _OUT_OF:
                log.warning("proxy_not_accepting", reason=str(error))
            return OUT_OF_S
        self._tokens -= 1
        self._admit(accepted, (source[0], source[1]))
        return 0.0

    def _token(self) -> bool:
        """True: one more may be accepted now."""
        now = time.monotonic()
        gained = (now - self._filled) * self._limits.per_second
        self._tokens = min(self._limits.burst, self._tokens + gained)
        self._filled = now
        return self._tokens >= 1

    def _admit(self, accepted: socket.socket, source: Endpoint) -> None:
        setting = self._setting
        try:
            address, port = self._original(accepted)
        except OSError:
            reset(accepted)
            return
        if setting is None:
            reset(accepted)
            return
        names = tuple(n for n in setting.attachment.answers.names(address) if self._permit(n))
        refused = self._refused(port, names)
        share = setting.attachment.share
        share.spend(REFUSED_S if refused is not None else CONNECTION_S)
        if refused is None:
            connection = Connection(setting, accepted, source, (address, port), names, self._over)
            self._connections[connection] = None
            setting.attachment.counts.connections_open += 1
            connection.start()
            return
        reset(accepted)
        setting.attachment.counts.add(CONNECTIONS, refused.name.lower())
        setting.attachment.recorder.record(
            Flow(
                start=time.time(),
                duration_s=0.0,
                source=source,
                destination=(str(address), port),
                verdict=Verdict.REFUSED,
                host=names[0] if names else None,
                reason=refused.value,
            )
        )

    def _refused(self, port: int, names: tuple[str, ...]) -> Reason | None:
        if not names:
            return Reason.NOT_RESOLVED
        if port in CLOSED_PORTS:
            return Reason.PORT_CLOSED
        if len(self._connections) >= self._limits.connections:
            return Reason.TOO_MANY
        return None

    def _over(self, connection: Connection) -> None:
        del self._connections[connection]
        if self._setting is not None:
            self._setting.attachment.counts.connections_open -= 1

    def _sweep(self) -> None:
        now = time.monotonic()
        for connection in list(self._connections):
            connection.sweep(now)
        loop = asyncio.get_running_loop()
        self._sweeping = loop.call_later(SWEEP_S, self._sweep)
