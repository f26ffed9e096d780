"""What a connection is, told by its first bytes.

The question is never what the guest means, but what a lenient server could take the bytes for: what may be TLS or HTTP
to somebody is never OTHER here. A text protocol is OTHER once its first line has ended without being a request's.
"""

import re
from enum import Enum, auto

from scaibunker.worker.gateway.proxy.refusal import Manner, Reason, Refused

FIRST_LINE = 8192
"""Bytes in which it must be clear."""


class Kind(Enum):
    """`POSTGRES`: eight bytes that ask a PostgreSQL server for TLS; what follows begins anew."""

    TLS = auto()
    HTTP = auto()
    POSTGRES = auto()
    OTHER = auto()


POSTGRES_REQUESTS = (bytes.fromhex("0000000804d2162f"), bytes.fromhex("0000000804d21630"))
"""SSLRequest and GSSENCRequest."""
_PROXY_V2 = b"\r\n\r\n\x00\r\nQUIT\n"
_PROXY_V1 = b"PROXY "
_RECORD_TYPES = range(0x14, 0x19)
_BLANKS = b"\r\n\t "
_LEADING = _BLANKS + b"\x0b\x0c\x1c\x1d\x1e\x1f"
"""What comes before a request to whoever splits lines as text, Python's own server among them."""
_WORD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z][\x21-\x7e]*")
"""A method, or what somebody might take for one."""
_METHODS = frozenset(
    b"ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT CONNECT COPY DELETE GET HEAD LABEL LINK LOCK MERGE MKACTIVITY "
    b"MKCALENDAR MKCOL MKREDIRECTREF MKWORKSPACE MOVE OPTIONS ORDERPATCH PATCH POST PRI PROPFIND PROPPATCH PUT QUERY "
    b"REBIND REPORT SEARCH TRACE UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL".split()
)
"""The registered ones: with one of them, some servers take a line for a request whatever it ends with."""
_OTHERS = re.compile(rb"OPTIONS .* (?:RTSP|SIP)/[0-9.]+\r?|CONNECT \{.*")
"""Lines of RTSP, SIP and NATS."""
_HTTP = re.compile(rb"HTTP(?:/|S?://)", re.IGNORECASE)


def kind(data: bytes) -> Kind | None:
    """None: too little to tell. Raises Refused for what is no honest beginning of anything."""
    if not data:
        return None
    if data[0] in _RECORD_TYPES:
        # Some servers look at the first half of the version only, some at nothing but its being small.
        if len(data) < 2:
            return None
        return Kind.TLS if data[1] < 0x10 else Kind.OTHER
    if data[0] & 0x80:
        return _old_hello(data)
    if data[0] == 0:
        return _postgres(data)
    return _text(data)


def _old_hello(data: bytes) -> Kind | None:
    """SSL 2.0: two bytes of length, the type (1), the version (0.2 or 3.x)."""
    if len(data) >= 3 and data[2] != 1:
        return Kind.OTHER
    if len(data) < 5:
        return None
    if data[3] == 3 or data[3:5] == b"\x00\x02":
        raise Refused(Reason.TLS_OLD, Manner.ALERT)
    return Kind.OTHER


def _postgres(data: bytes) -> Kind | None:
    if data[:8] in POSTGRES_REQUESTS:
        return Kind.POSTGRES
    return None if any(r.startswith(data) for r in POSTGRES_REQUESTS) else Kind.OTHER


def _text(data: bytes) -> Kind | None:
    if data.startswith((_PROXY_V1, _PROXY_V2)):
        raise Refused(Reason.PROXY_HEADER)
    if _PROXY_V2.startswith(data):
        return None
    text = data.lstrip(_LEADING)
    if not text:
        return _more(data)
    word = _WORD.match(text)
    if word is None:
        return Kind.OTHER
    after = text[word.end() : word.end() + 1]
    if word.group() in _METHODS and after:
        if after not in b"\t ":
            return Kind.OTHER if after in b"\r\n" else Kind.HTTP
        if word.group() not in (b"OPTIONS", b"CONNECT"):
            return Kind.HTTP
    if after and after not in _BLANKS:
        return Kind.OTHER  # a byte that no text has
    line, ended, _ = text.partition(b"\n")
    if _HTTP.search(line):
        return Kind.HTTP
    if not ended and b"\x00" not in line:
        return _more(data)
    if word.group() in _METHODS and not _OTHERS.fullmatch(line):
        return Kind.HTTP
    return Kind.OTHER


def _more(data: bytes) -> Kind | None:
    if len(data) >= FIRST_LINE:
        raise Refused(Reason.UNCLEAR)
    return None
