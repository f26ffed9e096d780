"""The head of an HTTP request: whose it is, and how long the request is.

h11 reads it, by the standard; what the standard lets pass and servers are known to read differently is refused before.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import h11

from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused
from scaibunker.worker.gateway.proxy.words import canonical

_HOST = re.compile(r"([a-z0-9_-]+(?:\.[a-z0-9_-]+)*\.?)(?::([0-9]{1,5}))?", re.IGNORECASE)
_ABSOLUTE = re.compile(r"http://([^/?#]+)(?:[/?].*)?", re.IGNORECASE)
_DIGITS = re.compile(rb"[0-9]{1,18}")
_ALIKE = frozenset((b"host", b"content-length", b"transfer-encoding"))
_BARE_ENDS = re.compile(rb"(?<!\r)\n|\r(?!\n)|\x00")
MAX_FIELDS = 200

Field = tuple[bytes, bytes]
"""Name in lower case, and value."""


@dataclass(frozen=True, slots=True)
class Request:
    """`length` of its body in bytes; None: chunked. `websocket`: it asks for one."""

    host: str
    length: int | None
    websocket: bool


def read(head: bytes) -> Request:
    """Of a whole head, with its empty line. Raises Refused; of whether the host is permitted nothing is said."""
    line, _, fields = head.partition(b"\r\n")
    if line.startswith(b"PRI "):
        raise Refused(Reason.HTTP_2, Manner.HTTP)
    if _BARE_ENDS.search(head) or b"\r\n " in head or b"\r\n\t" in head:
        raise malformed()
    if fields.count(b"\r\n") > MAX_FIELDS:
        raise Refused(Reason.HTTP_LONG, Manner.HTTP)
    found = [_field(line) for line in fields.split(b"\r\n")[:-2]]
    hosts = _values(found, b"host")
    if len(hosts) != 1:
        raise Refused(Reason.HTTP_NO_HOST, Manner.HTTP)
    event = _event(head)
    if event.http_version not in (b"1.0", b"1.1"):
        raise Refused(Reason.HTTP_VERSION, Manner.HTTP)
    if event.method == b"CONNECT":
        raise Refused(Reason.HTTP_CONNECT, Manner.HTTP)
    host = _host(event, hosts[0].decode("latin-1"))
    length = _length(found, event.http_version)
    return Request(host, length, _websocket(found, length))


def _field(line: bytes) -> Field:
    """As it stands there: h11 makes one of several that say the same."""
    name, _, value = line.partition(b":")
    return name.lower(), value.strip(b" \t")


def _event(head: bytes) -> h11.Request:
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=len(head) + 1)
    try:
        parser.receive_data(head)
        event = parser.next_event()
    except h11.RemoteProtocolError:
        raise malformed() from None
    if not isinstance(event, h11.Request):
        raise malformed()
    return event


def _host(event: h11.Request, authority: str) -> str:
    found = _HOST.fullmatch(authority)
    if found is None:
        raise Refused(Reason.HTTP_HOST, Manner.HTTP)
    target = event.target.decode("latin-1")
    if not target.startswith("/") and not (target == "*" and event.method == b"OPTIONS"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is None or absolute[1].lower() != authority.lower():
            raise Refused(Reason.HTTP_TARGET, Manner.HTTP)
    return canonical(found[1])


def _length(fields: Sequence[Field], version: bytes) -> int | None:
    for name, _ in fields:
        if b"_" in name and name.replace(b"_", b"-") in _ALIKE:
            raise Refused(Reason.HTTP_FRAMING, Manner.HTTP)  # some servers make a dash of it
    lengths, codings = _values(fields, b"content-length"), _values(fields, b"transfer-encoding")
    if codings:
        if lengths or [c.lower() for c in codings] != [b"chunked"] or version == b"1.0":
            raise Refused(Reason.HTTP_FRAMING, Manner.HTTP)
        return None
    if not lengths:
        return 0
    if len(lengths) > 1 or not _DIGITS.fullmatch(lengths[0]):
        raise Refused(Reason.HTTP_FRAMING, Manner.HTTP)
    return int(lengths[0])


def _websocket(fields: Sequence[Field], length: int | None) -> bool:
    """Raises Refused if it asks for any other change of protocol."""
    connection = list(_words(_values(fields, b"connection")))
    upgrades = list(_words(_values(fields, b"upgrade")))
    if _values(fields, b"http2-settings") or b"http2-settings" in connection:
        raise Refused(Reason.HTTP_UPGRADE, Manner.HTTP)
    if not upgrades:
        return False
    if upgrades != [b"websocket"]:
        raise Refused(Reason.HTTP_UPGRADE, Manner.HTTP)
    if length != 0:
        raise Refused(Reason.HTTP_UPGRADE_LATE, Manner.HTTP)
    return True


def _values(fields: Sequence[Field], name: bytes) -> list[bytes]:
    return [value for key, value in fields if key == name]


def _words(values: Iterable[bytes]) -> Iterable[bytes]:
    return (word.strip().lower() for value in values for word in value.split(b",") if word.strip())


def malformed() -> Refused:
    return Refused(Reason.HTTP_MALFORMED, Manner.HTTP)
