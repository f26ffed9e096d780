"""An identity provider of the tests' own: it signs tokens and serves its key set on 127.0.0.1."""

import asyncio
import base64
import contextlib
import functools
import json
import time
from collections.abc import AsyncIterator, Iterable
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm


@functools.cache
def private_key(name: str, bits: int = 2048) -> rsa.RSAPrivateKey:
    """Made once for each name: that takes its time."""
    del name
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


class Signer:
    """One key of the provider."""

    def __init__(self, kid: str, bits: int = 2048) -> None:
        self.kid = kid
        self.private = private_key(kid, bits)

    def jwk(self, **fields: Any) -> dict[str, Any]:
        """The public key as an entry of a set."""
        made = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        entry = {"kty": "RSA", "n": made["n"], "e": made["e"]}
        return {**entry, "kid": self.kid, "use": "sig", "alg": "RS256", **fields}

    def token(
        self, headers: dict[str, Any] | None = None, life_s: float = 300, **claims: Any
    ) -> str:
        """A token; a claim of None is left out."""
        now = int(time.time())
        payload = {"sub": "ann", "iat": now, "exp": now + life_s, **claims}
        kept = {name: value for name, value in payload.items() if value is not None}
        header = {"kid": self.kid, **(headers or {})}
        return jwt.encode(kept, self.private, algorithm="RS256", headers=header)


def forged(header: Any, payload: Any, signature: bytes = b"nonsense") -> str:
    """Three parts of whatever there is."""
    parts = [p if isinstance(p, bytes) else json.dumps(p).encode() for p in (header, payload)]
    return ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in (*parts, signature))


def key_set(entries: Iterable[Any]) -> bytes:
    """A set as it is served."""
    return json.dumps({"keys": list(entries)}).encode()


class KeyServer:
    """Serves `content`; what goes wrong is the test's to say."""

    def __init__(self) -> None:
        self.content = key_set([])
        self.status = 200
        self.headers: dict[str, str] = {}
        self.fetches = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.url = ""

    def publish(self, *signers: Signer) -> None:
        """Serve their keys, and no others."""
        self.content = key_set(signer.jwk() for signer in signers)

    async def answer(self, _: web.Request) -> web.Response:
        self.fetches += 1
        await self.go_on.wait()
        return web.Response(status=self.status, body=self.content, headers=self.headers)


@contextlib.asynccontextmanager
async def key_server() -> AsyncIterator[KeyServer]:
    """A server on a free port."""
    server = KeyServer()
    app = web.Application()
    app.router.add_get("/keys", server.answer)
    app.router.add_get("/elsewhere", server.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
    try:
        yield server
    finally:
        server.go_on.set()
        await runner.cleanup()
