"""Requests that may pass to `good.test`, and such as may not, with the reason."""

from scaibunker.worker.gateway.proxy.refusal import Reason

GET = b"GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: good.test\r\n"
ELSEWHERE = GET.replace(b"good", b"bad")
WEBSOCKET = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
GOOD = {
    "plain": GET,
    "several": GET * 3,
    "with a port": GET.replace(b"good.test", b"good.test:8080"),
    "any case": GET.replace(b"good.test", b"Good.Test."),
    "absolute": GET.replace(b"GET /", b"GET http://good.test/"),
    "absolute, in another case": GET.replace(b"GET /", b"GET HTTP://GOOD.test/x?y"),
    "all of the server": GET.replace(b"GET /", b"OPTIONS *"),
    "1.0": GET.replace(b"1.1", b"1.0"),
    "a body": POST + b"Content-Length: 5\r\n\r\nhello" + GET,
    "an empty body": POST + b"Content-Length: 0\r\n\r\n" + GET,
    "a body that looks like a request": POST
    + b"Content-Length: %d\r\n\r\n" % len(ELSEWHERE)
    + ELSEWHERE
    + GET,
    "chunks": CHUNKED + b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n" + GET,
    "no chunks": CHUNKED + b"0\r\n\r\n" + GET,
    "trailers": CHUNKED + b"0\r\nDigest: x\r\n\r\n" + GET,
    "a chunk that looks like a request": CHUNKED
    + b"%x\r\n" % len(ELSEWHERE)
    + ELSEWHERE
    + b"\r\n0\r\n\r\n",
    "to be continued": POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    "empty values": GET[:-2] + b"X:\r\nY: \r\n\r\n",
}


def field(line: bytes, base: bytes = GET) -> bytes:
    return base[:-2] + line + b"\r\n\r\n"


BAD = {
    "another host": (ELSEWHERE, Reason.HTTP_HOST),
    "an address": (GET.replace(b"good.test", b"192.0.2.1"), Reason.HTTP_HOST),
    "an address of IPv6": (GET.replace(b"good.test", b"[2001:db8::1]"), Reason.HTTP_HOST),
    "an empty host": (GET.replace(b"good.test", b""), Reason.HTTP_HOST),
    "a user": (GET.replace(b"good.test", b"good.test@bad.test"), Reason.HTTP_HOST),
    "two hosts in one": (GET.replace(b"good.test", b"good.test, bad.test"), Reason.HTTP_HOST),
    "a path in the host": (GET.replace(b"good.test", b"good.test/bad"), Reason.HTTP_HOST),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", Reason.HTTP_NO_HOST),
    "no host, 1.0": (b"GET / HTTP/1.0\r\n\r\n", Reason.HTTP_NO_HOST),
    "two hosts": (field(b"Host: bad.test"), Reason.HTTP_NO_HOST),
    "the same host twice": (field(b"Host: good.test"), Reason.HTTP_NO_HOST),
    "a host alike": (field(b"content_length: 4"), Reason.HTTP_FRAMING),
    "another target": (GET.replace(b"GET /", b"GET http://bad.test/"), Reason.HTTP_TARGET),
    "another target's port": (
        GET.replace(b"GET /", b"GET http://good.test:1/"),
        Reason.HTTP_TARGET,
    ),
    "another scheme": (GET.replace(b"GET /", b"GET https://good.test/"), Reason.HTTP_TARGET),
    "a user in the target": (
        GET.replace(b"GET /", b"GET http://good.test@bad.test/"),
        Reason.HTTP_TARGET,
    ),
    "an authority": (GET.replace(b"GET /", b"GET good.test:80"), Reason.HTTP_TARGET),
    "all, but not of the server": (GET.replace(b"GET /", b"GET *"), Reason.HTTP_TARGET),
    "CONNECT": (GET.replace(b"GET /", b"CONNECT good.test:443"), Reason.HTTP_CONNECT),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Reason.HTTP_2),
    "h2c": (field(b"Upgrade: h2c"), Reason.HTTP_UPGRADE),
    "h2c beside websocket": (field(b"Upgrade: websocket, h2c"), Reason.HTTP_UPGRADE),
    "h2c's settings": (
        field(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: websocket"),
        Reason.HTTP_UPGRADE,
    ),
    "TLS within": (field(b"Upgrade: TLS/1.0"), Reason.HTTP_UPGRADE),
    "a later websocket": (GET + WEBSOCKET, Reason.HTTP_UPGRADE_LATE),
    "a websocket with a body": (
        field(b"Content-Length: 3", WEBSOCKET) + b"abc",
        Reason.HTTP_UPGRADE_LATE,
    ),
    "0.9": (b"GET /\r\n\r\n", Reason.HTTP_NO_HOST),
    "1.2": (GET.replace(b"1.1", b"1.2"), Reason.HTTP_VERSION),
    "2.0": (GET.replace(b"1.1", b"2.0"), Reason.HTTP_VERSION),
    "another protocol": (GET.replace(b"HTTP/1.1", b"RTSP/1.0"), Reason.HTTP_MALFORMED),
    "an empty line first": (b"\r\n" + GET, Reason.HTTP_MALFORMED),
    "a folded line": (GET[:-2] + b"X: a\r\n b\r\n\r\n", Reason.HTTP_MALFORMED),
    "a folded first line": (GET.replace(b"\r\nHost", b"\r\n Host"), Reason.HTTP_MALFORMED),
    "bare ends of lines": (GET.replace(b"\r\n", b"\n"), Reason.HTTP_MALFORMED),
    "one bare end": (GET[:-2] + b"X: a\n\r\n", Reason.HTTP_MALFORMED),
    "a bare return": (field(b"X: a\rHost: bad.test"), Reason.HTTP_MALFORMED),
    "a blank before the colon": (field(b"Host : bad.test"), Reason.HTTP_MALFORMED),
    "a name with a blank": (field(b"X Host: bad.test"), Reason.HTTP_MALFORMED),
    "no colon": (field(b"X"), Reason.HTTP_MALFORMED),
    "no name": (field(b": x"), Reason.HTTP_MALFORMED),
    "a zero byte": (field(b"X: \x00"), Reason.HTTP_MALFORMED),
    "two blanks": (GET.replace(b"GET /", b"GET  /"), Reason.HTTP_MALFORMED),
    "three words": (GET.replace(b"GET /", b"GET / x"), Reason.HTTP_MALFORMED),
    "many fields": (field(b"\r\n".join([b"X: y"] * 300)), Reason.HTTP_LONG),
    "length and chunks": (
        field(b"Content-Length: 4\r\nTransfer-Encoding: chunked", POST + b"\r\n"),
        Reason.HTTP_FRAMING,
    ),
    "two lengths": (field(b"Content-Length: 4\r\nContent-Length: 5"), Reason.HTTP_MALFORMED),
    "the same length twice": (
        field(b"Content-Length: 4\r\nContent-Length: 4"),
        Reason.HTTP_FRAMING,
    ),
    "a list of lengths": (field(b"Content-Length: 4, 4"), Reason.HTTP_FRAMING),
    "a signed length": (field(b"Content-Length: +4"), Reason.HTTP_MALFORMED),
    "a negative length": (field(b"Content-Length: -4"), Reason.HTTP_MALFORMED),
    "a length in hex": (field(b"Content-Length: 0x4"), Reason.HTTP_MALFORMED),
    "a huge length": (field(b"Content-Length: " + b"9" * 19), Reason.HTTP_FRAMING),
    "an unknown coding": (field(b"Transfer-Encoding: xchunked"), Reason.HTTP_MALFORMED),
    "codings": (field(b"Transfer-Encoding: gzip, chunked"), Reason.HTTP_MALFORMED),
    "chunked twice": (
        field(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked"),
        Reason.HTTP_MALFORMED,
    ),
    "chunked to 1.0": (
        field(b"Transfer-Encoding: chunked", GET.replace(b"1.1", b"1.0")),
        Reason.HTTP_FRAMING,
    ),
    "chunked with an underscore": (field(b"Transfer_Encoding: chunked"), Reason.HTTP_FRAMING),
    "a coding with a vertical tab": (
        field(b"Transfer-Encoding: \x0bchunked"),
        Reason.HTTP_MALFORMED,
    ),
    "an extension": (CHUNKED + b"5;x=y\r\nhello\r\n0\r\n\r\n", Reason.HTTP_CHUNK),
    "no size": (CHUNKED + b"\r\nhello", Reason.HTTP_CHUNK),
    "a signed size": (CHUNKED + b"+5\r\nhello", Reason.HTTP_CHUNK),
    "a size in two ways": (CHUNKED + b"0x5\r\nhello", Reason.HTTP_CHUNK),
    "a blank after the size": (CHUNKED + b"5 \r\nhello", Reason.HTTP_CHUNK),
    "a bare end of the size": (CHUNKED + b"5\nhello\r\n", Reason.HTTP_CHUNK),
    "data beyond the size": (CHUNKED + b"5\r\nhello!\r\n", Reason.HTTP_CHUNK),
    "a bare end of data": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", Reason.HTTP_CHUNK),
    "a huge size": (CHUNKED + b"F" * 17 + b"\r\n", Reason.HTTP_CHUNK),
    "an endless size": (CHUNKED + b"0" * 9000, Reason.HTTP_CHUNK),
    "a trailer that frames": (CHUNKED + b"0\r\nContent-Length: 4\r\n\r\n", Reason.HTTP_CHUNK),
    "a host in a trailer": (CHUNKED + b"0\r\nHost: bad.test\r\n\r\n", Reason.HTTP_CHUNK),
    "a request for a trailer": (CHUNKED + b"0\r\n" + ELSEWHERE, Reason.HTTP_CHUNK),
    "endless trailers": (CHUNKED + b"0\r\n" + b"X: y\r\n" * 9000, Reason.HTTP_CHUNK),
    "another host later": (GET + ELSEWHERE, Reason.HTTP_HOST),
    "another host after a body": (
        POST + b"Content-Length: 2\r\n\r\nok" + ELSEWHERE,
        Reason.HTTP_HOST,
    ),
    "another permitted host later": (GET + GET.replace(b"good", b"also"), Reason.HTTP_OTHER_HOST),
}
