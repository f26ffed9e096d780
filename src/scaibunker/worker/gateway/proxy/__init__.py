"""The proxy: every TCP connection of a machine with NAMED ends here, is judged, and is dialled anew from the host.

`listener` accepts, `connection` leads one connection through its life, `judge` reads what the guest sends first (`tls`,
`http`) and says what may pass, `dial` opens the other half, `side` and `room` move bytes.
"""
