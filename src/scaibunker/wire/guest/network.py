"""A guest's own side of its network: what the agent sets up, and nothing that it could be trusted with."""

from pydantic import BaseModel, ConfigDict


class GuestInterface(BaseModel):
    """The interface that has the hardware address `mac`. `addresses` with prefix lengths, `gateways` at most one of each
    family, reached over this interface; where there is none of both, the guest numbers it itself, and what it has
    done is left alone. `mtu` in bytes."""

    model_config = ConfigDict(extra="forbid")

    name: str
    mac: str
    mtu: int
    addresses: list[str] = []
    gateways: list[str] = []


class GuestNetwork(BaseModel):
    """All of its interfaces. `resolvers`: addresses for /etc/resolv.conf, which is left alone if there are none."""

    model_config = ConfigDict(extra="forbid")

    interfaces: list[GuestInterface]
    resolvers: list[str] = []
