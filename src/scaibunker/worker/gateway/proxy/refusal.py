"""Why a connection is not let through, and what its guest is told."""

from enum import StrEnum

from scaibunker.worker.network import openings


class Reason(StrEnum):
    """Ours alone: nothing of it is the guest's words. Records and answers carry it."""

    NOT_RESOLVED = openings.NOT_RESOLVED
    PORT_CLOSED = openings.PORT_CLOSED
    TOO_MANY = "too many connections"
    NO_ADDRESS = "name has no address that may be dialled"
    ADDRESS_CLOSED = "address is closed to all"
    OTHER_SERVER = "name stands for another server than the one that spoke first"
    POLICY_CHANGED = "policy has changed"
    TOO_SLOW = "not said in time what the connection is for"
    IDLE = "idle"
    CLOSED = "network is taken away"
    UNREACHABLE = "server cannot be reached"
    PROXY_HEADER = "PROXY headers are not passed on"
    UNCLEAR = "begins like several protocols"

    TLS_OLD = "SSL 2.0 hello"
    TLS_NO_HELLO = "TLS does not begin with a ClientHello"
    TLS_BROKEN = "ClientHello is malformed"
    TLS_LONG = "ClientHello is too long"
    TLS_NO_NAME = "ClientHello names no server"
    TLS_NAMES = "ClientHello names several servers"
    TLS_NAME = "server name is not permitted"
    TLS_HIDDEN = "encrypted ClientHello is not passed on"
    TLS_CHANGED = "second ClientHello names another server"

    HTTP_MALFORMED = "request head is malformed"
    HTTP_LONG = "request head is too long"
    HTTP_VERSION = "only HTTP/1.0 and HTTP/1.1 are passed on"
    HTTP_2 = "HTTP/2 without TLS is not passed on"
    HTTP_CONNECT = "CONNECT is not passed on"
    HTTP_UPGRADE = "only an upgrade to websocket is passed on"
    HTTP_UPGRADE_LATE = "an upgrade must be the first request of its connection, without a body"
    HTTP_NO_HOST = "request must have exactly one Host"
    HTTP_HOST = "host is not permitted"
    HTTP_TARGET = "request target and Host disagree"
    HTTP_OTHER_HOST = "host is not the one this connection was opened for"
    HTTP_FRAMING = "length of the request is ambiguous"
    HTTP_CHUNK = "chunked body is malformed"


class Manner(StrEnum):
    """How the guest is told."""

    RESET = "reset"
    ALERT = "alert"
    HTTP = "http"


UNRECOGNIZED_NAME = 112
ACCESS_DENIED = 49
DECODE_ERROR = 50
"""Alerts of TLS (RFC 8446, 6.2; RFC 6066)."""
_FATAL_ALERT = b"\x15\x03\x01\x00\x02\x02"
_PHRASES = {403: "Forbidden", 421: "Misdirected Request", 502: "Bad Gateway"}


class Refused(Exception):
    """`alert` is what ALERT says, `status` what HTTP says. `name`: what was asked for, as the guest wrote it."""

    def __init__(
        self,
        reason: Reason,
        manner: Manner = Manner.RESET,
        *,
        alert: int = ACCESS_DENIED,
        status: int = 403,
        name: str | None = None,
    ) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.manner = manner
        self.alert = alert
        self.status = status
        self.name = name

    def answer(self) -> bytes:
        """What the guest is sent before the connection ends; nothing if it is reset."""
        if self.manner is Manner.ALERT:
            return _FATAL_ALERT + bytes((self.alert,))
        if self.manner is Manner.HTTP:
            text = f"network profile: {self.reason.value}\n"
            return (
                f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\n"
                "Content-Type: text/plain\r\n"
                f"Content-Length: {len(text)}\r\n"
                "Connection: close\r\n\r\n"
                f"{text}"
            ).encode("ascii")
        return b""
