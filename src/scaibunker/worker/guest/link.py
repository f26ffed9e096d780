"""Keeps a session with one guest's agent open for as long as the machine lives.

The first session is waited for by whoever boots the machine; one that breaks is opened again when
somebody next asks.
"""

import asyncio
from pathlib import Path

from scaibunker.worker.errors import GuestUnreachable
from scaibunker.worker.guest.connection import GuestConnection, open_session

RECONNECT_TIMEOUT_S = 10.0


class GuestLink:
    """The way to one guest. `path` is the channel's socket, `token` what opens it."""

    def __init__(self, path: Path, token: bytes) -> None:
        self._path = path
        self._token = token
        self._connection: GuestConnection | None = None
        self._opening = asyncio.Lock()
        self._closed = False

    async def connect(self, timeout_s: float) -> GuestConnection:
        """An open session, made now if there is none. Raises GuestUnreachable."""
        connection = self._connection
        if connection is not None and not connection.closed.is_set():
            return connection
        async with self._opening:
            if self._closed:
                raise GuestUnreachable("the machine is being taken down")
            connection = self._connection
            if connection is None or connection.closed.is_set():
                connection = await open_session(self._path, self._token, timeout_s)
                if self._closed:
                    connection.close()
                    raise GuestUnreachable("the machine is being taken down")
                self._connection = connection
            return connection

    async def session(self) -> GuestConnection:
        """An open session for a request. Raises GuestUnreachable."""
        return await self.connect(RECONNECT_TIMEOUT_S)

    def replace_token(self, token: bytes) -> None:
        """Open the next session with another token."""
        self._token = token

    async def broken(self) -> None:
        """Wait until the session that is open now has ended."""
        if self._connection is not None:
            await self._connection.closed.wait()

    def close(self) -> None:
        """End the session and refuse new ones."""
        self._closed = True
        if self._connection is not None:
            self._connection.close()
