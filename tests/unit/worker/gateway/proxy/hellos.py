"""ClientHellos: real ones, and ones put together by hand."""

import ssl
import struct


def real(name: str | None, *, oldest: bool = False, alpn: tuple[str, ...] = ()) -> bytes:
    """What OpenSSL sends first."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if oldest:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if alpn:
        context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake without a server")


def vector(size: int, content: bytes) -> bytes:
    return len(content).to_bytes(size) + content


def server_names(*names: bytes, kind: int = 0) -> bytes:
    """The content of the extension."""
    return vector(2, b"".join(bytes((kind,)) + vector(2, name) for name in names))


def body(*extensions: tuple[int, bytes], version: bytes = b"\x03\x03") -> bytes:
    listed = b"".join(struct.pack("!H", kind) + vector(2, content) for kind, content in extensions)
    return (
        version
        + bytes(32)
        + vector(1, b"")
        + vector(2, b"\x13\x01")
        + vector(1, b"\x00")
        + vector(2, listed)
    )


def message(content: bytes, kind: int = 1) -> bytes:
    return bytes((kind,)) + vector(3, content)


def record(payload: bytes, kind: int = 22, version: bytes = b"\x03\x01") -> bytes:
    return bytes((kind,)) + version + vector(2, payload)


def records(payload: bytes, size: int) -> bytes:
    """In as many records as it takes."""
    return b"".join(record(payload[i : i + size]) for i in range(0, len(payload), size))


def named(name: bytes, *more: tuple[int, bytes]) -> bytes:
    """A whole small hello, in one record."""
    return record(message(body((0, server_names(name)), *more)))


RETRY = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


def server_hello(random: bytes = bytes(32)) -> bytes:
    return message(b"\x03\x03" + random + vector(1, b"") + b"\x13\x01\x00" + vector(2, b""), kind=2)
