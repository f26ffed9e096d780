"""What a guest may say in TLS: a ClientHello that names one permitted server, and after it what only the server reads."""

from collections.abc import Callable

from scaibunker.worker.gateway.proxy.hello import Hello, HelloReader
from scaibunker.worker.gateway.proxy.refusal import (
    ACCESS_DENIED,
    UNRECOGNIZED_NAME,
    Manner,
    Reason,
    Refused,
)
from scaibunker.worker.gateway.proxy.words import HEAD_WORK, LINE_WORK, UNREAD, canonical

_ALERT, _HANDSHAKE = 21, 22
_WARNING = 1
_MAX_WARNINGS = 4
_SERVER_HELLO = 2
_RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")
"""The random of a ServerHello that asks for another ClientHello (RFC 8446, 4.1.3)."""
_RANDOM = slice(6, 38)
"""Where it stands: after the type, the length and the version."""


class TlsReader:
    """Judges the first hello, then lets nothing pass until the server has answered: if it asks for another hello, that
    one is judged too. `name`: the server's, when it is known to be permitted."""

    def __init__(self, permit: Callable[[str], bool], limit: int) -> None:
        self._permit = permit
        self._limit = limit
        self._reader = HelloReader(limit)
        self._held = b""
        self._answer: ServerHello | None = None
        self._retried = False
        self.name: str | None = None
        self.free = 0
        self.waiting = False
        self.work = 0

    @property
    def incomplete(self) -> bool:
        return not self.waiting and not self.free

    def client(self, data: bytes) -> bytes:
        """What of it, and of what was held, may go to the server. Raises Refused."""
        if self.waiting:
            self._held += data
            return b""
        if self.free:
            held, self._held = self._held, b""
            return held + data
        self.work += LINE_WORK
        rest = self._reader.take(self._held + data)
        self._held = b""
        if self._reader.hello is None:
            return b""
        self._judge(self._reader.hello)
        passed = bytes(self._reader.raw)
        if self._retried:
            self.free = UNREAD
            return passed + rest
        self._held = rest
        self._answer = ServerHello()
        self.waiting = True
        return passed

    def client_end(self) -> None:
        """Raises Refused if it comes before all is said."""
        if self.incomplete:
            raise Refused(Reason.TLS_BROKEN, Manner.ALERT)

    def server(self, data: bytes) -> None:
        """Bytes of the server, while it is waited for."""
        if self._answer is None or not self.waiting:
            return
        retry = self._answer.take(data)
        if retry is None:
            return
        self.waiting = False
        self._answer = None
        if retry:
            self._retried = True
            self._reader = HelloReader(self._limit, after_retry=True)
        else:
            self.free = UNREAD

    def _judge(self, hello: Hello) -> None:
        self.work += HEAD_WORK
        if hello.hidden:
            raise Refused(Reason.TLS_HIDDEN, Manner.ALERT, alert=ACCESS_DENIED)
        if hello.name is None:
            raise Refused(Reason.TLS_NO_NAME, Manner.ALERT, alert=UNRECOGNIZED_NAME)
        name = canonical(hello.name)
        if self.name is not None and name != self.name:
            raise Refused(Reason.TLS_CHANGED, Manner.ALERT, alert=UNRECOGNIZED_NAME)
        if not self._permit(name):
            raise Refused(Reason.TLS_NAME, Manner.ALERT, alert=UNRECOGNIZED_NAME, name=name)
        self.name = name


class ServerHello:
    """Reads how a server begins, as far as it says whether it wants another ClientHello."""

    def __init__(self) -> None:
        self._raw = bytearray()
        self._message = bytearray()
        self._warnings = 0

    def take(self, data: bytes) -> bool | None:
        """None: not known yet."""
        self._raw += data
        while True:
            if self._raw and self._raw[0] == _ALERT and self._warnings < _MAX_WARNINGS:
                if len(self._raw) < 7:
                    return None
                if self._raw[3:6] == bytes((0, 2, _WARNING)):
                    # Such as that the name is not quite known to it: it may go on.
                    self._warnings += 1
                    del self._raw[:7]
                    continue
            if self._raw and self._raw[0] != _HANDSHAKE:
                return False  # an alert, or no TLS
            if self._message and self._message[0] != _SERVER_HELLO:
                return False
            if len(self._message) >= _RANDOM.stop:
                return bytes(self._message[_RANDOM]) == _RETRY
            if len(self._raw) < 5:
                return None
            end = 5 + int.from_bytes(self._raw[3:5])
            if end == 5:
                return False  # no TLS; and any number of those would be read
            # What has come of a record is as good as the whole of it.
            part = self._raw[5:end]
            if len(self._message) + len(part) < _RANDOM.stop and len(self._raw) < end:
                return None
            self._message += part
            del self._raw[:end]
