"""The settings of this worker's networks, a section of the daemon's."""

import ipaddress
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from scaibunker.wire.worker.network import (
    MAX_BANDWIDTH_MBIT,
    MIN_BANDWIDTH_MBIT,
    InterfaceName,
)

LONGEST_V4, LONGEST_V6 = 29, 122
"""Prefixes of ranges with room for a few slots."""
DNS_PORT = 53


class NetworkSettings(BaseSettings):
    """Networks of machines; the environment variable is `SCAIBUNKER_WORKER_NETWORK_` + name."""

    model_config = SettingsConfigDict(
        env_prefix="SCAIBUNKER_WORKER_NETWORK_", extra="ignore", use_attribute_docstrings=True
    )

    enabled: bool = True
    """Whether machines may have networks. Off: the worker offers the profile `isolated` alone, and leaves
    the host's forwarding and rules as they are."""
    transfer_v4: IPv4Network = IPv4Network("198.19.0.0/16")
    """The range of IPv4 between machines' namespaces and the host, two addresses each. Nothing that the host or a
    machine has to reach may be in it. Workers on one host may share it, but ranges must not overlap otherwise."""
    transfer_v6: IPv6Network = IPv6Network("fd5c:a1ba:9001::/64")
    """The same of IPv6."""
    pool_size: Annotated[int, Field(ge=0, le=256)] = 4
    """Namespaces that are made ahead, closed and nobody's, so that a machine need not wait for one."""
    outward: InterfaceName | None = None
    """The host's interface through which traffic of machines leaves; null means whichever the routes say."""
    bandwidth_mbit: Annotated[int, Field(ge=MIN_BANDWIDTH_MBIT, le=MAX_BANDWIDTH_MBIT)] = 100
    """Mbit/s that a machine may send, and as much that it may receive, where its order says nothing."""
    mtu: Annotated[int, Field(ge=1280, le=9000)] | None = None
    """Bytes of the largest packet of a machine; null means that of the interface through which the host's default
    route leaves, but at most 1500."""
    max_flows: Annotated[int, Field(ge=64, le=1_000_000)] = 16_384
    """Connections that one machine may have at a time."""
    permitted_ranges: list[IPv4Network | IPv6Network] = Field(default_factory=list)
    """Private ranges that permitted names of `registry` and `allowlisted` may stand for: a mirror inside the
    company, say. Others are closed to them, whatever a name says."""
    registry_file: Path | None = None
    """The operator's list of what the profile `registry` may reach: a host name or first-level wildcard a line, `#` begins
    a comment. It is read again when it changes. Null means that the list is made at start of what the package
    clients on this host say ([guide](../guides/registries.md))."""
    audit_enabled: bool = True
    """Whether a record is kept of each flow (`[audit].enabled`)."""
    upstream_resolvers: list[str] = Field(default_factory=list)
    """DNS servers that names are asked of, `address` or `address:port` (IPv6: `[address]:port`); without any, those
    of the host's /etc/resolv.conf."""
    dns_ttl_min_s: Annotated[int, Field(ge=1, le=3600)] = 5
    """Seconds for which a machine may use an address of a permitted name at least, even if its owner says less."""
    dns_ttl_max_s: Annotated[int, Field(ge=1, le=86_400)] = 300
    """Seconds for which it may at most, even if its owner says more; then it asks anew."""
    claims_dir: Path = Path("/run/scaibunker-slots")
    """Where workers on one host write down which transfer addresses are taken; the same for all of them."""

    @field_validator("transfer_v4", "transfer_v6")
    @classmethod
    def _has_room(cls, value: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
        longest = LONGEST_V4 if value.version == 4 else LONGEST_V6
        if value.prefixlen > longest:
            raise ValueError(f"must have a prefix of at most {longest} bits")
        return value

    @field_validator("upstream_resolvers")
    @classmethod
    def _are_addresses(cls, value: list[str]) -> list[str]:
        for text in value:
            endpoint(text)
        return value

    @field_validator("dns_ttl_max_s")
    @classmethod
    def _is_not_below_the_least(cls, value: int, info: ValidationInfo) -> int:
        if value < info.data.get("dns_ttl_min_s", 0):
            raise ValueError("must not be less than dns_ttl_min_s")
        return value

    @property
    def upstreams(self) -> tuple[tuple[str, int], ...]:
        """Address and port of each of `upstream_resolvers`."""
        return tuple(endpoint(text) for text in self.upstream_resolvers)


def endpoint(text: str) -> tuple[str, int]:
    """`address`, `address:port` or `[address]:port`. Raises ValueError."""
    address, port = text, str(DNS_PORT)
    if text.startswith("["):
        address, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        address, _, port = text.partition(":")
    ipaddress.ip_address(address)
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"{text} has no port between 1 and 65535")
    return address, int(port)
