"""What may be asked for at create: permissions, shape, network. Pure rules over the request.

`check_claims` runs on the raw body, before anything else about it is judged, and again on the validated
one, so that no way of writing a value slips past it.
"""

import re
from collections.abc import Mapping
from typing import Any

from scaibunker.controller.bridges import macs
from scaibunker.controller.bunkers.domain import DEFAULT_LIMITS, Limits, Network, Shape
from scaibunker.controller.bunkers.errors import (
    InterfacesNotAllowed,
    L2TransparencyDenied,
    LifecycleModeDenied,
    NetworkAllowlistInvalid,
    NetworkProfileDenied,
    TransitMissingInterfaces,
)
from scaibunker.controller.images.domain import Image
from scaibunker.controller.permissions import Key
from scaibunker.controller.settings import LimitSettings
from scaibunker.wire.api.bunkers import BunkerCreate, Interface, LifecycleMode, NetworkProfile
from scaibunker.wire.hostnames import MAX_ENTRIES, BadEntry, normalise
from scaibunker.wire.worker.network import MAX_INTERFACES
from scaigrid.errors import ValidationFailed, detail
from scaigrid.operation import Caller

MODE_KEYS: Mapping[str, Key] = {
    LifecycleMode.SESSION: Key.CREATE_SESSION,
    LifecycleMode.PERSISTENT: Key.CREATE_PERSISTENT,
}
PROFILE_KEYS: Mapping[str, Key] = {
    NetworkProfile.REGISTRY: Key.NETWORK_REGISTRY,
    NetworkProfile.ALLOWLISTED: Key.NETWORK_ALLOWLISTED,
    NetworkProfile.UNRESTRICTED: Key.NETWORK_UNRESTRICTED,
    NetworkProfile.TRANSIT: Key.NETWORK_TRANSIT,
}
LOOPBACK = "lo"
_IF_NAME = re.compile(r"[a-z][a-z0-9]{0,14}", re.ASCII)


def check_claims(caller: Caller, body: Mapping[str, Any]) -> None:
    """Raise the refusal for what the caller asks for and has no key for."""
    mode, profile = body.get("lifecycle_mode"), body.get("network_profile")
    key = MODE_KEYS.get(mode) if isinstance(mode, str) else None
    if key and not caller.holds(key):
        raise LifecycleModeDenied(
            f"The caller may not create bunkers of the lifecycle mode {key.rpartition(':')[2]}.",
            details=[detail("lifecycle_mode", f"{key} is needed", permission=key)],
        )
    key = PROFILE_KEYS.get(profile) if isinstance(profile, str) else None
    if key and not caller.holds(key):
        raise NetworkProfileDenied(
            f"The caller may not use the network profile {key.rpartition(':')[2]}.",
            details=[detail("network_profile", f"{key} is needed", permission=key)],
        )
    if is_unguarded(body) and not caller.holds(Key.L2_TRANSPARENCY):
        key = Key.L2_TRANSPARENCY
        raise L2TransparencyDenied(
            details=[detail("interfaces", f"{key} is needed", permission=key)]
        )


def is_unguarded(body: Mapping[str, Any]) -> bool:
    """Whether an interface is asked for that may send frames in another's name."""
    interfaces = body.get("interfaces")
    entries = interfaces if isinstance(interfaces, list) else []
    return any(isinstance(e, dict) and e.get("spoof_guard") is False for e in entries)


def unguarded(body: Mapping[str, Any]) -> list[str]:
    """The names of those interfaces, as far as they are names; for the audit log."""
    interfaces = body.get("interfaces")
    entries = interfaces if isinstance(interfaces, list) else []
    named = [
        e.get("if_name") for e in entries if isinstance(e, dict) and e.get("spoof_guard") is False
    ]
    names = [name for name in named if isinstance(name, str) and _IF_NAME.fullmatch(name)]
    return names[:MAX_INTERFACES]


def check_source(body: BunkerCreate) -> None:
    """Exactly one of image and snapshot."""
    if (body.image is None) == (body.snapshot_id is None):
        raise ValidationFailed.of("image", "exactly one of image and snapshot_id must be given")
    if body.snapshot_kind is not None and body.snapshot_id is None:
        raise ValidationFailed.of("snapshot_kind", "goes with a snapshot_id only")


def network_of(body: BunkerCreate) -> Network:
    """The network that is asked for. Raises the errors of allowlist and interfaces."""
    return Network(
        profile=body.network_profile,
        allowlist=_allowlist(body),
        interfaces=_interfaces(body),
        bandwidth_mbit=body.bandwidth_mbit,
    )


def _allowlist(body: BunkerCreate) -> list[str] | None:
    entries = body.network_allowlist
    if body.network_profile is not NetworkProfile.ALLOWLISTED:
        if entries is not None:
            raise NetworkAllowlistInvalid.of(
                "network_allowlist", "goes with the network profile allowlisted only"
            )
        return None
    if not entries:
        raise NetworkAllowlistInvalid.of(
            "network_allowlist", "the network profile allowlisted needs at least one entry"
        )
    if len(entries) > MAX_ENTRIES:
        raise NetworkAllowlistInvalid.of(
            "network_allowlist", f"has {len(entries)} entries; {MAX_ENTRIES} are the limit"
        )
    good: dict[str, None] = {}
    faults = []
    for index, entry in enumerate(entries):
        try:
            good[normalise(entry)] = None
        except BadEntry as error:
            shown = entry[:300]
            faults.append(detail(f"network_allowlist.{index}", f"{shown!r} {error}", entry=shown))
    if faults:
        raise NetworkAllowlistInvalid(f"Allowlist: {faults[0]['message']}.", details=faults)
    return list(good)


def _interfaces(body: BunkerCreate) -> list[dict[str, Any]] | None:
    wanted = body.interfaces
    if body.network_profile is not NetworkProfile.TRANSIT:
        if wanted is not None:
            raise InterfacesNotAllowed.of("interfaces", "go with the network profile transit only")
        return None
    if not wanted:
        raise TransitMissingInterfaces.of(
            "interfaces", "the network profile transit needs at least one"
        )
    if len(wanted) > MAX_INTERFACES:
        raise ValidationFailed.of("interfaces", f"at most {MAX_INTERFACES} are possible")
    names = [interface.if_name for interface in wanted]
    if len(set(names)) < len(names):
        raise ValidationFailed.of("interfaces", "the names of interfaces must differ")
    faults = [fault for index, each in enumerate(wanted) if (fault := _fault(index, each))]
    given = [each.mac.lower() for each in wanted if each.mac is not None]
    faults += [
        detail(f"interfaces.{index}.mac", "each interface needs an address of its own")
        for index, each in enumerate(wanted)
        if each.mac is not None and given.count(each.mac.lower()) > 1
    ]
    if faults:
        raise ValidationFailed(f"{faults[0]['field']}: {faults[0]['message']}", details=faults)
    return [
        {**each.model_dump(), "mac": macs.normal(each.mac) if each.mac else None} for each in wanted
    ]


def _fault(index: int, interface: Interface) -> dict[str, Any] | None:
    """What is wrong with one interface by itself."""
    if interface.if_name == LOOPBACK:
        return detail(f"interfaces.{index}.if_name", "is the name of another interface")
    try:
        if interface.mac is not None:
            macs.normal(interface.mac)
    except ValueError as error:
        return detail(f"interfaces.{index}.mac", str(error))
    return None


def check_limits(body: BunkerCreate, maxima: LimitSettings) -> None:
    """Refuse what is above the platform's maxima, with the field and the limit."""
    refuse_above(
        {
            "cpu_millicores": (body.cpu_millicores, maxima.platform_max_cpu_millicores),
            "memory_mb": (body.memory_mb, maxima.platform_max_memory_mb),
            "disk_mb": (body.disk_mb, maxima.platform_max_disk_mb),
            "gpu_count": (body.gpu_count, maxima.platform_max_gpu_count),
        }
    )
    if body.gpu_type is not None and not body.gpu_count:
        raise ValidationFailed.of("gpu_type", "needs a gpu_count of at least 1")


def shape_of(body: BunkerCreate, image: Image, maxima: LimitSettings) -> Shape:
    """The sizes in force: what is asked for, else the image's, else the platform's defaults."""
    shape = Shape(
        cpu_millicores=body.cpu_millicores or image.default_cpu_millicores or 1000,
        memory_mb=body.memory_mb or image.default_memory_mb or 512,
        disk_mb=body.disk_mb or image.default_disk_mb or 1024,
        gpu_count=body.gpu_count,
        gpu_type=body.gpu_type,
    )
    refuse_above(
        {
            "cpu_millicores": (shape.cpu_millicores, maxima.platform_max_cpu_millicores),
            "memory_mb": (shape.memory_mb, maxima.platform_max_memory_mb),
            "disk_mb": (shape.disk_mb, maxima.platform_max_disk_mb),
        }
    )
    return shape


def refuse_above(sizes: Mapping[str, tuple[int | None, int]]) -> None:
    """Raise ValidationFailed for sizes above their limits, by the names of their fields."""
    faults = [
        detail(field, f"must be at most {limit}", limit=limit, requested=size)
        for field, (size, limit) in sizes.items()
        if size is not None and size > limit
    ]
    if faults:
        named = ", ".join(f"{fault['field']} {fault['message']}" for fault in faults)
        raise ValidationFailed(f"Too large: {named}.", details=faults)


def limits_of(body: BunkerCreate) -> Limits:
    """Lifetime and idle time in force."""
    default = DEFAULT_LIMITS[body.lifecycle_mode]
    return Limits(
        max_lifetime_s=body.max_lifetime_s or default.max_lifetime_s,
        idle_timeout_s=body.idle_timeout_s or default.idle_timeout_s,
    )
