"""The way to the guest agent, the first word with it, and the identity that makes the machine this bunker."""

import asyncio

from scaibunker.worker.errors import GuestUnreachable, WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.guest.link import GuestLink
from scaibunker.worker.machines.body import Body


class AttachAgent:
    """Only the way to it: a paused guest does not answer, and need not."""

    name = "guest channel"

    async def do(self, body: Body) -> None:
        if body.vmm is None:
            raise WorkerFault("there is no VMM to speak to")
        link = GuestLink(body.vmm.channel_path, bytes.fromhex(body.record.token_hex))
        body.agent = GuestAgent(link)

    async def undo(self, body: Body) -> None:
        if body.agent is not None:
            body.agent.link.close()
            body.agent = None


class GreetAgent:
    """A VMM that ends while we wait is noticed at once, not at the time-out."""

    name = "guest agent"

    async def do(self, body: Body) -> None:
        if body.agent is None:
            raise WorkerFault("there is no way to the guest agent")
        greeting = asyncio.create_task(self._greet(body, body.agent))
        ended = asyncio.create_task(body.vmm_ended.wait())
        try:
            await asyncio.wait([greeting, ended], return_when=asyncio.FIRST_COMPLETED)
            if not greeting.done():
                raise GuestUnreachable("the machine stopped before its agent answered")
            greeting.result()
        finally:
            greeting.cancel()
            ended.cancel()
            await asyncio.gather(greeting, ended, return_exceptions=True)

    async def undo(self, body: Body) -> None:
        """The session goes with the channel."""

    async def _greet(self, body: Body, agent: GuestAgent) -> None:
        await agent.link.connect(body.host.boot_timeout_s)
        if body.timings.agent_ready_ms is None:
            body.timings.agent_ready_ms = body.elapsed_ms()
        await agent.set_identity(body.spec.hostname, body.spec.env)
