"""Ports of this machine: is one free, and which one is."""

import socket

from scaibunker.dev.errors import StartFailed


def check_port(host: str, port: int) -> None:
    """A taken port is told at once, not after a minute of waiting for the controller."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise StartFailed(f"cannot listen on {host}:{port}: {error.strerror}") from None


def free_port(host: str) -> int:
    """A port of an IPv4 address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
