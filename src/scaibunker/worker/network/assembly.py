"""This host's networks, made of the settings; none, if they are switched off or the host lacks what they need."""

import contextlib
import hashlib
from collections.abc import Sequence
from functools import partial

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway import upstreams
from scaibunker.worker.gateway.client import GatewayClient
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.gateway.surroundings import Surroundings
from scaibunker.worker.gateway.tally import Tally
from scaibunker.worker.network import features, host, netns
from scaibunker.worker.network.claims import Claims
from scaibunker.worker.network.facts import GUEST_V4, GUEST_V6
from scaibunker.worker.network.left import LeftNetworks
from scaibunker.worker.network.naming import Names
from scaibunker.worker.network.networks import HostNetworks
from scaibunker.worker.network.never import Never
from scaibunker.worker.network.nft_enforcer import NftEnforcer
from scaibunker.worker.network.peers import Peers
from scaibunker.worker.network.port import Networks
from scaibunker.worker.network.ranges import Ranges
from scaibunker.worker.network.registries.current import Registries
from scaibunker.worker.network.routed import RoutedNetworks, Terms
from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.network.vicinity import Vicinity, own_addresses
from scaibunker.worker.settings import WorkerSettings

log = structlog.get_logger(__name__)

GATEWAY_UIDS, GATEWAY_UIDS_FROM = 1000, 1_000_000
"""The gateways' users, counted from `vmm_uid_base`: beyond all those of machines."""


async def open_networks(
    settings: WorkerSettings,
    worker_id: str,
    registries: Registries,
    peers: Peers,
    others: Sequence[Networks],
    tally: Tally | None = None,
) -> HostNetworks | LeftNetworks:
    """Ready to give; what machines have of an earlier daemon is found, or goes with
    them if there are none to give any more. `others`: those of the profiles without a slot. `tally` is told what the
    gateway does."""
    with contextlib.suppress(
        WorkerFault
    ):  # the others close this host also if it gives no networks itself
        own = await own_addresses()
        peers.own = lambda: own
    if not settings.network.enabled:
        return _left(settings, worker_id, others)
    lacking = await netns.outside(features.missing)
    if lacking is not None:
        log.error("networks_unavailable", reason=f"the host lacks {lacking}")
        return _left(settings, worker_id, others)
    try:
        networks = await netns.outside(
            lambda: _made(settings, worker_id, registries, peers, others, tally)
        )
        await networks.start()
    except WorkerFault as fault:
        log.error("networks_unavailable", reason=fault.message)
        return _left(settings, worker_id, others)
    return networks


def gateway_home(settings: WorkerSettings, worker_id: str) -> Home:
    """Where this worker's gateway lives."""
    digest = int(hashlib.sha256(worker_id.encode()).hexdigest(), 16)
    return Home(
        run_dir=settings.runtime_dir / f"{worker_id}.gateway",
        root_dir=settings.data_dir / "gateway",
        uid=settings.vmm_uid_base + GATEWAY_UIDS_FROM + digest % GATEWAY_UIDS,
    )


def _made(
    settings: WorkerSettings,
    worker_id: str,
    registries: Registries,
    peers: Peers,
    others: Sequence[Networks],
    tally: Tally | None,
) -> HostNetworks:
    chosen = settings.network
    claims = _claims(settings, worker_id)
    ranges = claims.ranges
    terms = Terms(
        registry_hosts=lambda: registries.hosts.patterns,
        bandwidth_mbit=chosen.bandwidth_mbit,
        mtu=chosen.mtu or host.default_mtu(chosen.outward),
        max_flows=chosen.max_flows,
        audited=chosen.audit_enabled,
        pool_size=chosen.pool_size,
        outward=chosen.outward,
    )
    vicinity = Vicinity(
        (ranges.v4, ranges.v6, GUEST_V4.network, GUEST_V6.network),
        (settings.controller_url, settings.storage_url),
        chosen.permitted_ranges,
        advertised=settings.advertise_url,
    )
    gateway = GatewayClient(gateway_home(settings, worker_id), tally)
    enforcer = NftEnforcer(lambda: networks.lookout.never)
    routed = RoutedNetworks(Names.of(worker_id), claims, enforcer, gateway, terms)
    networks = HostNetworks(routed, others, gateway, vicinity, peers, partial(_surround, chosen))
    return networks


def _left(settings: WorkerSettings, worker_id: str, others: Sequence[Networks]) -> LeftNetworks:
    home, claims = gateway_home(settings, worker_id), _claims(settings, worker_id)
    return LeftNetworks(Names.of(worker_id), claims, home, others)


def _claims(settings: WorkerSettings, worker_id: str) -> Claims:
    chosen = settings.network
    return Claims(chosen.claims_dir, worker_id, Ranges(chosen.transfer_v4, chosen.transfer_v6))


def _surround(chosen: NetworkSettings, never: Never) -> Surroundings:
    asked = chosen.upstreams or upstreams.read_from()
    return Surroundings(never, asked, chosen.dns_ttl_min_s, chosen.dns_ttl_max_s)
