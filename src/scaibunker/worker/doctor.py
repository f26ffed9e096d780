"""What this host can run, and what to install for what it cannot. Reads and probes; changes nothing."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from scaibunker.artifacts.manifest import ArtifactsMissing, load
from scaibunker.artifacts.settings import from_environment
from scaibunker.worker import cgroups
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.finding import Finding
from scaibunker.worker.network import features
from scaibunker.worker.network.bridges import trial
from scaibunker.worker.network.registries import current as registries
from scaibunker.worker.network.registries.operators_file import RegistryFileInvalid
from scaibunker.worker.network.settings import NetworkSettings
from scaibunker.worker.remains import command as remains
from scaibunker.worker.vmm.qemu import command, probe


def collect(probe_memory: Path | None = None) -> list[Finding]:
    """Every finding, the required ones first."""
    findings = [_root(), _tool(command.BINARY, "qemu-system-x86"), _tool("mke2fs", "e2fsprogs")]
    findings += [_tool("zstd", "zstd")]
    findings += [_tool("setpriv", "util-linux"), _tool("unshare", "util-linux")]
    findings += [_control_groups(), _artifacts()]
    findings += [_acceleration(probe_memory)]
    findings += [_device("/dev/net/tun", "the tun module (modprobe tun)")]
    findings += [_tool("nft", "nftables", required=False), _tool("ip", "iproute2", required=False)]
    findings += [*_networks(), *_features(), *_remains()]
    return sorted(findings, key=lambda finding: not finding.required)


def _root() -> Finding:
    ok = os.geteuid() == 0
    return Finding("root", ok, f"uid {os.geteuid()}", None if ok else "run as root", required=True)


def _tool(name: str, package: str, *, required: bool = True) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding(name, False, "missing", f"apt-get install {package}", required)
    return Finding(name, True, _version(path), None, required)


def _version(path: str) -> str:
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return path
    lines = (done.stdout or done.stderr).splitlines()
    return lines[0][:80] if lines and done.returncode == 0 else path


def _control_groups() -> Finding:
    try:
        version = cgroups.detect("doctor").version
    except WorkerFault as fault:
        return Finding("control groups", False, fault.message, "mount cgroup2", required=True)
    return Finding("control groups", True, version, None, required=True)


def _artifacts() -> Finding:
    try:
        artifacts = load()
    except ArtifactsMissing as error:
        return Finding("kernel and images", False, "missing", str(error), required=True)
    names = ", ".join(image.name for image in artifacts.images)
    value = f"kernel {artifacts.boot.version}; images {names}"
    return Finding("kernel and images", True, value, None, required=True)


def _acceleration(memory: Path | None) -> Finding:
    name = "hardware virtualisation"
    try:
        boot = load().boot
    except ArtifactsMissing:
        return Finding(name, False, "not probed: no kernel yet", None, required=False)
    if shutil.which(command.BINARY) is None:
        return Finding(name, False, "not probed: no QEMU", None, required=False)
    memory = memory or default_probe_memory()
    result = asyncio.run(probe.choose("auto", boot.kernel, boot.initramfs, memory))
    if result.kind == "kvm":
        return Finding(name, True, result.reason, None, required=False)
    advice = "machines run under software emulation: slower, otherwise the same"
    return Finding(name, False, result.reason, advice, required=False)


def _networks() -> Iterator[Finding]:
    try:
        settings = NetworkSettings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            name = f"SCAIBUNKER_WORKER_NETWORK_{'_'.join(map(str, problem['loc'])).upper()}"
            yield Finding(name, False, problem["msg"], "mend the setting", required=True)
        return
    yield from _registries(settings.registry_file)


def _features() -> Iterator[Finding]:
    """What of the kernel networks need, by a trial in a namespace that ends with it. Without all of it the worker
    offers the profile `isolated` alone; without bridges all but `transit`."""
    if os.geteuid() != 0:
        return
    for feature in features.probe():
        value, advice = feature.error or "works", feature.advice if feature.error else None
        name = f"networks: {feature.name}"
        yield Finding(name, feature.error is None, value, advice, required=False)
    lacking = trial.missing()
    advice = trial.ADVICE if lacking else None
    yield Finding("networks: bridges", lacking is None, lacking or "works", advice, required=False)


def _remains() -> Iterator[Finding]:
    """What workers have left here that are gone for good. Of what belongs to others, root alone knows enough."""
    if os.geteuid() != 0:
        return
    try:
        yield from remains.findings(remains.places())
    except ValidationError:  # told already
        return
    except WorkerFault as fault:
        yield Finding("left by workers", False, fault.message, None, required=False)


def _registries(file: Path | None) -> Iterator[Finding]:
    """What the profile `registry` may reach here, host by host with who named it; and what was left out."""
    name = "registry hosts"
    try:
        hosts = registries.read(file)
    except RegistryFileInvalid as error:
        advice = (
            "mend the file of SCAIBUNKER_WORKER_NETWORK_REGISTRY_FILE: the worker does not start"
        )
        yield Finding(name, False, str(error), advice, required=True)
        return
    found = len(hosts.sources)
    advice = "list hosts in a file, and name it in SCAIBUNKER_WORKER_NETWORK_REGISTRY_FILE"
    yield Finding(name, found > 0, f"{found} hosts", None if found else advice, required=False)
    for pattern in hosts.patterns:
        value = f"{pattern} ({', '.join(hosts.sources[pattern])})"
        yield Finding("registry host", True, value, None, required=False)
    for note in hosts.notes:
        yield Finding("registry host", False, note, None, required=False)


def default_probe_memory() -> Path:
    """Where `doctor` and `dev` remember the probe's answer."""
    return from_environment().cache_dir / "acceleration.json"


def _device(path: str, advice: str) -> Finding:
    ok = os.access(path, os.R_OK | os.W_OK)
    return Finding(path, ok, "usable" if ok else "missing", None if ok else advice, required=False)
