"""Records for tests of pure rules."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from scaibunker.controller.bunkers.domain import (
    Bunker,
    Desired,
    ImageRef,
    Limits,
    Network,
    Shape,
)
from scaibunker.controller.bunkers.lifecycle import State
from scaibunker.controller.workers.domain import Capacity, Worker
from scaibunker.wire.api.bunkers import LifecycleMode, NetworkProfile, SessionType

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SHA = "a" * 64

_BUNKER = Bunker(
    id="bnk_1",
    tenant_id="ten_1",
    owner_user_id="usr_1",
    name=None,
    status=State.RUNNING,
    status_reason=None,
    desired=Desired.RUNNING,
    desired_reason=None,
    image=ImageRef("img_1", "debian-12", SHA, 1),
    lifecycle_mode=LifecycleMode.EPHEMERAL,
    labels={},
    env={},
    network=Network(NetworkProfile.ISOLATED),
    shape=Shape(1000, 512, 1024),
    limits=Limits(3600, 300),
    session_type=SessionType.STANDALONE,
    session_ref=None,
    worker_id="wrk_1",
    created_at=NOW,
    placed_at=NOW,
    started_at=NOW,
    terminated_at=None,
    last_activity_at=NOW,
    expires_at=None,
)

_WORKER = Worker(
    id="wrk_1",
    name="one",
    address="http://127.0.0.1:1",
    protocol=1,
    version="1",
    acceleration="kvm",
    network_profiles=["isolated"],
    capacity=Capacity(4000, 4096, 10_000, {}),
    cached_images=[SHA],
    draining=False,
    last_heartbeat_at=NOW,
)


def a_bunker(**changes: Any) -> Bunker:
    return replace(_BUNKER, **changes)


def a_worker(**changes: Any) -> Worker:
    return replace(_WORKER, **changes)
