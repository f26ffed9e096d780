"""`python -m tests.host.confined_probe ROOT UID`: confines itself as the gateway does, and tries to get out."""

import ctypes
import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from scaibunker.worker.gateway.confine import confine

CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PR_SET_KEEPCAPS = 8


def attempts(parent: int, libc: ctypes.CDLL) -> dict[str, Callable[[], object]]:
    def call(name: str, *arguments: object) -> Callable[[], None]:
        def made() -> None:
            if getattr(libc, name)(*arguments) < 0:
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number))

        return made

    def thread() -> None:
        started = threading.Thread(target=lambda: None)
        started.start()
        started.join()

    def write(path: str) -> Callable[[], object]:
        return lambda: Path(path).write_text("x")

    return {
        "read /etc/passwd": lambda: Path("/etc/passwd").read_text(),
        "read /proc/self/status": lambda: Path("/proc/self/status").read_text(),
        "climb": lambda: Path("../../../../etc/passwd").read_text(),
        "write beside the spool": write("/file"),
        "write into the spool": write("/spool/file"),
        "fork": os.fork,
        "execute": lambda: os.execv("/bin/true", ["true"]),  # noqa: S606
        "thread": thread,
        "become root": lambda: os.setuid(0),
        "chroot": lambda: os.chroot("/spool"),
        "mount": call("mount", b"none", b"/spool", b"tmpfs", 0, None),
        "new user namespace": call("unshare", CLONE_NEWUSER),
        "new network namespace": call("unshare", CLONE_NEWNET),
        "device": lambda: os.mknod("/spool/device", 0o600 | 0o020000, os.makedev(1, 3)),
        "signal root's": lambda: os.kill(parent, 0),
        "trace": call("ptrace", 16, parent, None, None),
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
        "netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
        "UNIX socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "TCP socket": lambda: socket.socket(socket.AF_INET).close(),
        "UDP socket": lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM).close(),
    }


def main() -> None:
    root, uid = Path(sys.argv[1]), int(sys.argv[2])
    tries = attempts(os.getppid(), ctypes.CDLL(None, use_errno=True))
    confine(root, uid)
    signal.alarm(20)
    done: dict[str, bool] = {}
    for name, attempt in tries.items():
        try:
            if attempt() == 0 and name == "fork":
                os._exit(0)
        except OSError:
            done[name] = False
        else:
            done[name] = True
    print(json.dumps(done))


if __name__ == "__main__":
    main()
