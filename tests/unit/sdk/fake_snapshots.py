"""Snapshots in memory, as far as SDK and command line use them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.unit.sdk.fake_transport import Seen, ok, refused

NOW = "2026-01-01T00:00:00Z"
Rows = list[dict[str, Any]]
WAY: tuple[tuple[str | None, float], ...] = (
    (None, 0.0),
    ("capturing", 0.15),
    ("packing", 0.45),
    ("storing", 0.8),
)
"""Phases and progress of one that is looked at again and again."""


@dataclass
class FakeSnapshots:
    """Below `/snapshots`, and `/bunkers/{id}/snapshot`. One that is being created gets on each time
    that it is looked at, and ends as `outcome`; its bunker ends then, if it was to."""

    paged: Callable[[Rows, Seen], httpx.Response]
    bunkers: dict[str, dict[str, Any]]
    outcome: str = "ready"
    reason: str | None = None
    rows: Rows = field(default_factory=list)
    keys: dict[str, str] = field(default_factory=dict)
    ending: set[str] = field(default_factory=set)

    def add(self, bunker_id: str = "bnk_1", status: str = "ready", **more: Any) -> str:
        """A snapshot that is there."""
        snapshot_id = f"snp_{len(self.rows) + 1}"
        row = snapshot_record(snapshot_id, bunker_id=bunker_id, status=status)
        self.rows.append({**row, **more})
        return snapshot_id

    def take(self, seen: Seen, bunker: dict[str, Any]) -> httpx.Response:
        """`POST /bunkers/{id}/snapshot`."""
        key = seen.headers["idempotency-key"]
        if key not in self.keys:
            if bunker["status"] not in ("running", "paused"):
                return refused(409, "BUNKER_INVALID_TRANSITION", f"it is {bunker['status']}")
            fields = json.loads(seen.body)
            fields.pop("expires_in_s", None)
            self.keys[key] = self.add(bunker["id"], "creating", progress=0.0, **fields)
        return ok(self._row(self.keys[key]), 202)

    def take_and_end(self, bunker: dict[str, Any], kind: str) -> None:
        """`DELETE /bunkers/{id}?snapshot=true`."""
        self.ending.add(self.add(bunker["id"], "creating", kind=kind, progress=0.0))
        bunker["status"] = "snapshotting"

    def route(self, seen: Seen, parts: list[str]) -> httpx.Response:
        if not parts:
            wanted = {name: seen.params.get(name) for name in ("bunker_id", "status", "kind")}
            return self.paged(
                [r for r in self.rows[::-1] if all(v in (None, r[k]) for k, v in wanted.items())],
                seen,
            )
        row = self._row(parts[0])
        if row is None:
            return refused(404, "SNAPSHOT_NOT_FOUND", f"no snapshot {parts[0]}")
        if seen.method == "DELETE":
            self.rows.remove(row)
            return ok(row)
        answer = ok(row)
        if row["status"] == "creating":
            self._get_on(row)
        return answer

    def _row(self, snapshot_id: str) -> dict[str, Any] | None:
        return next((row for row in self.rows if row["id"] == snapshot_id), None)

    def _get_on(self, row: dict[str, Any]) -> None:
        at = [phase for phase, _ in WAY].index(row["phase"]) + 1
        if at < len(WAY):
            row["phase"], row["progress"] = WAY[at]
            return
        row |= {"status": self.outcome, "status_reason": self.reason, "phase": None}
        if self.outcome == "ready":
            row |= {"progress": 1.0, "size_bytes": 4096, "ready_at": NOW}
        bunker = self.bunkers[row["bunker_id"]]
        if row["id"] in self.ending:
            bunker["status"] = "terminated" if self.outcome == "ready" else "running"


def snapshot_record(snapshot_id: str, **more: Any) -> dict[str, Any]:
    """A snapshot's record."""
    defaults: dict[str, Any] = {
        "id": snapshot_id,
        "tenant_id": "ten_1",
        "owner_user_id": "usr_1",
        "bunker_id": "bnk_1",
        "name": None,
        "kind": "disk",
        "status": "ready",
        "status_reason": None,
        "phase": None,
        "done_bytes": 0,
        "total_bytes": 0,
        "progress": 1.0,
        "size_bytes": None,
        "image": "python-3.11",
        "image_id": "img_1",
        "cpu_millicores": 1000,
        "memory_mb": 512,
        "disk_mb": 1024,
        "created_at": NOW,
        "ready_at": None,
        "expires_at": None,
    }
    return {**defaults, **more}
