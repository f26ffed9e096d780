"""Opening the connection to the server, from the host's own namespace."""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

NEXT_AFTER_S = 0.25
"""How long one address has the word before the next is tried beside it (RFC 8305)."""
MAX_TRIED = 6


def order(addresses: Sequence[Address], asked: Address) -> list[Address]:
    """The one that the guest chose first, if it is one of them; then the families in turn, its own first."""
    mine = [a for a in addresses if a.version == asked.version and a != asked]
    others = [a for a in addresses if a.version != asked.version]
    mixed: list[Address] = [asked] if asked in addresses else []
    own_turn = not mixed
    while mine or others:
        turn = mine if (own_turn and mine) or not others else others
        mixed.append(turn.pop(0))
        own_turn = not own_turn
    return mixed[:MAX_TRIED]


async def dial(
    addresses: Sequence[Address], port: int, timeout_s: float
) -> tuple[socket.socket, Address]:
    """A connected socket, and where to; `addresses` in the order of `order`. Raises OSError: none answered in time, or
    the last refusal."""
    try:
        async with asyncio.timeout(timeout_s):
            if len(addresses) == 1:
                return await _connect(addresses[0], port), addresses[0]
            return await _race(addresses, port)
    except TimeoutError:
        raise OSError("no address answered in time") from None


async def _race(addresses: Sequence[Address], port: int) -> tuple[socket.socket, Address]:
    waiting = list(addresses)
    running: dict[asyncio.Task[socket.socket], Address] = {}
    failure = OSError("no address")
    winner: tuple[socket.socket, Address] | None = None
    try:
        while winner is None and (waiting or running):
            if waiting:
                address = waiting.pop(0)
                running[asyncio.create_task(_connect(address, port))] = address
            done, _ = await asyncio.wait(
                running,
                timeout=NEXT_AFTER_S if waiting else None,
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in done:
                address = running.pop(task)
                error = task.exception()
                if error is None and winner is None:
                    winner = task.result(), address
                elif error is None:
                    task.result().close()
                elif isinstance(error, OSError):
                    failure = error
                else:
                    raise error
    finally:
        for task in running:
            task.add_done_callback(_discard)
            task.cancel()
    if winner is None:
        raise failure
    return winner


async def _connect(address: Address, port: int) -> socket.socket:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    connecting = socket.socket(family, socket.SOCK_STREAM)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, (str(address), port))
    except BaseException:
        connecting.close()
        raise
    return connecting


def _discard(task: asyncio.Task[socket.socket]) -> None:
    """One that was called off, but had connected at that moment."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
