"""How a session on the guest channel opens.

The channel is a serial port: it keeps no connections, and bytes of a daemon that died in
mid-frame may still lie in it. So the host opens with `HELLO = token + nonce`. The token is
32 random bytes that the machine got at boot on its kernel command line; the agent looks for it
in *everything* it reads, at any moment, drops the session it had, and answers
`ECHO_MAGIC + nonce`. The host throws away all it reads before the echo of its own nonce. After
that both sides speak HTTP/2.

A request body never ends on a DATA frame with a payload (END_STREAM travels alone), so a frame
that a dead daemon left half written can swallow a few bytes of the next hello but can never
complete a request.
"""

TOKEN_BYTES = 32
NONCE_BYTES = 16
ECHO_MAGIC = b"SBGUEST1"
PORT_NAME = "scaibunker.agent"
"""The virtio-serial port's name inside the guest (`/sys/class/virtio-ports/*/name`)."""
CMDLINE_TOKEN = "scaibunker.token"  # noqa: S105 - the name of a kernel parameter
"""Kernel parameter with the token in hexadecimal."""
