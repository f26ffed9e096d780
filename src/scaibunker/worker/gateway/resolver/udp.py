"""Questions by UDP."""

import contextlib
import functools
import socket

from scaibunker.worker.gateway.intake import Intake
from scaibunker.worker.gateway.resolver.conversation import Conversation, Heard
from scaibunker.worker.gateway.resolver.limits import QUESTION_S
from scaibunker.worker.gateway.shares import Share

PAUSE_S = 0.05
"""That a machine is not read which asks too much; what comes meanwhile the kernel drops when its buffer is full."""
RECEIVE_BYTES = 1500
"""No question is larger."""


class UdpServer:
    """Serves an open, bound, non-blocking socket until `close`, and does not close it."""

    def __init__(self, sock: socket.socket, conversation: Conversation, share: Share) -> None:
        self._sock = sock
        self._conversation = conversation
        self._share = share
        self._closed = False
        self._intake = Intake(sock, share, self._take)

    def close(self) -> None:
        self._closed = True
        self._intake.close()

    def _take(self) -> float | None:
        try:
            packet, sender = self._sock.recvfrom(RECEIVE_BYTES)
        except OSError:  # none left, or news of an answer that did not arrive
            return None
        self._share.spend(QUESTION_S)
        send = functools.partial(self._send, sender)
        heard = self._conversation.hear(packet, send, tcp=False)
        return PAUSE_S if heard is Heard.TOO_MUCH else 0.0

    def _send(self, to: tuple[str, int], message: bytes) -> None:
        if not self._closed:
            with contextlib.suppress(OSError):  # full, or nobody there: the guest asks again
                self._sock.sendto(message, to)
