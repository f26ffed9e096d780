"""Network devices of real machines: TAPs that QEMU is handed open, and what their guests make of them."""

import asyncio
import dataclasses
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaibunker.wire.guest.network import GuestInterface, GuestNetwork
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.network import taps
from scaibunker.worker.vmm.port import Nic, VmmConfig
from tests.host.bench import Bench, ignore, run
from tests.host.own_namespace import Namespace, namespace

MAC = "02:00:00:00:00:02"
ROUTED = GuestNetwork(
    interfaces=[
        GuestInterface(
            name="eth0",
            mac=MAC,
            mtu=1400,
            addresses=["192.0.2.2/30", "2001:db8::2/64"],
            gateways=["192.0.2.1", "2001:db8::1"],
        )
    ],
    resolvers=["192.0.2.1", "2001:db8::1"],
)


@pytest.fixture
def there() -> Iterator[Namespace]:
    with namespace() as made:
        yield made


class Wire:
    """A TAP in a namespace of its own, and a server beyond it."""

    def __init__(self, there: Namespace, name: str = "tap0") -> None:
        self.there = there
        there.inside(lambda: taps.create(name))
        there.run("ip", "address", "add", "192.0.2.1/30", "dev", name)
        there.run("ip", "address", "add", "2001:db8::1/64", "dev", name, "nodad")
        there.run("ip", "link", "set", name, "mtu", "1400", "up")
        self.tap = there.inside(lambda: taps.attach(name))

    def config(self, bare: VmmConfig) -> VmmConfig:
        return dataclasses.replace(bare, nics=(Nic(self.tap, MAC),))

    def handed(self) -> None:
        """The machine has it."""
        os.close(self.tap)

    def serve(self, family: socket.AddressFamily, content: bytes) -> "asyncio.Task[bytes]":
        """Say `content` to who connects to port 8000, and take what it says."""
        address = ("192.0.2.1", 8000) if family == socket.AF_INET else ("2001:db8::1", 8000)

        def listen() -> socket.socket:
            listening = socket.socket(family, socket.SOCK_STREAM)
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(address)
            listening.listen()
            return listening

        listening = self.there.inside(listen)
        listening.setblocking(False)

        async def answer() -> bytes:
            with listening:
                accepted, _ = await asyncio.get_running_loop().sock_accept(listening)
            reader, writer = await asyncio.open_connection(sock=accepted)
            writer.write(content)
            writer.write_eof()
            said = await reader.read(-1)
            writer.close()
            return said

        return asyncio.create_task(answer())


async def exchange(agent: GuestAgent, wire: Wire, family: socket.AddressFamily) -> None:
    """A MiB each way, which arrives as it was sent: segments larger than the link's, checksums that nobody has
    computed yet."""
    data = os.urandom(1 << 20)
    host = "192.0.2.1" if family == socket.AF_INET else "2001:db8::1"
    served = wire.serve(family, data)
    command = (
        f"exec 3<>/dev/tcp/{host}/8000; cat <&3 > /tmp/got; cat /tmp/got >&3; sha256sum /tmp/got"
    )
    said = await run(agent, f"bash -ec '{command}'")
    assert said.split()[0].decode() == hashlib.sha256(data).hexdigest()
    assert await asyncio.wait_for(served, 60) == data


async def test_a_guest_has_its_addresses_and_reaches_what_is_beyond(
    bench: Bench, there: Namespace
) -> None:
    wire = Wire(there)
    config = wire.config(bench.config("first"))
    handle, agent = await bench.boot(config)
    wire.handed()
    await agent.set_identity("first", {}, generation="life-1", network=ROUTED)
    assert await run(agent, "ls /sys/class/net") == b"eth0\nlo\n"
    assert (
        await run(agent, "cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu")
    ).split() == [
        MAC.encode(),
        b"1400",
    ]
    assert await run(agent, "cat /etc/resolv.conf") == (
        b"nameserver 192.0.2.1\nnameserver 2001:db8::1\n"
    )
    for family in (socket.AF_INET, socket.AF_INET6):
        await exchange(agent, wire, family)
    # QEMU has none of what it would take to make such a device itself, nor a network.
    status = Path(f"/proc/{handle.process.pid}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "Seccomp:\t2" in status
    links = Path(f"/proc/{handle.process.pid}/net/dev").read_text()
    assert "tap0" not in links

    # What it has made of it is left alone by a daemon that greets again, and not by another life.
    await run(agent, "printf 'nameserver 9.9.9.9\\n' > /etc/resolv.conf")
    await agent.set_identity("first", {}, generation="life-1", network=ROUTED)
    assert b"9.9.9.9" in await run(agent, "cat /etc/resolv.conf")
    await agent.set_identity("second", {}, generation="life-2", network=ROUTED)
    assert b"9.9.9.9" not in await run(agent, "cat /etc/resolv.conf")


async def test_a_copy_goes_on_with_its_device_on_another_tap(
    bench: Bench, there: Namespace
) -> None:
    wire = Wire(there)
    first = wire.config(bench.config("first"))
    handle, agent = await bench.boot(first)
    wire.handed()
    await agent.set_identity("first", {}, generation="life-1", network=ROUTED)
    await exchange(agent, wire, socket.AF_INET)
    await handle.pause()
    state = bench.folder / "state"
    with state.open("wb") as target:
        await handle.save(target.fileno(), ignore)

    with namespace() as elsewhere:
        other = Wire(elsewhere)
        second = other.config(dataclasses.replace(bench.config("second"), token_hex="00" * 32))
        copy = await bench.restore(second, state, first.upper_disk)
        other.handed()
        await copy.resume()
        second_agent = await bench.agent(copy, first.token_hex)
        await second_agent.set_identity("second", {}, generation="life-2", network=ROUTED)
        for family in (socket.AF_INET, socket.AF_INET6):
            await exchange(second_agent, other, family)

    # The device is part of what was saved: without one it cannot be read.
    bare = bench.config("third")
    with pytest.raises(WorkerFault):
        await bench.restore(bare, state, first.upper_disk)
