"""What may be asked for at create, as pure rules."""

from typing import Any

import pytest

from scaibunker.controller.bunkers.errors import (
    L2TransparencyDenied,
    LifecycleModeDenied,
    NetworkProfileDenied,
)
from scaibunker.controller.bunkers.request import (
    PROFILE_KEYS,
    check_claims,
    limits_of,
    network_of,
    shape_of,
    unguarded,
)
from scaibunker.controller.images.domain import Image
from scaibunker.controller.permissions import Key
from scaibunker.controller.settings import LimitSettings
from scaibunker.wire.api.bunkers import BunkerCreate, NetworkProfile
from scaibunker.wire.api.images import ImageStatus
from scaigrid.errors import PermissionDenied, ValidationFailed
from scaigrid.operation import Caller
from tests.unit.controller.builders import NOW, SHA

MAXIMA = LimitSettings(
    platform_max_cpu_millicores=4000, platform_max_memory_mb=2048, platform_max_disk_mb=4096
)


def caller(*keys: str) -> Caller:
    return Caller("usr_1", "ten_1", "x", "tenant_user", frozenset(keys))


def image(**defaults: int | None) -> Image:
    values: dict[str, Any] = {
        "default_cpu_millicores": None,
        "default_memory_mb": None,
        "default_disk_mb": None,
        **defaults,
    }
    return Image(
        "img_1", "x", "1", "platform", None, ImageStatus.READY, SHA, 1, created_at=NOW, **values
    )


@pytest.mark.parametrize(
    ("body", "error", "key"),
    [
        ({"lifecycle_mode": "session"}, LifecycleModeDenied, Key.CREATE_SESSION),
        ({"lifecycle_mode": "persistent"}, LifecycleModeDenied, Key.CREATE_PERSISTENT),
        *(({"network_profile": p}, NetworkProfileDenied, k) for p, k in PROFILE_KEYS.items()),
        ({"interfaces": [{}, {"spoof_guard": False}]}, L2TransparencyDenied, Key.L2_TRANSPARENCY),
    ],
)
def test_each_claim_needs_its_key(
    body: dict[str, Any], error: type[PermissionDenied], key: str
) -> None:
    others = [k for k in Key if k != key]
    with pytest.raises(error) as caught:
        check_claims(caller(*others), body)
    assert caught.value.details[0]["permission"] == key
    check_claims(caller(key), body)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"lifecycle_mode": ["session"], "network_profile": {"x": 1}, "interfaces": "no"},
        {"lifecycle_mode": None, "interfaces": [None, 3, {"spoof_guard": True}]},
    ],
)
def test_claims_of_any_shape_are_survived(body: dict[str, Any]) -> None:
    check_claims(caller(), body)


def test_every_profile_but_isolated_has_a_key() -> None:
    assert set(PROFILE_KEYS) == set(NetworkProfile) - {NetworkProfile.ISOLATED}


def test_sizes_come_from_the_request_then_the_image_then_the_platform() -> None:
    body = BunkerCreate(image="x", memory_mb=100)
    shape = shape_of(body, image(default_memory_mb=700, default_disk_mb=300), MAXIMA)
    assert (shape.cpu_millicores, shape.memory_mb, shape.disk_mb) == (1000, 100, 300)


def test_an_images_defaults_are_held_to_the_maxima_too() -> None:
    with pytest.raises(ValidationFailed) as caught:
        shape_of(BunkerCreate(image="x"), image(default_memory_mb=4096), MAXIMA)
    [entry] = caught.value.details
    assert (entry["field"], entry["limit"]) == ("memory_mb", 2048)


@pytest.mark.parametrize(
    ("mode", "limits"),
    [("ephemeral", (3600, 300)), ("session", (28_800, 900)), ("persistent", (None, 900))],
)
def test_limits_by_mode(mode: str, limits: tuple[int | None, int | None]) -> None:
    body = BunkerCreate.model_validate({"image": "x", "lifecycle_mode": mode})
    found = limits_of(body)
    assert (found.max_lifetime_s, found.idle_timeout_s) == limits
    set_by_hand = body.model_copy(update={"max_lifetime_s": 5, "idle_timeout_s": 6})
    found = limits_of(set_by_hand)
    assert (found.max_lifetime_s, found.idle_timeout_s) == (5, 6)


@pytest.mark.parametrize(
    ("interfaces", "field"),
    [
        ([{"if_name": "lo", "bridge_name": "lan"}], "interfaces.0.if_name"),
        (
            [{"if_name": "eth0", "bridge_name": "lan", "mac": "03:00:00:00:00:01"}],
            "interfaces.0.mac",
        ),
        (
            [
                {"if_name": "eth0", "bridge_name": "lan", "mac": "02:00:00:00:00:aa"},
                {"if_name": "eth1", "bridge_name": "wan", "mac": "02:00:00:00:00:AA"},
            ],
            "interfaces.0.mac",
        ),
        (
            [{"if_name": "eth0", "bridge_name": "lan"}, {"if_name": "eth0", "bridge_name": "wan"}],
            "interfaces",
        ),
        ([{"if_name": f"eth{n}", "bridge_name": "lan"} for n in range(9)], "interfaces"),
    ],
)
def test_interfaces_that_no_machine_can_have_are_refused(
    interfaces: list[dict[str, str]], field: str
) -> None:
    body = BunkerCreate.model_validate(
        {"image": "x", "network_profile": "transit", "interfaces": interfaces}
    )
    with pytest.raises(ValidationFailed) as refused:
        network_of(body)
    assert refused.value.details[0]["field"] == field


def test_what_the_audit_log_is_told_of_guards_are_names_alone() -> None:
    off = {"bridge_name": "lan", "spoof_guard": False}
    named = [{**off, "if_name": name} for name in ("eth0", "a secret", 7, "x" * 16, "eth1")]
    named.append({"if_name": "eth2", "spoof_guard": True})
    assert unguarded({"interfaces": [*named, off, "eth3"]}) == ["eth0", "eth1"]
    for nonsense in ({}, {"interfaces": None}, {"interfaces": "eth0"}):
        assert unguarded(nonsense) == []


def test_a_network_keeps_what_was_asked_for() -> None:
    body = BunkerCreate.model_validate(
        {
            "image": "x",
            "network_profile": "transit",
            "bandwidth_mbit": 7,
            "interfaces": [{"if_name": "eth0", "bridge_name": "lan"}],
        }
    )
    network = network_of(body)
    assert network.bandwidth_mbit == 7
    assert network.interfaces == [
        {"if_name": "eth0", "bridge_name": "lan", "spoof_guard": True, "mac": None}
    ]
