"""The way to the guest agent, the first word with it, and the identity that makes the machine this bunker."""

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.guest.agent import GuestAgent
from scaibunker.worker.guest.network import told
from scaibunker.worker.machines.body import Body
from scaibunker.worker.templates.slot import ANSWERS_WITHIN_S, unless


class AttachAgent:
    """Only the way to it: a paused guest does not answer, and need not."""

    name = "guest channel"

    async def do(self, body: Body) -> None:
        if body.vmm is None:
            raise WorkerFault("there is no VMM to speak to")
        if body.slot is not None:
            body.agent = body.slot.agent
            return
        token_hex = body.record.token_hex
        if body.restored is not None and body.goes_on:
            token_hex = body.restored.manifest.token_hex  # until the identity brings its own
        body.agent = GuestAgent(
            body.host.open_link(body.vmm.channel_path, bytes.fromhex(token_hex))
        )

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
        await unless(body.vmm_ended, self._greet(body, body.agent))

    async def undo(self, body: Body) -> None:
        """The session goes with the channel."""

    async def _greet(self, body: Body, agent: GuestAgent) -> None:
        if body.goes_on and body.vmm is not None:
            await body.vmm.resume()
        await agent.link.connect(
            body.host.boot_timeout_s if body.slot is None else ANSWERS_WITHIN_S
        )
        if body.timings.agent_ready_ms is None:
            body.timings.agent_ready_ms = body.elapsed_ms()
        source, slot = body.spec.snapshot, body.slot
        await agent.set_identity(
            body.spec.hostname,
            body.spec.env,
            generation=body.record.generation,
            token_hex=body.record.token_hex if body.goes_on else "",
            disown_execs=body.goes_on and (source is None or not source.keep_execs),
            disk_mb=body.spec.disk_mb if slot and slot.disk_mb != body.spec.disk_mb else 0,
            network=told(body.network.guest) if body.network else None,
            # A guest that has just begun may stand still for long on a host with more to do than it can.
            timeout_s=body.host.boot_timeout_s,
        )
