"""How the gateway gives up what it does not need, before it looks at a single packet of a guest.

It reads what guests and the internet say, so what takes it over must find nothing: no files but its spool, no user
that owns anything else, no capabilities and no way to new ones, no programs to start. What is left to it is the
network of the host, which it is there to dial, and the sockets it is handed.
"""

import ctypes
import os
import resource
from pathlib import Path

import structlog

from scaibunker.worker.gateway import seccomp

log = structlog.get_logger(__name__)

# <linux/prctl.h>
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4
LAST_CAPABILITY = Path("/proc/sys/kernel/cap_last_cap")

MAX_OPEN_FILES = 524_288
"""Each machine may have some 1,100 of them: whoever has many machines must not use up those of others."""
MAX_THREADS = 64
MAX_ADDRESS_SPACE_BYTES = 8 << 30
MAX_FILE_BYTES = 4 << 30


def confine(root: Path, uid: int) -> None:
    """Enter `root` for good, as the user and group `uid`, without capabilities. To be called by root, in a process of
    one thread, once everything is open and imported that lies outside. Raises OSError; the process must end then."""
    if uid == 0:
        raise ValueError("the gateway never serves as root")
    libc = ctypes.CDLL(None, use_errno=True)
    last_capability = int(LAST_CAPABILITY.read_text())
    _limit_files(MAX_OPEN_FILES)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_AS, MAX_ADDRESS_SPACE_BYTES)
    _limit(resource.RLIMIT_FSIZE, MAX_FILE_BYTES)
    _limit(resource.RLIMIT_NPROC, MAX_THREADS)
    _limit(resource.RLIMIT_MEMLOCK, 0)
    os.chroot(root)
    os.chdir("/")
    for capability in range(last_capability + 1):
        _prctl(libc, PR_CAPBSET_DROP, capability)
    _prctl(libc, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)
    _prctl(libc, PR_SET_DUMPABLE, 0)
    if not seccomp.install():
        log.warning("gateway_without_seccomp", machine=os.uname().machine)


def _limit(what: int, most: int) -> None:
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _limit_files(most: int) -> None:
    """Also above what was left to us: each machine's connections need some."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (OSError, ValueError):
        _limit(resource.RLIMIT_NOFILE, most)


def _prctl(libc: ctypes.CDLL, option: int, argument: int) -> None:
    if libc.prctl(option, argument, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {option}: {os.strerror(number)}")
