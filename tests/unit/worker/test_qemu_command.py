"""QEMU's command line: confined, without secrets that matter, and with nothing a guest does not need."""

import dataclasses

from scaibunker.worker.vmm.port import GuestMemory, Nic
from scaibunker.worker.vmm.qemu import command
from tests.unit.worker.vmm_config import CONFIG


def _after(argv: list[str], option: str) -> str:
    return argv[argv.index(option) + 1]


def test_the_process_is_confined_before_the_guest_runs() -> None:
    argv = command.build(CONFIG, "tcg")
    assert _after(argv, "-runas") == "700001:700001"
    assert _after(argv, "-chroot") == "/run/x/root"
    assert _after(argv, "-sandbox").startswith("on,")
    assert "--no-new-privs" in argv
    assert argv[argv.index("unshare") : argv.index("--")] == ["unshare", "--net", "--ipc", "--uts"]


def test_it_joins_its_control_groups_first() -> None:
    argv = command.build(CONFIG, "tcg")
    assert argv[:2] == ["/bin/sh", "-c"]
    script = argv[2]
    assert script.index('echo $$ > "$1"') < script.index('echo $$ > "$2"') < script.index("exec")
    assert argv[4:6] == ["/cg/cpu/procs", "/cg/memory/procs"]


def test_an_isolated_machine_has_no_network_device() -> None:
    joined = " ".join(command.build(CONFIG, "tcg"))
    assert "-nodefaults" in joined
    assert "-netdev" not in joined
    assert "virtio-net" not in joined


def test_network_devices_are_descriptors_that_follow_the_memory() -> None:
    nics = (Nic(98, "02:00:00:00:00:01"), Nic(97, "02:00:00:00:00:02"))
    config = dataclasses.replace(CONFIG, nics=nics)
    argv = command.build(config, "tcg")
    assert command.handed_over(config) == [98, 97]
    assert argv[argv.index("-netdev") :][:4] == [
        "-netdev",
        "tap,id=net0,fd=3,vhost=off",
        "-device",
        "virtio-net-pci,netdev=net0,mac=02:00:00:00:00:01,romfile=",
    ]
    assert "tap,id=net1,fd=4,vhost=off" in argv
    config = dataclasses.replace(config, memory=GuestMemory(99, shared=True))
    assert command.handed_over(config) == [99, 98, 97]
    assert "tap,id=net0,fd=4,vhost=off" in command.build(config, "tcg")


def test_the_other_devices_are_the_same_with_a_network_and_without() -> None:
    """Else what is saved of the one would be of no use after an upgrade."""
    config = dataclasses.replace(CONFIG, nics=(Nic(98, "02:00:00:00:00:01"),))
    without, with_one = command.build(CONFIG, "tcg"), command.build(config, "tcg")
    at = with_one.index("-netdev")
    assert without == with_one[:at] + with_one[at + 4 :]
    assert "-device" not in without[at:]


def test_the_image_is_read_only_and_commas_cannot_add_options() -> None:
    drives = [a for a in command.build(CONFIG, "tcg") if a.startswith("driver=raw")]
    image = next(d for d in drives if "node-name=image" in d)
    assert "read-only=on" in image
    assert "filename=/images/a,,b.ext4" in image
    assert "read-only=off" in next(d for d in drives if "node-name=upper" in d)


def test_acceleration_chooses_the_cpu() -> None:
    assert "host" in command.acceleration_options("kvm")
    assert any(o.startswith("tcg") for o in command.acceleration_options("tcg"))


def test_mitigations_are_left_out_for_emulated_cpus_only() -> None:
    assert "mitigations=off" in command.kernel_command_line("00", "tcg")
    assert "mitigations" not in command.kernel_command_line("00", "kvm")


def test_memory_that_is_a_file_has_the_name_of_ordinary_memory() -> None:
    """Else what is saved of a machine with the one could not be restored with the other."""
    private = dataclasses.replace(CONFIG, memory=GuestMemory(99, shared=False))
    backend = _after(command.build(private, "tcg", incoming=True), "-object")
    assert backend.startswith("memory-backend-file,id=pc.ram,mem-path=/proc/self/fd/3,size=256M,")
    assert "share=off" in backend
    assert "x-use-canonical-path-for-ramblock-id=off" in backend
    assert _after(command.build(private, "tcg"), "-machine").endswith(",memory-backend=pc.ram")
    shared = dataclasses.replace(CONFIG, memory=GuestMemory(99, shared=True))
    assert "share=on" in _after(command.build(shared, "tcg"), "-object")
    assert "memory-backend" not in " ".join(command.build(CONFIG, "tcg"))
