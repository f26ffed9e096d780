"""Quota profiles in memory, as far as SDK and command line use them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.unit.sdk.fake_transport import Seen, ok, refused

NOW = "2026-01-01T00:00:00Z"
Rows = list[dict[str, Any]]
CAPS = (
    *("max_concurrent_bunkers", "max_persistent_bunkers"),
    *("max_cpu_millicores", "max_memory_mb", "max_disk_mb", "max_gpu_count"),
    *("per_bunker_max_cpu", "per_bunker_max_memory", "per_bunker_max_disk", "per_bunker_max_gpu"),
)
RESOURCES = (
    *("concurrent_bunkers", "persistent_bunkers"),
    *("cpu_millicores", "memory_mb", "disk_mb", "gpu_count"),
)


@dataclass
class FakeQuotas:
    """Below `/quota-profiles`. An Idempotency-Key gives the first answer again."""

    paged: Callable[[Rows, Seen], httpx.Response]
    profiles: Rows = field(default_factory=list)
    assignments: Rows = field(default_factory=list)
    usage: Rows = field(default_factory=list)
    answered: dict[str, httpx.Response] = field(default_factory=dict)

    def route(self, seen: Seen, parts: list[str]) -> httpx.Response:
        key = seen.headers.get("idempotency-key")
        if key is None:
            return self._route(seen, parts)
        if key not in self.answered:
            self.answered[key] = self._route(seen, parts)
        first = self.answered[key]
        return httpx.Response(first.status_code, content=first.content)

    def _route(self, seen: Seen, parts: list[str]) -> httpx.Response:
        match seen.method, parts:
            case "GET", []:
                return self.paged(self.profiles[::-1], seen)
            case "POST", []:
                return ok(self._added(json.loads(seen.body)), 201)
            case "GET", ["usage"]:
                return self.paged(self.usage, seen)
        found = [row for row in self.profiles if row["id"] == parts[0]]
        if not found:
            return refused(404, "QUOTA_PROFILE_NOT_FOUND")
        [profile] = found
        match seen.method, parts[1:]:
            case "GET", []:
                return ok(profile)
            case "PATCH", []:
                profile |= json.loads(seen.body)
                return ok(profile)
            case "DELETE", []:
                self.profiles.remove(profile)
                return ok(profile)
            case _, ["assignments", *rest]:
                return self._assignments(seen, profile["id"], rest)
        return refused(405, "METHOD_NOT_ALLOWED")

    def _assignments(self, seen: Seen, profile_id: str, parts: list[str]) -> httpx.Response:
        of_it = [row for row in self.assignments if row["profile_id"] == profile_id]
        match seen.method, parts:
            case "GET", []:
                return self.paged(of_it[::-1], seen)
            case "POST", []:
                return self._assign(profile_id, json.loads(seen.body))
        found = [row for row in of_it if row["id"] == parts[0]]
        if not found:
            return refused(404, "QUOTA_ASSIGNMENT_NOT_FOUND")
        if seen.method == "DELETE":
            self.assignments.remove(found[0])
        return ok(found[0])

    def _added(self, fields: dict[str, Any]) -> dict[str, Any]:
        made = {
            "id": f"qpf_{len(self.profiles) + 1}",
            "tenant_id": "ten_1",
            "description": "",
            "created_at": NOW,
            **dict.fromkeys(CAPS),
            **fields,
        }
        self.profiles.append(made)
        return made

    def _assign(self, profile_id: str, fields: dict[str, Any]) -> httpx.Response:
        if any(row["target_id"] == fields["target_id"] for row in self.assignments):
            return refused(409, "NAME_CONFLICT", "it has a profile already")
        made = {
            "id": f"qas_{len(self.assignments) + 1}",
            "profile_id": profile_id,
            "tenant_id": "ten_1",
            "mode": "individual" if fields["target_kind"] == "user" else "shared",
            "created_at": NOW,
            **fields,
        }
        self.assignments.append(made)
        return ok(made, 201)


def usage_row(bucket: str, current: int, cap: int | None) -> dict[str, Any]:
    """A bucket of which that many bunkers are held, each of one core; memory has no cap."""
    kind, _, target = bucket.partition(":")
    held = {"concurrent_bunkers": current, "cpu_millicores": 1000 * current}
    caps = {"concurrent_bunkers": cap, "cpu_millicores": None if cap is None else 1000 * cap}
    left = {name: None if most is None else most - held[name] for name, most in caps.items()}
    return {
        "bucket": bucket,
        "kind": kind,
        "id": target,
        "name": target.removeprefix("grp_") if kind == "group" else None,
        "profiles": ["qpf_1"] if cap is not None else [],
        "current": {**dict.fromkeys(RESOURCES, 0), **held},
        "cap": {**dict.fromkeys(RESOURCES), **caps},
        "remaining": {**dict.fromkeys(RESOURCES), **left},
    }
