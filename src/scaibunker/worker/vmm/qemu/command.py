"""QEMU's command line, as a pure function of a machine's configuration.

Only devices that a bunker needs; no default ones. The process opens its files as root, then
enters an empty root directory, drops to the machine's own user, and is confined by seccomp before
the guest's first instruction (`-chroot`, `-runas`, `-sandbox`).
"""

from pathlib import Path

from scaibunker.wire.guest.handshake import CMDLINE_TOKEN, PORT_NAME
from scaibunker.worker.vmm.port import VmmConfig
from scaibunker.worker.vmm.process import HANDED_OVER

BINARY = "qemu-system-x86_64"
QMP_SOCKET = "qmp.sock"
CHANNEL_SOCKET = "agent.sock"
CONSOLE_SOCKET = "console.sock"
EMPTY_ROOT = "root"

LAYOUT = 1
"""Raised when a machine's devices change, so that what was saved with other ones is not restored."""

UPPER = "upper"
"""The writable disk's name."""

RAM = "pc.ram"
"""What QEMU calls the memory of a machine of this kind."""

TRANSLATION_CACHE_MB = 64
"""MiB for TCG's translated code; QEMU's own default is up to 1 GiB per machine."""


def acceleration_options(acceleration: str) -> list[str]:
    """`-accel` and `-cpu` for `kvm` or `tcg`."""
    if acceleration == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", f"tcg,thread=multi,tb-size={TRANSLATION_CACHE_MB}", "-cpu", "max"]


def kernel_command_line(token_hex: str, acceleration: str) -> str:
    """What the guest kernel is told. Self-tests of the crypto code cost 0.2 s of each boot under
    emulation; a panic ends the machine, so that its owner hears of it."""
    words = [
        "console=ttyS0",
        "quiet",
        "panic=-1",
        "random.trust_cpu=on",
        "cryptomgr.notests",
        "no_timer_check",
        f"{CMDLINE_TOKEN}={token_hex}",
    ]
    if acceleration == "tcg":
        # An emulated CPU has none of the flaws that these work around, and translated code does not
        # get their protection anyway; without them a fork and exec takes 0.6 times as long.
        words.append("mitigations=off")
    return " ".join(words)


def _drive(node: str, path: Path, *, read_only: bool) -> list[str]:
    blockdev = (
        f"driver=raw,node-name={node},read-only={'on' if read_only else 'off'},"
        f"file.driver=file,file.filename={_escaped(path)},file.locking=off"
    )
    if not read_only:
        # Blocks that the guest frees go back to the host: the file stays sparse. Its pages stay in the
        # host's cache when the machine is saved, for it is copied then, and it goes on.
        blockdev += ",discard=unmap,detect-zeroes=unmap,file.drop-cache=off"
    return ["-blockdev", blockdev, "-device", f"virtio-blk-pci,drive={node}"]


def _socket(name: str, path: Path) -> list[str]:
    return ["-chardev", f"socket,id={name},path={_escaped(path)},server=on,wait=off"]


def _escaped(path: Path) -> str:
    """A path inside QEMU's comma-separated options: a comma is written twice."""
    return str(path).replace(",", ",,")


def _memory(config: VmmConfig) -> list[str]:
    """The guest's RAM as a file that QEMU is handed, under the name that RAM has anyway: a state that
    has it in it can be restored by a machine without such a file, and the other way round."""
    if config.memory is None:
        return []
    share = "on" if config.memory.shared else "off"
    return [
        "-object",
        f"memory-backend-file,id={RAM},mem-path=/proc/self/fd/{HANDED_OVER},size={config.memory_mb}M,"
        f"share={share},x-use-canonical-path-for-ramblock-id=off",
    ]  # fmt: skip


def handed_over(config: VmmConfig) -> list[int]:
    """The open files that the process needs, in the order of the numbers by which its command line knows them."""
    memory = [] if config.memory is None else [config.memory.descriptor]
    return [*memory, *(nic.tap for nic in config.nics)]


def _nics(config: VmmConfig) -> list[str]:
    """Open TAP devices: QEMU makes none, and needs no right to. Frames are not passed on by the host's kernel
    (`vhost`), for what it is given would be outside of what confines the process."""
    first = HANDED_OVER + (config.memory is not None)
    options: list[str] = []
    for number, nic in enumerate(config.nics):
        options += ["-netdev", f"tap,id=net{number},fd={first + number},vhost=off"]
        options += ["-device", f"virtio-net-pci,netdev=net{number},mac={nic.mac},romfile="]
    return options


def launch_prefix(cgroup_procs: tuple[Path, ...]) -> list[str]:
    """What runs before QEMU, in the same process: join the cgroups, then fresh namespaces.

    The VMM itself has no network; frames of its guest reach it through descriptors alone, and `isolated` machines
    have none.
    """
    joins = "".join(f'echo $$ > "${index}" && ' for index in range(1, len(cgroup_procs) + 1))
    script = f'{joins}shift {len(cgroup_procs)} && exec "$@"'
    return [
        "/bin/sh", "-c", script, "sh", *map(str, cgroup_procs),
        "setpriv", "--no-new-privs", "unshare", "--net", "--ipc", "--uts", "--",
    ]  # fmt: skip


def build(config: VmmConfig, acceleration: str, *, incoming: bool = False) -> list[str]:
    """The whole argument vector. `incoming`: it waits to be told where its memory and devices come from.

    Devices and their order are part of what a saved state means: a change of them is one of
    `LAYOUT`. Network devices come last, so that machines without any are what they were before there were some.
    """
    run = config.run_dir
    backend = f",memory-backend={RAM}" if config.memory else ""
    return [
        *launch_prefix(config.cgroup_procs),
        BINARY,
        "-name", f"guest={config.machine_id},debug-threads=on",
        "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        *_memory(config),
        "-machine", f"q35,usb=off,vmport=off,hpet=off,smm=off,sata=off,smbus=off,graphics=off{backend}",
        *acceleration_options(acceleration),
        "-smp", str(config.vcpus),
        "-m", f"{config.memory_mb}M",
        "-kernel", str(config.kernel),
        "-initrd", str(config.initramfs),
        "-append", kernel_command_line(config.token_hex, acceleration),
        *_drive("image", config.image, read_only=True),
        *_drive(UPPER, config.upper_disk, read_only=False),
        *_socket("console", run / CONSOLE_SOCKET),
        "-serial", "chardev:console",
        *_socket("agent", run / CHANNEL_SOCKET),
        "-device", "virtio-serial-pci,max_ports=4",
        "-device", f"virtserialport,chardev=agent,name={PORT_NAME}",
        "-object", "rng-random,id=rng,filename=/dev/urandom",
        "-device", "virtio-rng-pci,rng=rng",
        *_nics(config),
        "-qmp", f"unix:{_escaped(run / QMP_SOCKET)},server=on,wait=off",
        "-sandbox", "on,obsolete=deny,spawn=deny,resourcecontrol=deny",
        "-chroot", str(run / EMPTY_ROOT),
        "-runas", f"{config.uid}:{config.uid}",
        *(["-incoming", "defer"] if incoming else []),
    ]  # fmt: skip
