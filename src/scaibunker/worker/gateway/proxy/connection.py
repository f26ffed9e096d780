"""One connection of a guest: from its first byte to the last, with the server it is let through to."""

import asyncio
import re
import socket
import time
from collections.abc import Callable

from scaibunker.worker.gateway.counts import CONNECTIONS
from scaibunker.worker.gateway.proxy.dial import Address
from scaibunker.worker.gateway.proxy.judge import Judge, Speech
from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused
from scaibunker.worker.gateway.proxy.route import Route
from scaibunker.worker.gateway.proxy.setting import Setting
from scaibunker.worker.gateway.proxy.side import (
    JUDGED,
    NARROW,
    NEAR,
    READ_WHILE_JUDGED,
    UNJUDGED,
    Side,
)
from scaibunker.worker.gateway.proxy.words import UNREAD
from scaibunker.worker.gateway.recorder import Endpoint, Flow, Verdict
from scaibunker.worker.network.never import Never

HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
SLICE = 512
"""Bytes that are judged without a look at the clock."""
LINGER_BYTES = 1024 * 1024
"""What a refused guest may still send before it is cut off."""


class Connection:
    """`asked`: address and port that the guest chose, and `names` the permitted ones that the address stood for then.

    `start` it once. It ends by itself, or by `end`; then it calls `over`, once.
    """

    def __init__(
        self,
        setting: Setting,
        sock: socket.socket,
        source: Endpoint,
        asked: tuple[Address, int],
        names: tuple[str, ...],
        over: Callable[["Connection"], None],
    ) -> None:
        self._over_with = over
        self._setting = setting
        self._source = source
        self._asked, self._port = asked
        self._names = names
        self._start = time.time()
        self._began = self._quiet_since = time.monotonic()
        self._judge = Judge(setting.permit, setting.limits)
        self._is_wide = setting.room.widen()
        self._guest = Side(sock, setting.room, self, NEAR if self._is_wide else NARROW)
        buffers = None if self._is_wide else NARROW
        self._route = Route(setting, asked, self._guest, self, self._reached, buffers)
        self._never: Never | None = None
        self._unjudged = bytearray()
        self._passed = bytearray()
        self._granted = False
        self._answered = 0
        self._guest_ended = self._server_ended = self._settled = self._over = False
        self._verdict = Verdict.ALLOWED
        self._reason: Reason | None = None
        self._refused_name: str | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._moved = 0
        self._lingers_until = 0
        self._held_from = 0
        self._attaching: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Read the guest; returns at once."""
        self._attaching = asyncio.create_task(self._attach())

    def permitted(self) -> bool:
        """By the policy that is in force now."""
        names = self._names if self._judge.name is None else (self._judge.name,)
        return any(self._setting.permit(name) for name in names)

    def end(self, reason: Reason, verdict: Verdict = Verdict.ALLOWED) -> None:
        """Now: both ends are reset."""
        if self._reason is None:
            self._reason, self._verdict = reason, verdict
        self._guest.reset()
        self._finish()

    def sweep(self, now: float) -> None:
        """End it if it has been idle for too long, or where it goes is closed by now; `now` of the monotonic clock."""
        setting, dialled = self._setting, self._route.dialled
        never = setting.surroundings.never
        if dialled is not None and never is not self._never:
            self._never = never
            if never.forbids(dialled, setting.attachment.policy.passage):
                self.end(Reason.ADDRESS_CLOSED, Verdict.REFUSED)
                return
        moved = self._guest.received + self._route.received
        if moved != self._moved:
            self._moved, self._quiet_since = moved, now
        limits = self._setting.limits
        half = self._guest_ended or self._server_ended
        if now - self._quiet_since > (limits.half_s if half else limits.idle_s):
            self.end(Reason.IDLE)

    async def gone(self) -> None:
        """Returns when nothing of it runs; after `end`."""
        if self._attaching is not None:
            await asyncio.gather(self._attaching, return_exceptions=True)
        await self._route.gone()

    # Called by the sides.

    def heard(self, side: Side, data: bytes) -> None:
        if side is self._guest:
            self._hear_guest(data)
        elif side is self._route.server:
            self._hear_server(data)

    def ended(self, side: Side) -> None:
        if side is self._guest:
            self._guest_ended = True
            if self._reason is not None:
                side.close()
            elif self._judge.waiting:
                side.reset()  # it has given up
            else:
                self._judged(b"")
        elif side is self._route.server:
            self._server_ended = True
            self._guest.finish()
            # What waits for an answer will not get one, and the guest is not read until then.
            self._guest_ended |= self._judge.waiting
        self._settle()

    def drained(self) -> None:
        self._settle()

    def lost(self, side: Side) -> None:
        if side is self._guest:
            self._stop()
            self._setting.room.end(self._finish)
        elif side is self._route.server and not self._settled:
            if self._server_ended:  # it has said all that it had to say
                self._guest_ended = True
                self._settle()
            else:
                self._guest.reset()

    # From the first byte to the server.

    async def _attach(self) -> None:
        try:
            await self._guest.attach(accepted=True)
        except OSError:
            self._finish()
            return
        # It may have been heard already.
        if not self._guest.received and not self._guest_ended and not self._over:
            self._arm(self._setting.limits.silence_s, self._silent)

    def _silent(self) -> None:
        """The guest says nothing: perhaps it is the server that speaks first."""
        self._timer = None
        if self._route.server is None:
            self._route.reach(self._judge.name)

    def _hear_guest(self, data: bytes) -> None:
        if self._reason is None:
            if self._guest.received == len(data):
                self._disarm()
            self._unjudged += data
            self._judge_some()
        elif self._guest.received > self._lingers_until:
            self._guest.reset()

    def resume_turn(self) -> None:
        """Called by the room: it is this machine's turn again."""
        self._judge_some()

    def _judge_some(self) -> None:
        """As much as there is time for in this turn: what a guest packs into a few bytes may take long to judge."""
        room = self._setting.room
        while self._unjudged and self._reason is None and not self._over:
            if self._judge.waiting:
                self._proceed()
                return
            if room.over:
                self._take_back()
                self._guest.pause(UNJUDGED)
                room.wait(self)
                return
            size = max(SLICE, self._judge.free)
            part = bytes(self._unjudged[:size])
            del self._unjudged[:size]
            done = self._judge.work
            self._judged(part)
            room.work(self._judge.work - done)
        self._guest.resume(UNJUDGED)

    def _hear_server(self, data: bytes) -> None:
        self._guest.send(data)
        if self._judge.waiting and self._route.server is not None:
            self._take_back()
            self._judge.server(data)
            if not self._judge.waiting:
                self._route.server.allowance = UNREAD
                self._judged(b"")
                self._judge_some()

    def _judged(self, data: bytes) -> None:
        judge = self._judge
        self._take_back()
        try:
            passed = judge.client(data)
            if self._guest_ended and not judge.waiting and not self._unjudged:
                judge.client_end()
        except Refused as refused:
            self._refuse(refused)
            return
        self._passed += passed
        if not judge.incomplete or passed:
            self._disarm()
        if judge.incomplete and self._timer is None:
            self._arm(self._setting.limits.judge_s, self._too_slow)
        self._proceed()

    def _take_back(self) -> None:
        """What the guest has not used of what it was granted."""
        if self._granted:
            self._judge.free, self._guest.allowance = self._guest.allowance, 0
            self._granted = False

    def _too_slow(self) -> None:
        self._timer = None
        self._refuse(self._refusal(Reason.TOO_SLOW))

    def _proceed(self) -> None:
        """Do what can be done now."""
        if self._over or self._reason is not None:
            return
        judge = self._judge
        server = self._route.ready(judge.name)
        bound = bool(self._passed) or judge.speech is Speech.OTHER or judge.name is not None
        if server is not None:
            server.allowance = 0 if judge.waiting else UNREAD
            if self._passed:
                self._answered = server.received
                server.send(bytes(self._passed))
                self._passed.clear()
            self._guest.allowance, self._granted = judge.free, True
            if self._guest_ended and not judge.waiting:
                server.finish()
        elif bound or self._guest_ended:
            self._route.reach(judge.name)
        if not judge.waiting:
            self._held_from = self._guest.received
        # While the server is waited for, little is read: enough to see that the guest has given up.
        too_much = self._guest.received - self._held_from >= READ_WHILE_JUDGED
        if too_much or (bound and server is None):
            self._guest.pause(JUDGED)
        else:
            self._guest.resume(JUDGED)
        self._settle()

    def _reached(self, failed: Reason | None) -> None:
        if failed is None:
            self._proceed()
        else:
            self._refuse(self._refusal(failed))

    # The end.

    def _refusal(self, reason: Reason) -> Refused:
        """In the manner of what the guest speaks."""
        failed = reason in (Reason.UNREACHABLE, Reason.NO_ADDRESS)
        if self._judge.speech is Speech.HTTP:
            return Refused(reason, Manner.HTTP, status=502 if failed else 403)
        if self._judge.speech is Speech.TLS and reason is not Reason.UNREACHABLE:
            return Refused(reason, Manner.ALERT)
        return Refused(reason)

    def _refuse(self, refused: Refused) -> None:
        if self._over or self._reason is not None:
            return
        self._reason, self._refused_name = refused.reason, refused.name
        if refused.reason is not Reason.UNREACHABLE:
            self._verdict = Verdict.REFUSED
        answer = refused.answer()
        if refused.manner is Manner.HTTP and self._between_answers():
            answer = b""
        self._stop()
        self._route.drop()
        guest = self._guest
        if not answer:
            guest.reset()
            return
        self._lingers_until = guest.received + LINGER_BYTES
        self._arm(self._setting.limits.linger_s, guest.reset)
        guest.allowance = 0
        guest.send(answer)
        guest.finish()
        guest.resume(JUDGED)
        if self._guest_ended:
            guest.close()

    def _between_answers(self) -> bool:
        """Something of an earlier request may still be on its way: another answer would stand in the midst of it."""
        server = self._route.server
        return server is not None and server.received <= self._answered

    def _settle(self) -> None:
        """Close it when both have ended, and taken all there was."""
        server = self._route.server
        if self._settled or self._reason is not None or server is None:
            return
        if (
            self._guest_ended
            and self._server_ended
            and not (self._passed or server.held or self._guest.held)
        ):
            self._settled = True
            self._guest.close()
            server.close()

    def _finish(self) -> None:
        if self._over:
            return
        self._over = True
        if self._is_wide:
            self._setting.room.narrow()
        self._stop()
        if self._attaching is not None:
            self._attaching.cancel()
        received = self._route.received
        if self._route.server is not None and not self._settled:
            self._route.server.reset()
        outcome = "carried" if self._reason is None else self._reason.name.lower()
        self._setting.attachment.counts.add(CONNECTIONS, outcome)
        self._setting.attachment.recorder.record(
            Flow(
                start=self._start,
                duration_s=time.monotonic() - self._began,
                source=self._source,
                destination=(str(self._asked), self._port),
                verdict=self._verdict,
                host=self._host(),
                bytes_sent=self._guest.received,
                bytes_received=received,
                reason=None if self._reason is None else self._reason.value,
                dialled=None
                if self._route.dialled is None
                else (str(self._route.dialled), self._port),
            )
        )
        self._over_with(self)

    def _host(self) -> str | None:
        """What was asked for by name; else what the address stands for."""
        name = self._judge.name or self._refused_name
        if name is not None and HOST.fullmatch(name):
            return name
        return self._names[0] if self._names else None

    def _stop(self) -> None:
        self._disarm()
        self._route.stop()

    def _arm(self, after_s: float, call: Callable[[], None]) -> None:
        self._disarm()
        self._timer = asyncio.get_running_loop().call_later(after_s, call)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
