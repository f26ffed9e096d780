"""What the controller and a worker daemon say to each other, as JSON over HTTP/1.1.

Controller to worker: `machines` (routes in `docs/reference/worker-protocol.md`). Worker to
controller: `heartbeat`. Both directions carry the worker token as a bearer.
"""

PROTOCOL_VERSION = 1
"""A worker whose heartbeat names another version is refused, with a message that says so."""

TOKEN_HEADER = "Authorization"  # noqa: S105 - the name of a header
