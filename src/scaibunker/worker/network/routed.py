"""The networks of machines that have a way out: `registry`, `allowlisted` and `unrestricted`. Each has a slot.

What must be found again after this daemon is in the claims; the policy in force is in the kernel, and in the gateway.
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import partial

import structlog

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway.attachment import Sockets
from scaibunker.worker.gateway.port import Gateway
from scaibunker.worker.gateway.turns import Turns
from scaibunker.worker.network import found, host, links, listening, netns
from scaibunker.worker.network import slot as slots
from scaibunker.worker.network.claims import Claim, Claims
from scaibunker.worker.network.enforcement import Enforcer
from scaibunker.worker.network.facts import HostFacts
from scaibunker.worker.network.given import SlotNetwork
from scaibunker.worker.network.naming import LINK_PREFIX, Names
from scaibunker.worker.network.policies import policy_of
from scaibunker.worker.network.policy import CLOSED, Policy
from scaibunker.worker.network.pool import Pool
from scaibunker.worker.network.port import Owner
from scaibunker.worker.network.slot import Checkpoint, Slot, unobserved

log = structlog.get_logger(__name__)

PROFILES = (
    NetworkProfile.REGISTRY.value,
    NetworkProfile.ALLOWLISTED.value,
    NetworkProfile.UNRESTRICTED.value,
)
BUILDERS = 2
"""Slots that are made at the same time."""


@dataclass(frozen=True)
class Terms:
    """What this worker adds to an order. `registry_hosts`: the patterns of its list, as they are now; `bandwidth_mbit`:
    where the order says nothing; `mtu` in bytes; `max_flows` of one machine; `outward`: the host's
    interface to the outside."""

    registry_hosts: Callable[[], Iterable[str]]
    bandwidth_mbit: int
    mtu: int
    max_flows: int
    audited: bool
    pool_size: int
    outward: str | None = None


class RoutedNetworks:
    """A `Networks`. `start` first."""

    profiles = PROFILES

    def __init__(
        self,
        names: Names,
        claims: Claims,
        enforcer: Enforcer,
        gateway: Gateway,
        terms: Terms,
        done: Checkpoint = unobserved,
    ) -> None:
        self._names = names
        self._claims = claims
        self._enforcer = enforcer
        self._gateway = gateway
        self._terms = terms
        self._done = done
        ranges = claims.ranges
        self._host_facts = HostFacts(
            names.table, names.links, ranges.v4, ranges.v6, outward=terms.outward
        )
        self._era = 0
        """How often what no machine may reach has changed."""
        self._given: dict[str, SlotNetwork] = {}
        self._turns = Turns()
        self._building = asyncio.Semaphore(BUILDERS)
        self._pool = Pool(terms.pool_size, self._build, self._destroy)

    @property
    def given(self) -> Collection[str]:
        """The machines that have one."""
        return self._given.keys()

    @property
    def prepared(self) -> int:
        """Slots that wait for a machine."""
        return len(self._pool)

    async def start(self) -> None:
        """Take over what machines have of an earlier daemon; what is nobody's goes. Raises WorkerFault."""
        try:
            await netns.outside(self._begin)
        except WorkerFault:
            self._claims.close()
            raise
        for number in await netns.outside(self._nobodys):
            try:
                await netns.outside(partial(self._demolish, number))
            except WorkerFault as fault:
                log.warning("network_left", number=number, reason=fault.message)
            else:
                log.info("leftover_removed", what=f"network {number}")

    async def take(self, name: str, owner: Owner | None, order: NetworkOrder) -> SlotNetwork:
        if order.profile not in self.profiles:
            raise WorkerFault(f"{order.profile} is given elsewhere")
        async with self._turns.of(name):
            network = self._given.get(name)
            if network is None:
                slot = await self._assigned(name)
                self._done("assigned")
                network = self._given[name] = SlotNetwork(slot, slot.mbit, untouched=True)
            network.adopted = False
            network.prepared = owner is None
            return network

    async def admit(self, name: str, owner: Owner, order: NetworkOrder) -> None:
        terms = self._terms
        hosts = terms.registry_hosts() if order.profile is NetworkProfile.REGISTRY else ()
        policy = policy_of(order, hosts, terms.bandwidth_mbit, audited=terms.audited)
        async with self._turns.of(name):
            network = self._given.get(name)
            if network is None:
                raise WorkerFault(f"{name} has no network")
            network.owner, network.order = owner, order
            try:
                await self._admit(name, network, owner, policy)
            except BaseException:
                network.policy = None
                with contextlib.suppress(WorkerFault):
                    close = partial(self._enforcer.slot, CLOSED, network.slot.facts)
                    await netns.inside(network.slot.namespace, close)
                raise

    async def give_back(self, name: str) -> None:
        async with self._turns.of(name):
            network = self._given.get(name)
            if network is None:
                return
            slot, network.policy = network.slot, None
            try:
                await netns.inside(slot.namespace, partial(slots.close, slot, self._enforcer))
            except WorkerFault as fault:  # it is taken down all the same
                log.warning("network_not_closed", machine=name, reason=fault.message)
            self._done("closed for good")
            if network.served is not None:  # else the gateway never heard of it
                await self._gateway.detach(name)
            self._done("detached")
            network.close()
            await self._destroy(slot)
            del self._given[name]

    async def reclaim(self, living: Collection[str]) -> None:
        self._pool.start()
        for name, network in list(self._given.items()):
            if network.adopted and name not in living:
                await self.give_back(name)
                log.warning("leftover_removed", what=f"network of {name}")
        for name in await self._gateway.attached():
            if name not in living and name not in self._given:
                await self._gateway.detach(name)

    async def renew(self) -> None:
        """What no machine may reach has changed: put that into force for all of them, and for the host. Raises
        WorkerFault if that failed for any; the others have it."""
        self._era += 1
        await netns.outside(partial(self._enforcer.renew_host, self._host_facts))
        failures = []
        for name in list(self._given):
            async with self._turns.of(name):
                network = self._given.get(name)
                if network is None:
                    continue
                try:
                    await netns.inside(network.slot.namespace, self._enforcer.renew_slot)
                except WorkerFault as fault:
                    failures.append(f"{name}: {fault.message}")
        if failures:
            raise WorkerFault(f"rules are behind: {'; '.join(failures)}")

    async def uphold(self) -> None:
        """What the host is to do for slots, where its administration has undone it: all rules flushed by a restart of a
        firewall, forwarding switched off."""
        try:
            await netns.outside(self._uphold)
        except WorkerFault as fault:  # the next look tries again
            log.warning("host_not_upheld", reason=fault.message)

    async def registries_changed(self) -> None:
        """Those with the profile `registry` get the list as it is now. One for which that fails is closed."""
        for name, network in list(self._given.items()):
            owner, order = network.owner, network.order
            if owner is None or order is None or order.profile is not NetworkProfile.REGISTRY:
                continue
            try:
                await self.admit(name, owner, order)
            except WorkerFault as fault:
                log.warning("network_not_renewed", machine=name, reason=fault.message)

    async def close(self) -> None:
        await self._pool.close()
        for name in [name for name, network in self._given.items() if network.prepared]:
            with contextlib.suppress(WorkerFault):  # no bunker has it: it could not be given back
                await self.give_back(name)
        for network in self._given.values():
            network.close()
        if not self._given:
            await netns.outside(lambda: self._enforcer.leave_host(self._host_facts))
        self._claims.close()

    async def _admit(self, name: str, network: SlotNetwork, owner: Owner, policy: Policy) -> None:
        slot, facts = network.slot, network.slot.facts
        served = f"{policy.passage}, audited: {policy.audited}"
        if network.served != served:
            if network.served is not None:
                # The gateway keeps the sockets that it has, and these are not those of the policy.
                await netns.inside(slot.namespace, partial(slots.close, slot, self._enforcer))
                await self._gateway.detach(name)
            self._claims.serve(slot.number, served)
            network.served = served

        async def open_sockets() -> Sockets:
            return await netns.inside(slot.namespace, lambda: listening.open_sockets(policy, facts))

        def enforce() -> None:
            if network.mbit != policy.bandwidth_mbit:
                links.limit(facts, policy.bandwidth_mbit)
                network.mbit = policy.bandwidth_mbit
            if quickly:
                self._enforcer.open_slot(policy, facts)
            else:
                self._enforcer.slot(policy, facts)

        quickly = network.untouched and slot.era == self._era
        network.untouched = False
        await self._gateway.attach(name, owner.bunker_id, policy, open_sockets)
        self._done("attached")
        await netns.inside(slot.namespace, enforce)
        self._done("admitted")
        network.policy = policy

    async def _assigned(self, name: str) -> Slot:
        """One that is written down as that machine's. One that waited may have been taken away by somebody on the host."""
        while True:
            has_waited = self.prepared > 0
            slot = await self._pool.take()
            try:
                if not netns.path_of(slot.namespace).exists():
                    raise WorkerFault(f"there is no network namespace {slot.namespace} any more")
                self._claims.assign(slot.number, name)
            except WorkerFault as fault:
                await self._destroy(slot)
                if not has_waited:
                    raise
                log.warning("network_slot_lost", number=slot.number, reason=fault.message)
            else:
                return slot

    async def _build(self) -> Slot:
        made: list[Slot] = []
        async with self._building:
            try:
                await netns.outside(lambda: made.append(self._build_now()))
            except asyncio.CancelledError:
                for slot in made:  # nobody waits for it any more
                    await asyncio.shield(self._destroy(slot))
                raise
        return made[0]

    def _build_now(self) -> Slot:
        number = self._claims.take(self._terms.mtu)
        self._done("claimed")
        claim = Claim(
            worker=self._claims.worker,
            v4=self._claims.ranges.v4,
            v6=self._claims.ranges.v6,
            mtu=self._terms.mtu,
        )
        slot = self._slot(number, claim)
        try:
            slots.build(slot, self._enforcer, self._done)
        except BaseException:
            with contextlib.suppress(
                WorkerFault
            ):  # its number stays taken, and the next daemon tries again
                self._demolish(number)
            raise
        return slot

    async def _destroy(self, slot: Slot) -> None:
        await netns.outside(lambda: self._demolish(slot.number))

    def _demolish(self, number: int) -> None:
        slots.demolish(self._names.namespace(number), self._names.link(number), self._done)
        facts = self._claims.ranges.facts(number, self._terms.mtu, self._terms.max_flows)
        slots.forget_flows(facts)
        self._done("no flows")
        self._claims.give_back(number)
        self._done("struck out")

    def _begin(self) -> None:
        self._claims.open()
        host.check_ranges(self._claims.ranges, LINK_PREFIX)
        host.become_router()
        self._enforcer.host(self._host_facts)
        host.make_room_for_flows()
        there = set(netns.names())
        for number, claim in self._claims.mine().items():
            if claim.machine is not None and self._names.namespace(number) in there:
                slot = self._slot(number, claim)
                self._given[claim.machine] = SlotNetwork(
                    slot, mbit=None, adopted=True, served=claim.served
                )

    def _uphold(self) -> None:
        host.become_router()
        if not self._enforcer.has_host(self._host_facts):
            self._enforcer.host(self._host_facts)
            log.warning("host_rules_restored", table=self._host_facts.table)

    def _nobodys(self) -> set[int]:
        """Numbers of this worker of which there is something that no machine has. Before any is made."""
        there = self._claims.mine().keys() | found.numbers(self._names)
        return there - {network.slot.number for network in self._given.values()}

    def _slot(self, number: int, claim: Claim) -> Slot:
        facts = claim.ranges.facts(number, claim.mtu, self._terms.max_flows)
        names = self._names
        mbit = self._terms.bandwidth_mbit
        return Slot(number, names.namespace(number), names.link(number), facts, mbit, self._era)
