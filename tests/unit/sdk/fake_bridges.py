"""Bridges in memory, as far as SDK and command line use them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.unit.sdk.fake_transport import Seen, ok, refused

NOW = "2026-01-01T00:00:00Z"
Rows = list[dict[str, Any]]


@dataclass
class FakeBridges:
    """Below `/bridges`. Those in `in_use` are not deleted."""

    paged: Callable[[Rows, Seen], httpx.Response]
    rows: Rows = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    in_use: set[str] = field(default_factory=set)

    def add(self, name: str, worker_id: str = "wrk_1") -> str:
        """A bridge that is there."""
        bridge_id = f"brg_{len(self.rows) + 1}"
        row = {"id": bridge_id, "tenant_id": "ten_1", "name": name, "worker_id": worker_id}
        times = {"created_at": NOW, "updated_at": NOW}
        self.rows.append({**row, "status": "ready", "status_reason": None, **times})
        return bridge_id

    def route(self, seen: Seen, parts: list[str]) -> httpx.Response:
        if not parts and seen.method == "GET":
            return self.paged(self.rows, seen)
        if not parts:
            return self._create(seen)
        found = [row for row in self.rows if row["id"] == parts[0]]
        if not found:
            return refused(404, "BRIDGE_NOT_FOUND", "there is no such bridge")
        if seen.method == "DELETE":
            if parts[0] in self.in_use:
                return refused(409, "BRIDGE_IN_USE", "bunkers are plugged in")
            self.rows.remove(found[0])
            return ok({**found[0], "status": "deleting"})
        return ok(found[0])

    def _create(self, seen: Seen) -> httpx.Response:
        body, key = json.loads(seen.body), seen.headers["idempotency-key"]
        if key not in self.keys:
            if any(row["name"] == body["name"] for row in self.rows):
                return refused(409, "NAME_CONFLICT", "the name is taken")
            self.keys[key] = self.add(**body)
        return ok(next(row for row in self.rows if row["id"] == self.keys[key]), 201)
