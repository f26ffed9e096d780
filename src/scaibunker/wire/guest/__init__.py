"""What the worker daemon and the guest agent say to each other, over one byte stream.

A session opens with a handshake (`handshake`), then carries HTTP/2 with the worker as the
client. The routes are in `docs/reference/guest-protocol.md`; command output travels as
`frames`.
"""

PROTOCOL_VERSION = 2
"""Raised when an old worker and a new agent (or the reverse) would misread each other."""
