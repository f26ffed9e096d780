"""The list as this host's package clients have it."""

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from urllib.parse import urlsplit

import structlog

from scaibunker.wire.hostnames import BadEntry, normalise
from scaibunker.worker.network.registries.clients import CLIENTS
from scaibunker.worker.network.registries.host_view import Client, HostView, Named
from scaibunker.worker.network.registries.hosts import RegistryHosts, gathered

log = structlog.get_logger(__name__)

MAX_URL = 2048
_WEB = ("http", "https")


class NotAHost(ValueError):
    """A URL names no host that the profile could permit; the message says why, without the URL."""


def derive(host: HostView, clients: Mapping[str, Client] = CLIENTS) -> RegistryHosts:
    """Ask every client; one that cannot be read is noted, and the others count."""
    with ThreadPoolExecutor(max_workers=4, thread_name_prefix="registries") as pool:
        asked = {name: pool.submit(_ask, client, host) for name, client in clients.items()}
    notes: list[str] = []
    pairs = [pair for name, one in asked.items() for pair in _pairs(name, one.result(), notes)]
    return gathered(pairs, notes)


def _ask(client: Client, host: HostView) -> list[Named] | None:
    try:
        return list(client(host))
    except Exception as error:  # whatever is in its files must not keep the worker from starting
        log.warning("package_client_unreadable", error=type(error).__name__)
        return None


def _pairs(name: str, said: list[Named] | None, notes: list[str]) -> Iterator[tuple[str, str]]:
    if said is None:
        notes.append(f"{name}: could not be read")
        return
    for named in said:
        source = f"{name}: {named.source}"
        try:
            yield host_of(named.url), source
        except NotAHost as error:
            notes.append(f"{source}: {error}")


def host_of(url: str) -> str:
    """The host of a URL, or a bare host, in its one form. Raises NotAHost."""
    if len(url) > MAX_URL:
        raise NotAHost("left out what is too long for a URL")
    try:
        parts = urlsplit(url if "://" in url else f"https://{url}")
        name = parts.hostname or ""
    except ValueError:
        raise NotAHost("left out what is no URL") from None
    scheme = parts.scheme.removeprefix("sparse+").removeprefix("mirror+")
    if scheme == "mirror":
        scheme = "http"
    if scheme not in _WEB:
        raise NotAHost(
            f"left out a source by {scheme[:20]!r}: only http and https can be permitted"
        )
    if _is_address(name):
        raise NotAHost(f"left out {name}: the profile permits names, not addresses")
    try:
        pattern = normalise(name)
    except BadEntry as error:
        raise NotAHost(f"left out {name[:100]!r}: {error}") from None
    if pattern == "localhost" or pattern.endswith(".localhost"):
        raise NotAHost(f"left out {pattern}: no bunker reaches this host")
    return pattern


def _is_address(name: str) -> bool:
    try:
        ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return True
