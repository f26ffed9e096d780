"""The ClientHello, put together from records and read: strictly, for what is read differently elsewhere is a way out."""

from dataclasses import dataclass

from scaibunker.worker.gateway.proxy.refusal import DECODE_ERROR, Manner, Reason, Refused

_CHANGE_CIPHER_SPEC, _HANDSHAKE, _APPLICATION_DATA = 20, 22, 23
_BETWEEN = (_CHANGE_CIPHER_SPEC, _APPLICATION_DATA)
_CLIENT_HELLO = 1
_RECORD_HEADER = 5
_MAX_RECORD = 16_384 + 256
_MAX_RECORDS = 256
"""That a hello comes in. Each costs time, and some guest could send thousands of one byte."""
_SERVER_NAME = 0
_HOST_NAME = 0
_HIDDEN = frozenset((0xFFCE, 0xFE02, *range(0xFE08, 0xFE0E)))
"""Extensions of encrypted hellos and server names: the standard's and its drafts'."""


@dataclass(frozen=True, slots=True)
class Hello:
    """`name` in ASCII, as it was sent; None if none was. `hidden`: there is another hello inside, or what looks just
    like one (GREASE, which nobody but the server can tell from a real one, by design)."""

    name: str | None
    hidden: bool


class HelloReader:
    """Of one ClientHello. `take` what comes; `hello` is there when it is complete, and `raw` what it came in.

    `after_retry`: the server has asked for another one. Then what clients send between the two may come first: early
    data, which the server skips, and one change of ciphers that changes nothing.
    """

    def __init__(self, limit: int, *, after_retry: bool = False) -> None:
        self._limit = limit
        self._after_retry = after_retry
        self._message = bytearray()
        self._parsed = 0
        self._records = 0
        self.raw = bytearray()
        self.hello: Hello | None = None

    def take(self, data: bytes) -> bytes:
        """What comes after the hello is returned. Raises Refused."""
        self.raw += data
        while self.hello is None:
            start = self._parsed + _RECORD_HEADER
            header = bytes(self.raw[self._parsed : start])
            end = start + self._record(header)
            if min(end, len(self.raw)) > self._limit:
                raise Refused(Reason.TLS_LONG, Manner.ALERT)
            if len(header) < _RECORD_HEADER or len(self.raw) < end:
                return b""
            self._records += 1
            if self._records > _MAX_RECORDS:
                raise Refused(Reason.TLS_LONG, Manner.ALERT)
            if header[0] == _HANDSHAKE:
                self._message += self.raw[start:end]
                self._read_message()
            self._parsed = end
        rest = bytes(self.raw[self._parsed :])
        del self.raw[self._parsed :]
        return rest

    def _record(self, header: bytes) -> int:
        """Check as much of a record's header as there is; its length."""
        if not header:
            return 0
        kind = header[0]
        if kind != _HANDSHAKE and not (
            self._after_retry and kind in _BETWEEN and not self._message
        ):
            raise Refused(Reason.TLS_NO_HELLO, Manner.ALERT)
        if header[1:2] and header[1] != 3:
            raise malformed()
        if len(header) < _RECORD_HEADER:
            return 0
        length = int.from_bytes(header[3:5])
        if not 0 < length <= (1 if kind == _CHANGE_CIPHER_SPEC else _MAX_RECORD):
            raise malformed()
        return length

    def _read_message(self) -> None:
        message = self._message
        if message[0] != _CLIENT_HELLO:
            raise Refused(Reason.TLS_NO_HELLO, Manner.ALERT)
        if len(message) < 4:
            return
        length = int.from_bytes(message[1:4])
        if length + 4 > self._limit:
            raise Refused(Reason.TLS_LONG, Manner.ALERT)
        if len(message) > 4 + length:
            raise malformed()  # another message in the same record
        if len(message) == 4 + length:
            self.hello = parse(bytes(message[4:]))


def parse(body: bytes) -> Hello:
    """Of a ClientHello's body (RFC 8446, 4.1.2). Raises Refused: malformed, or more than one name."""
    fields = _Fields(body)
    if fields.number(2) >> 8 != 3:
        raise malformed()
    fields.take(32)
    if len(fields.vector(1)) > 32:
        raise malformed()
    suites = fields.vector(2)
    if not suites or len(suites) % 2 or not fields.vector(1):
        raise malformed()
    if fields.done:
        return Hello(None, hidden=False)
    extensions = _extensions(_Fields(fields.vector(2)))
    fields.end()
    hidden = not _HIDDEN.isdisjoint(extensions)
    named = extensions.get(_SERVER_NAME)
    return Hello(None if named is None else _name(_Fields(named)), hidden)


def _extensions(fields: "_Fields") -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    while not fields.done:
        kind, content = fields.number(2), fields.vector(2)
        if kind in found:
            raise malformed()
        found[kind] = content
    return found


def _name(fields: "_Fields") -> str:
    """Of the server_name extension (RFC 6066, 3)."""
    entries = _Fields(fields.vector(2))
    fields.end()
    if entries.number(1) != _HOST_NAME:
        raise malformed()
    name = entries.vector(2)
    if not entries.done:
        raise Refused(Reason.TLS_NAMES, Manner.ALERT)
    if not name or not name.isascii():
        raise malformed()
    return name.decode("ascii")


class _Fields:
    """Reads big-endian fields. Raises Refused where they end too early."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise malformed()
        found = self._data[self._at : end]
        self._at = end
        return found

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size))

    def vector(self, size: int) -> bytes:
        """A length of `size` bytes, and as many bytes."""
        return self.take(self.number(size))

    def end(self) -> None:
        if not self.done:
            raise malformed()


def malformed() -> Refused:
    return Refused(Reason.TLS_BROKEN, Manner.ALERT, alert=DECODE_ERROR)
