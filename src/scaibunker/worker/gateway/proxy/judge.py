"""What of a guest's bytes may go to a server, and to which: from the first byte on, however late it comes."""

from collections.abc import Callable
from enum import StrEnum

from scaibunker.worker.gateway.proxy import sniff
from scaibunker.worker.gateway.proxy.http import HttpReader
from scaibunker.worker.gateway.proxy.limits import Limits
from scaibunker.worker.gateway.proxy.refusal import Reason, Refused
from scaibunker.worker.gateway.proxy.sniff import Kind
from scaibunker.worker.gateway.proxy.tls import TlsReader
from scaibunker.worker.gateway.proxy.words import LINE_WORK, UNREAD, Reader


class Speech(StrEnum):
    """What the guest speaks. OTHER is passed on as it is, to the address that the guest chose."""

    UNKNOWN = "unknown"
    TLS = "tls"
    HTTP = "http"
    OTHER = "other"


MAX_PREAMBLES = 2
"""A PostgreSQL client may ask for GSSAPI, and when that is declined for TLS."""


class Judge:
    """Of one connection. `permit` says whether a name is, now. `free`: how many of the bytes that come next may pass
    unread; whoever passes them on takes them off. `speech` and `name` are there once it is known where it goes."""

    def __init__(self, permit: Callable[[str], bool], limits: Limits) -> None:
        self._permit = permit
        self._limits = limits
        self._first = b""
        self._preambles = 0
        self._sniffed = 0
        self._reader: Reader | None = None
        self.speech = Speech.UNKNOWN
        self.free = 0

    @property
    def name(self) -> str | None:
        """The server that was asked for and is permitted; None: none yet, or a speech without names."""
        return None if self._reader is None else self._reader.name

    @property
    def work(self) -> int:
        """Microseconds, about, that it has taken so far."""
        return self._sniffed if self._reader is None else self._sniffed + self._reader.work

    @property
    def waiting(self) -> bool:
        """Nothing more may pass until the server has answered."""
        return self._reader is not None and self._reader.waiting

    @property
    def incomplete(self) -> bool:
        """The guest is in the middle of something that is judged as a whole."""
        return bool(self._first) if self._reader is None else self._reader.incomplete

    def client(self, data: bytes) -> bytes:
        """What of it, and of what was held, may go to the server now. Raises Refused."""
        if self.speech is Speech.UNKNOWN:
            self._first += data
            self._sniffed += LINE_WORK + len(self._first) // 256
            return self._begin()
        return self._read(data)

    def client_end(self) -> None:
        """The guest sends no more. Raises Refused in the middle of something."""
        if self._first:
            raise Refused(Reason.UNCLEAR)
        if self._reader is not None:
            self._reader.client_end()

    def server(self, data: bytes) -> None:
        """What the server sends, while it is waited for."""
        if self._reader is not None:
            self._reader.server(data)
            self.free = self._reader.free

    def _begin(self) -> bytes:
        passed = b""
        while (kind := sniff.kind(self._first)) is Kind.POSTGRES:
            self._preambles += 1
            if self._preambles > MAX_PREAMBLES:
                raise Refused(Reason.UNCLEAR)
            size = len(sniff.POSTGRES_REQUESTS[0])
            passed += self._first[:size]
            self._first = self._first[size:]
        if kind is None:
            return passed
        first, self._first = self._first, b""
        if kind is Kind.TLS:
            self.speech = Speech.TLS
            self._reader = TlsReader(self._permit, self._limits.hello)
        elif kind is Kind.HTTP:
            self.speech = Speech.HTTP
            self._reader = HttpReader(self._permit, self._limits.head)
        else:
            self.speech = Speech.OTHER
            self.free = UNREAD
        return passed + self._read(first)

    def _read(self, data: bytes) -> bytes:
        if self._reader is None:
            return data
        self._reader.free = self.free
        passed = self._reader.client(data)
        self.free = self._reader.free
        return passed
