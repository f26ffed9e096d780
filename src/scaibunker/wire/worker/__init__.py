"""What the controller and a worker daemon say to each other, as JSON over HTTP/1.1.

Controller to worker: `machines` (routes in `docs/reference/worker-protocol.md`). Worker to
controller: `heartbeat`. Both directions carry the worker token as a bearer.
"""

PROTOCOL_VERSION = 1
"""What this release says: a worker in its heartbeats, a controller in `PROTOCOL_HEADER`."""
OLDEST_PROTOCOL_VERSION = 1
"""The oldest version that this release still understands of the other side."""
PROTOCOL_HEADER = "X-Scaibunker-Protocol"
"""Names the version of each request to a worker; one without it is of version 1."""

TOKEN_HEADER = "Authorization"  # noqa: S105 - the name of a header
