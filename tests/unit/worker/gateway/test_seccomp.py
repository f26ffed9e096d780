"""The filter's verdicts, by a machine that runs its program as the kernel would."""

import socket
from collections.abc import Sequence

import pytest

from scaibunker.worker.gateway import seccomp
from scaibunker.worker.gateway.seccomp import (
    AUDIT_ARCH,
    CLONE,
    CLONE3,
    FORBIDDEN,
    RET_ALLOW,
    RET_ERRNO,
    RET_KILL_PROCESS,
    SOCKET,
    Instruction,
    program,
)  # fmt: skip

MACHINES = ("x86_64", "aarch64")
EPERM, ENOSYS = RET_ERRNO | 1, RET_ERRNO | 38
THREAD_FLAGS = 0x3D0F00
"""As the C library starts threads."""


def verdict(code: Sequence[Instruction], arch: int, number: int, argument: int = 0) -> int:
    data = {0: number, 4: arch, 16: argument}
    at = value = 0
    while True:
        operation, if_so, if_not, operand = code[at]
        at += 1
        if operation == seccomp.LOAD_WORD:
            value = data[operand]
        elif operation == seccomp.RETURN:
            return operand
        else:
            so = {
                seccomp.JUMP_EQUAL: value == operand,
                seccomp.JUMP_AT_LEAST: value >= operand,
                seccomp.JUMP_IF_ANY: bool(value & operand),
            }[operation]
            at += if_so if so else if_not


@pytest.mark.parametrize("machine", MACHINES)
class TestProgram:
    def of(self, machine: str, number: int, argument: int = 0) -> int:
        return verdict(program(machine), AUDIT_ARCH[machine], number, argument)

    def test_every_forbidden_call(self, machine: str) -> None:
        for name, number in FORBIDDEN[machine].items():
            assert self.of(machine, number) == EPERM, name

    def test_all_other_calls(self, machine: str) -> None:
        special = {*FORBIDDEN[machine].values(), SOCKET[machine], CLONE[machine], CLONE3}
        for number in set(range(500)) - special:
            assert self.of(machine, number) == RET_ALLOW, number

    def test_sockets(self, machine: str) -> None:
        permitted = {socket.AF_INET, socket.AF_INET6}
        for family in range(46):
            expected = RET_ALLOW if family in permitted else EPERM
            assert self.of(machine, SOCKET[machine], family) == expected

    def test_threads_but_no_processes(self, machine: str) -> None:
        assert self.of(machine, CLONE[machine], THREAD_FLAGS) == RET_ALLOW
        assert self.of(machine, CLONE[machine], 0x1200011) == EPERM  # fork
        assert self.of(machine, CLONE[machine], THREAD_FLAGS | 0x10000000) == EPERM  # new users
        assert self.of(machine, CLONE3) == ENOSYS

    def test_other_architectures(self, machine: str) -> None:
        assert verdict(program(machine), 0x40000003, 11) == RET_KILL_PROCESS  # i386
        assert self.of(machine, 0x40000000 + 1) == RET_KILL_PROCESS


def test_machines_that_are_not_known() -> None:
    with pytest.raises(KeyError):
        program("vax")
