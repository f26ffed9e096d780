"""Questions by UDP."""

import asyncio
import contextlib
import functools
import socket

from scaibunker.worker.gateway.resolver.conversation import Conversation, Heard

AT_ONCE = 16
"""Packets of one machine, before others have their turn."""
PAUSE_S = 0.05
"""That a machine is not read which asks too much; what comes meanwhile the kernel drops when its buffer is full."""
RECEIVE_BYTES = 1500
"""No question is larger."""


class UdpServer:
    """Serves an open, bound, non-blocking socket until `close`, and does not close it."""

    def __init__(self, sock: socket.socket, conversation: Conversation) -> None:
        self._sock = sock
        self._conversation = conversation
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._closed = False
        self._loop.add_reader(sock, self._read)

    def close(self) -> None:
        self._closed = True
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)

    def _read(self) -> None:
        for _ in range(AT_ONCE):
            try:
                packet, sender = self._sock.recvfrom(RECEIVE_BYTES)
            except OSError:  # none left, or news of an answer that did not arrive
                return
            send = functools.partial(self._send, sender)
            if self._conversation.hear(packet, send, tcp=False) is Heard.TOO_MUCH:
                self._loop.remove_reader(self._sock)
                self._pause = self._loop.call_later(PAUSE_S, self._read_again)
                return

    def _read_again(self) -> None:
        self._pause = None
        if not self._closed:
            self._loop.add_reader(self._sock, self._read)

    def _send(self, to: tuple[str, int], message: bytes) -> None:
        if not self._closed:
            with contextlib.suppress(OSError):  # full, or nobody there: the guest asks again
                self._sock.sendto(message, to)
