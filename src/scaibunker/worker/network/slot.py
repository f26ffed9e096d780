"""One slot: a namespace with a TAP, between a guest and the host. How it is made, closed, and how it is taken down.

All of it blocks, and is done in a thread. Each step of taking down can be done over whatever is there.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.network import links, netns, sysctls, taps
from scaibunker.worker.network.enforcement import Enforcer
from scaibunker.worker.network.facts import TAP, SlotFacts
from scaibunker.worker.network.flow_sockets import end_flows, end_flows_from, track_flows
from scaibunker.worker.network.policy import CLOSED

log = structlog.get_logger(__name__)

Checkpoint = Callable[[str], None]
"""Is told of each step that is done; tests end the process there."""


def unobserved(_step: str) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Slot:
    """`namespace`: its name; `link`: the host's end of its pair; `mbit`: what it was made for, each way; `era`: how
    often what no machine may reach had changed when it was made."""

    number: int
    namespace: str
    link: str
    facts: SlotFacts
    mbit: int
    era: int = 0


def build(slot: Slot, enforcer: Enforcer, done: Checkpoint = unobserved) -> None:
    """Make it, closed: interfaces come into a namespace that lets nothing pass already. Raises WorkerFault, and leaves
    what there is of it."""
    try:
        netns.create(slot.namespace)
        done("namespace")
        netns.inside_now(slot.namespace, lambda: _shut(slot, enforcer))
        done("closed")
        links.make_pair(slot.number, slot.link, slot.namespace, slot.facts)
        done("pair")
        sysctls.apply(sysctls.of_interface(slot.link))
        netns.inside_now(slot.namespace, lambda: _furnish(slot))
        done("furnished")
        links.raise_host_end(slot.number, slot.link, slot.facts)
        done("raised")
    except OSError as error:
        raise WorkerFault(f"cannot make a network: {error}") from error


def demolish(namespace: str, link: str, done: Checkpoint = unobserved) -> None:
    """Take it down, whatever there is of it. Idempotent. Raises WorkerFault if something is left."""
    try:
        links.remove(link)
        done("no pair")
        if namespace in netns.names():
            _empty(namespace)
            done("no TAP")
            netns.remove(namespace)
        done("no namespace")
    except OSError as error:
        raise WorkerFault(f"cannot take a network down: {error}") from error


def forget_flows(facts: SlotFacts) -> None:
    """On the host, when the slot is gone: it would remember its open connections for days, and those of machines that came and
    went would fill the table that all share."""
    for source in (facts.transfer_v4, facts.transfer_v6):
        try:
            end_flows_from(source)
        except WorkerFault as fault:
            log.warning("flows_not_forgotten", source=str(source), reason=fault.message)


def open_tap(slot: Slot) -> int:
    """A descriptor for its VMM. Raises WorkerFault."""
    try:
        return netns.inside_now(slot.namespace, lambda: taps.attach(slot.facts.tap))
    except OSError as error:
        raise WorkerFault(f"cannot open a TAP: {error}") from error


def open_counters(slot: Slot) -> int:
    """A descriptor of what its interfaces have carried, for `bytes_received`. The caller closes it: the namespace stays
    for as long as it is open. Raises WorkerFault."""
    path = "/proc/thread-self/net/dev"
    try:
        return netns.inside_now(slot.namespace, lambda: os.open(path, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as error:
        raise WorkerFault(f"cannot read a network's counters: {error}") from error


def bytes_received(counters: int, interface: str) -> int:
    """By that interface since it is there; 0 if it is not."""
    for line in os.pread(counters, 16 * 1024, 0).decode().splitlines():
        name, colon, numbers = line.partition(":")
        if colon and name.strip() == interface:
            return int(numbers.split()[0])
    return 0


def close(slot: Slot, enforcer: Enforcer) -> None:
    """In its namespace: nothing passes any more, and all flows have ended. Raises WorkerFault."""
    enforcer.slot(CLOSED, slot.facts)
    end_flows()


def _shut(slot: Slot, enforcer: Enforcer) -> None:
    sysctls.apply(sysctls.of_slot())
    enforcer.slot(CLOSED, slot.facts)
    sysctls.apply(sysctls.of_tracking())
    track_flows()


def _furnish(slot: Slot) -> None:
    links.furnish(slot.number, slot.facts, slot.mbit)


def _empty(namespace: str) -> None:
    """A VMM that still lives must not keep the TAP with what is left of the namespace."""
    with contextlib.suppress(WorkerFault):  # it was never mounted
        netns.inside_now(namespace, lambda: links.remove(TAP))
