"""The lab's TCP services. Each handles one connection of asyncio streams and writes down what it was asked."""

import asyncio
import base64
import json
import ssl
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import h11

from tests.host.lab.log import Hit, Log
from tests.host.lab.names import Names

CHUNK_BYTES = 64 << 10
GREETING = b"220 lab greets you\r\n"


@dataclass(frozen=True)
class Services:
    """What all of them share. `where`: which namespace's they are."""

    where: str
    log: Log
    names: Names

    def hit(self, writer: asyncio.StreamWriter, service: str, **fields: Any) -> Hit:
        local, peer = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
        tls = writer.get_extra_info("ssl_object")
        return Hit(
            self.where, service, "tcp", local[0], local[1], peer[0], peer[1],
            sni=getattr(tls, "lab_sni", "") or "", **fields,
        )  # fmt: skip

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.log.add(self.hit(writer, "echo"))
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()

    async def greeting(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A protocol in which the server speaks first; then it echoes lines."""
        self.log.add(self.hit(writer, "greeting"))
        writer.write(GREETING)
        while line := await reader.readline():
            writer.write(line)
            await writer.drain()

    async def dns(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        service = "dot" if writer.get_extra_info("ssl_object") else "dns"
        while True:
            try:
                size = int.from_bytes(await reader.readexactly(2), "big")
                query = await reader.readexactly(size)
            except asyncio.IncompleteReadError:
                return
            self.log.add(self._asked(self.hit(writer, service), query))
            answer = self.names.answer(query, udp=False)
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """HTTP/1.1, kept alive. `/bytes/N` gives so many bytes, `/echo` the body, `/dns-query` is DoH, and all else
        a JSON object that says who asked whom for what."""
        service = "https" if writer.get_extra_info("ssl_object") else "http"
        if service == "https":
            self.log.add(self.hit(writer, "tls"))
        connection = h11.Connection(h11.SERVER)
        while True:
            request, body = await _request(connection, reader)
            if request is None:
                return
            target = request.target.decode()
            host = dict(request.headers).get(b"host", b"").decode()
            hit = self.hit(
                writer,
                service,
                name=host,
                text=f"{request.method.decode()} {target}",
                size=len(body),
            )
            kind, content = self._content(hit, target, body)
            self.log.add(replace(hit, service=kind))
            if connection.their_state is h11.MIGHT_SWITCH_PROTOCOL:  # CONNECT
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                return
            headers = [
                ("Content-Length", str(len(content))),
                ("Content-Type", _TYPES.get(kind, "application/json")),
            ]
            writer.write(connection.send(h11.Response(status_code=200, headers=headers)) or b"")
            if request.method != b"HEAD":
                for at in range(0, len(content), CHUNK_BYTES):
                    writer.write(content[at : at + CHUNK_BYTES])
                    await writer.drain()
                connection.send(h11.Data(data=content))
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            await writer.drain()
            if connection.our_state is h11.MUST_CLOSE:
                return
            connection.start_next_cycle()

    def _content(self, hit: Hit, target: str, body: bytes) -> tuple[str, bytes]:
        url = urlsplit(target)
        if url.path.startswith("/bytes/"):
            return hit.service, bytes(int(url.path.rsplit("/", 1)[1]))
        if url.path == "/echo":
            return hit.service, body
        if url.path == "/dns-query":
            text = parse_qs(url.query).get("dns", [""])[0]
            query = body or base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            return "doh", self.names.answer(query, udp=False) or b""
        told = {
            k: getattr(hit, k) for k in ("local", "port", "peer", "name", "sni", "text", "size")
        }
        return hit.service, json.dumps(told).encode()

    def _asked(self, hit: Hit, query: bytes) -> Hit:
        name, kind = asked(query)
        return replace(hit, name=name, text=kind, size=len(query))


_TYPES = {"doh": "application/dns-message"}


def asked(query: bytes) -> tuple[str, str]:
    """Name (lower case) and type that a query of DNS is for."""
    labels, at = [], 12
    while at < len(query) and query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("latin-1").lower())
        at += 1 + query[at]
    kind = int.from_bytes(query[at + 1 : at + 3], "big")
    return ".".join(labels), {1: "A", 28: "AAAA", 5: "CNAME", 16: "TXT"}.get(kind, str(kind))


def note_sni(made: Any, name: str | None, _: ssl.SSLContext) -> None:
    """For `SSLContext.sni_callback`: keep the name with the connection."""
    made.lab_sni = name


async def _request(
    connection: h11.Connection, reader: asyncio.StreamReader
) -> tuple[h11.Request | None, bytes]:
    request, body = None, b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(CHUNK_BYTES))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return request, body
        else:
            return None, b""
