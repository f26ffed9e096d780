"""Which system calls the gateway may make from now on: everything but those by which a process gets out of its place.

The interpreter and the libraries beneath it may call what they like between their releases, so calls are forbidden
rather than permitted one by one; what is forbidden fails with EPERM. Threads can be started, processes and namespaces
not. Sockets can be made for IPv4 and IPv6 alone: those of other kinds (netlink, UNIX) are handed in.
"""

import ctypes
import os
import platform
import socket
import struct
from collections.abc import Mapping, Sequence

# <linux/prctl.h>, <linux/seccomp.h>, <linux/audit.h>, <linux/filter.h>
PR_SET_SECCOMP = 22
SECCOMP_MODE_FILTER = 2
RET_ALLOW = 0x7FFF0000
RET_KILL_PROCESS = 0x80000000
RET_ERRNO = 0x00050000
LOAD_WORD = 0x20
JUMP_EQUAL = 0x15
JUMP_AT_LEAST = 0x35
JUMP_IF_ANY = 0x45
RETURN = 0x06
OFFSET_NUMBER, OFFSET_ARCH, OFFSET_FIRST_ARGUMENT = 0, 4, 16
X32_BIT = 0x40000000
"""Calls of the x32 ABI, which have numbers of their own."""
EPERM, ENOSYS = 1, 38
CLONE_THREAD = 0x00010000
CLONE_NAMESPACES = 0x7E020080
"""Each flag that makes a namespace."""

AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
SOCKET = {"x86_64": 41, "aarch64": 198}
CLONE = {"x86_64": 56, "aarch64": 220}
CLONE3 = 435
"""Its flags lie in memory, where no filter sees them: "not there" makes the C library use `clone`."""
FORBIDDEN: Mapping[str, Mapping[str, int]] = {
    "x86_64": {
        "ptrace": 101, "execve": 59, "execveat": 322, "fork": 57, "vfork": 58, "chroot": 161, "pivot_root": 155,
        "mount": 165, "umount2": 166, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432,
        "fspick": 433, "mount_setattr": 442, "unshare": 272, "setns": 308, "open_by_handle_at": 304,
        "name_to_handle_at": 303, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250,
        "add_key": 248, "request_key": 249, "init_module": 175, "finit_module": 313, "delete_module": 176,
        "kexec_load": 246, "kexec_file_load": 320, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163,
        "process_vm_readv": 310, "process_vm_writev": 311, "pidfd_getfd": 438, "kcmp": 312, "syslog": 103,
        "iopl": 172, "ioperm": 173, "settimeofday": 164, "clock_settime": 227, "clock_adjtime": 305,
        "adjtimex": 159, "sethostname": 170, "setdomainname": 171, "quotactl": 179, "personality": 135,
        "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "fanotify_init": 300,
        "mknod": 133, "mknodat": 259, "setuid": 105, "setgid": 106, "setreuid": 113, "setregid": 114,
        "setresuid": 117, "setresgid": 119, "setgroups": 116, "capset": 126, "vhangup": 153,
    },
    "aarch64": {
        "ptrace": 117, "execve": 221, "execveat": 281, "chroot": 51, "pivot_root": 41, "mount": 40,
        "umount2": 39, "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsmount": 432, "fspick": 433,
        "mount_setattr": 442, "unshare": 97, "setns": 268, "open_by_handle_at": 265, "name_to_handle_at": 264,
        "bpf": 280, "perf_event_open": 241, "userfaultfd": 282, "keyctl": 219, "add_key": 217,
        "request_key": 218, "init_module": 105, "finit_module": 273, "delete_module": 106, "kexec_load": 104,
        "kexec_file_load": 294, "reboot": 142, "swapon": 224, "swapoff": 225, "acct": 89,
        "process_vm_readv": 270, "process_vm_writev": 271, "pidfd_getfd": 438, "kcmp": 272, "syslog": 116,
        "settimeofday": 170, "clock_settime": 112, "clock_adjtime": 266, "adjtimex": 171, "sethostname": 161,
        "setdomainname": 162, "quotactl": 60, "personality": 92, "io_uring_setup": 425,
        "io_uring_enter": 426, "io_uring_register": 427, "fanotify_init": 262, "mknodat": 33, "setuid": 146,
        "setgid": 144, "setreuid": 145, "setregid": 143, "setresuid": 147, "setresgid": 149,
        "setgroups": 159, "capset": 91, "vhangup": 58,
    },
}  # fmt: skip

Instruction = tuple[int, int, int, int]
"""Operation, how many to skip if so, if not so, and the operand."""


def program(machine: str) -> Sequence[Instruction]:
    """The filter for `machine`, as `platform.machine` names it. Raises KeyError for one that is not known."""
    forbidden = FORBIDDEN[machine]
    families = (socket.AF_INET, socket.AF_INET6)
    checks: list[Instruction] = []
    for number in sorted(forbidden.values()):
        checks += [(JUMP_EQUAL, 0, 1, number), (RETURN, 0, 0, RET_ERRNO | EPERM)]
    return [
        (LOAD_WORD, 0, 0, OFFSET_ARCH),
        (JUMP_EQUAL, 1, 0, AUDIT_ARCH[machine]),
        (RETURN, 0, 0, RET_KILL_PROCESS),
        (LOAD_WORD, 0, 0, OFFSET_NUMBER),
        (JUMP_AT_LEAST, 0, 1, X32_BIT),
        (RETURN, 0, 0, RET_KILL_PROCESS),
        *checks,
        (JUMP_EQUAL, 0, 1, CLONE3),
        (RETURN, 0, 0, RET_ERRNO | ENOSYS),
        (JUMP_EQUAL, 0, 4, CLONE[machine]),
        (LOAD_WORD, 0, 0, OFFSET_FIRST_ARGUMENT),
        (JUMP_IF_ANY, 1, 0, CLONE_NAMESPACES),
        (JUMP_IF_ANY, 6, 0, CLONE_THREAD),
        (RETURN, 0, 0, RET_ERRNO | EPERM),
        (JUMP_EQUAL, 0, 4, SOCKET[machine]),
        (LOAD_WORD, 0, 0, OFFSET_FIRST_ARGUMENT),
        (JUMP_EQUAL, 2, 0, families[0]),
        (JUMP_EQUAL, 1, 0, families[1]),
        (RETURN, 0, 0, RET_ERRNO | EPERM),
        (RETURN, 0, 0, RET_ALLOW),
    ]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install() -> bool:
    """Put it into force for this thread and those it starts; there is no way back. False if it is not made for this
    machine. New privileges must have been given up before. Raises OSError."""
    try:
        instructions = program(platform.machine())
    except KeyError:
        return False
    code = b"".join(struct.pack("HBBI", *instruction) for instruction in instructions)
    buffer = ctypes.create_string_buffer(code, len(code))
    filled = _Program(len(instructions), ctypes.cast(buffer, ctypes.c_void_p))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(filled), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
    return True
