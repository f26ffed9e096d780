"""TLS passes to the host that its hello names, unread, and is told by an alert if it does not."""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaibunker.worker.gateway.proxy.refusal import Reason
from scaibunker.worker.gateway.recorder import Verdict
from tests.certificates import Authority
from tests.integration.proxy.ends import echoing, silent
from tests.integration.proxy.proxied import GOOD, World
from tests.unit.worker.gateway.proxy import hellos
from tests.waiting import until


@contextlib.contextmanager
def served(tmp_path: Path) -> Iterator[ssl.SSLContext]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*Authority(tmp_path).issue("server"))
    yield context


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("curve", [None, "secp384r1"])
async def test_tls_passes_also_when_the_server_asks_for_another_hello(
    proxied: World, tmp_path: Path, version: ssl.TLSVersion, curve: str | None
) -> None:
    with served(tmp_path) as context:
        if curve is not None:
            context.set_ecdh_curve(curve)
        server = await asyncio.start_server(
            lambda r, w: asyncio.ensure_future(echoing(r, w)), str(GOOD), proxied.port, ssl=context
        )
        async with server:
            client = client_context()
            client.minimum_version = client.maximum_version = version
            reader, writer = await asyncio.open_connection(
                *proxied.listening.getsockname(), ssl=client, server_hostname="good.test"
            )
            data = os.urandom(1_000_000)
            writer.write(data)
            assert await reader.readexactly(len(data)) == data
            writer.close()
            await until(lambda: proxied.flows)
    assert proxied.flows[0].verdict is Verdict.ALLOWED
    assert proxied.flows[0].host == "good.test"


@pytest.mark.parametrize(
    ("name", "alert", "reason"),
    [
        ("bad.test", "UNRECOGNIZED_NAME", Reason.TLS_NAME),
        ("many.test", "UNRECOGNIZED_NAME", Reason.TLS_NAME),
        ("a.b.many.test", "UNRECOGNIZED_NAME", Reason.TLS_NAME),
        (None, "UNRECOGNIZED_NAME", Reason.TLS_NO_NAME),
        ("gone.test", "ACCESS_DENIED", Reason.NO_ADDRESS),
    ],
)
async def test_tls_that_is_refused_is_told_by_an_alert(
    proxied: World, name: str | None, alert: str, reason: Reason
) -> None:
    with pytest.raises(ssl.SSLError) as caught:
        await asyncio.open_connection(
            *proxied.listening.getsockname(), ssl=client_context(), server_hostname=name or ""
        )
    assert alert in str(caught.value.reason)
    await until(lambda: proxied.flows)
    assert proxied.flows[0].reason == reason.value
    assert proxied.flows[0].host == (name or "good.test")


async def test_a_guest_that_gives_up_while_the_server_says_nothing_is_noticed(
    proxied: World,
) -> None:
    async with proxied.server(silent):
        _, writer = await proxied.connect()
        writer.write(hellos.named(b"good.test"))
        await until(lambda: proxied.asked)
        await asyncio.sleep(0)
        writer.close()
        await until(lambda: proxied.flows)
