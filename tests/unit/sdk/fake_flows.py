"""Batches of flow records in memory."""

import json
from typing import Any

import httpx

from tests.unit.sdk.fake_transport import Seen, refused

NDJSON = {"content-type": "application/x-ndjson"}


class FakeFlows:
    """`batches` by bunker and name; `page` at most in an answer."""

    def __init__(self) -> None:
        self.batches: dict[str, dict[str, bytes]] = {}
        self.page = 2

    def add(self, bunker_id: str, ts_us: int, *records: dict[str, Any] | bytes) -> str:
        """A batch of records, or of bytes as they are; its name."""
        name = f"{ts_us:016d}-7.ndjson"
        lines = [r if isinstance(r, bytes) else json.dumps(r).encode() + b"\n" for r in records]
        self.batches.setdefault(bunker_id, {})[name] = b"".join(lines)
        return name

    def answer(self, seen: Seen, bunker_id: str, name: str | None) -> httpx.Response:
        batches = self.batches.get(bunker_id, {})
        if name is not None:
            if name not in batches:
                return refused(404, "OBJECT_NOT_FOUND")
            return httpx.Response(200, headers=NDJSON, content=batches[name])
        since = int(seen.params.get("since_us", "0"))
        after = seen.params.get("continuation_token", "")
        rest = [each for each in sorted(batches) if int(each[:16]) >= since and each > after]
        shown = rest[: self.page]
        data = [
            {
                "name": each,
                "key": f"scaibunker/audit/{bunker_id}/{each}",
                "ts_us": int(each[:16]),
                "size": len(batches[each]),
                "stored_at": "2026-01-01T00:00:00Z",
            }
            for each in shown
        ]
        more = len(rest) > len(shown)
        return httpx.Response(
            200,
            json={
                "status": "ok",
                "data": data,
                "has_more": more,
                "next_continuation_token": shown[-1] if more else None,
                "meta": {"request_id": "req_1"},
            },
        )


def flow(number: int = 0, **more: Any) -> dict[str, Any]:
    """The record of a flow that began `number` seconds into the year."""
    record = {
        "start": f"2026-01-01T00:{number // 60:02d}:{number % 60:02d}.250000Z",
        "duration_ms": 500,
        "source_address": "198.18.0.2",
        "source_port": 40_000 + number,
        "destination_address": "203.0.113.5",
        "destination_port": 443,
        "host": "pypi.registry.test",
        "protocol": "tcp",
        "bytes_sent": 700,
        "bytes_received": 9000,
        "packets_sent": 7,
        "packets_received": 9,
        "verdict": "allowed",
        "reason": None,
        "bunker_id": "bnk_1",
    }
    return record | more


def loss(dropped: int | None, second: int = 0) -> dict[str, Any]:
    """That records are missing."""
    at = f"2026-01-01T00:00:{second:02d}Z"
    return {"dropped": dropped, "reason": "disk", "start": at, "end": at, "bunker_id": "bnk_1"}
