"""The machine's network: there and closed before its VMM is, open once the guest is the bunker that it is meant for."""

from scaibunker.worker.machines.body import Body


async def take_anew(body: Body) -> None:
    """A closed one in the place of what an earlier daemon may have opened, for a VMM that is yet to be started."""
    if body.spec.network is not None:
        await body.host.networks.give_back(body.host_name)
        await TakeNetwork().do(body)


class TakeNetwork:
    """A prepared machine has one already, under the name that the host knows it by; so has one that a new daemon finds,
    and what was in force for it stays so."""

    name = "network"

    async def do(self, body: Body) -> None:
        order = body.spec.network
        if order is not None:
            networks = body.host.networks
            body.network = await networks.take(body.host_name, body.owner, order)

    async def undo(self, body: Body) -> None:
        """After the VMM has ended: it comes before it in the plan."""
        if body.spec.network is None:
            return
        body.egress_bytes()  # a last look
        await body.host.networks.give_back(body.host_name)
        body.network = None


class AdmitTraffic:
    """After the identity: nothing of the machine's former life leaves under this bunker's name."""

    name = "network policy"

    async def do(self, body: Body) -> None:
        order = body.spec.network
        if order is not None:
            await body.host.networks.admit(body.host_name, body.owner, order)

    async def undo(self, body: Body) -> None:
        """It is closed when the network is given back, and until the VMM has ended it harms nobody."""
