"""The worker daemon's settings, from the environment. One class; the reference docs are made from it."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from scaibunker.wire.worker.tokens import tokens_of
from scaibunker.worker.network.settings import NetworkSettings


class WorkerSettings(BaseSettings):
    """Every setting of `scaibunker-worker`; the environment variable is `SCAIBUNKER_WORKER_` + name."""

    model_config = SettingsConfigDict(
        env_prefix="SCAIBUNKER_WORKER_", extra="ignore", use_attribute_docstrings=True
    )

    token: SecretStr
    """The secret that controller and worker share (`SCAIBUNKER_WORKER_TOKEN`). It never enters a bunker.
    Several, with commas between them or as a JSON list, let it be replaced without a pause: the first is
    shown to the controller, any is accepted from it."""
    data_dir: Path
    """Where machines, spooled output and cached images live. Created with mode 0700."""
    runtime_dir: Path = Path("/run/scaibunker")
    """Where the sockets of machines live; a short path, because socket paths are limited to 107 bytes."""
    controller_url: str | None = None
    """The controller's base URL for heartbeats; null means that the worker reports to nobody."""
    storage_url: str | None = None
    """The base URL of a storage proxy or controller, through which snapshots are stored and fetched; null means
    `controller_url`, and without one a folder of this host."""
    name: Annotated[str, Field(min_length=1, max_length=63)] = Field(
        default_factory=lambda: os.uname().nodename[:63]
    )
    """What operators call this worker; the host's name unless it is set."""
    host: str = "127.0.0.1"
    """The address that the worker's API listens on."""
    port: Annotated[int, Field(ge=0, le=65535)] = 0
    """The port of the worker's API; 0 takes the one of the last start, or any free one."""
    advertise_url: str | None = None
    """The URL at which the controller reaches this worker; null means `http://host:port` (https with a certificate)."""
    tls_certificate: Path | None = None
    """PEM file with the certificate of the worker's API and those between it and its CA; it must be good for
    the host of `advertise_url`. With it the API is served as https; read at start."""
    tls_key: Path | None = Field(default=None, validate_default=True)
    """PEM file with the key of `tls_certificate`, unencrypted."""
    tls_client_ca: Path | None = None
    """PEM file with the CAs whose certificates the controller must show; null means that it needs none."""
    controller_ca: Path | None = None
    """PEM file with the CAs that an https `controller_url` is verified with; null means the system's."""
    kernel: Path | None = None
    """The kernel that machines boot; null means the one that `scaibunker.artifacts` built."""
    initramfs: Path | None = None
    """The initramfs with the guest agent; null means the one that `scaibunker.artifacts` built."""
    image_files: list[Path] = Field(default_factory=list)
    """Images that are linked into the worker's cache at start; named by their SHA-256."""
    acceleration: Literal["auto", "kvm", "tcg"] = "auto"
    """`auto` boots the real kernel under KVM once, with a time limit, and falls back to emulation."""
    probe_cache: Path | None = None
    """File that remembers what the probe found; null means `data_dir/acceleration.json`."""
    boot_timeout_s: Annotated[float, Field(gt=0)] = 90
    """Seconds that a machine may take from its VMM's start to the agent's first answer."""
    heartbeat_interval_s: Annotated[float, Field(gt=0)] = 10
    """Seconds between heartbeats when nothing changes; the controller's answer may change it."""
    concurrent_boots: Annotated[int, Field(ge=1)] = Field(
        default_factory=lambda: max(2, os.cpu_count() or 2)
    )
    """Machines that may boot at the same time; the host's cores (at least 2) unless it is set. As many that sleep may
    wake beside them."""
    capacity_cpu_millicores: Annotated[int, Field(ge=100)] | None = None
    """CPU to give to bunkers, in thousandths of a core; null means four times the host's cores."""
    capacity_memory_mb: Annotated[int, Field(ge=64)] | None = None
    """Memory to give to bunkers, in MiB; null means 80 % of the host's."""
    capacity_disk_mb: Annotated[int, Field(ge=64)] | None = None
    """Disk to give to bunkers, in MiB; null means 80 % of what is free under `data_dir` at start."""
    disk_reserve_mb: Annotated[int, Field(ge=0)] | None = None
    """MiB of the file system under `data_dir` that are left to the bunkers that run: with less than that free, no new
    machine is built here and no snapshot begun, until there is room again. Null means 2 % of it, but at least
    64 and at most 4096."""
    warm_starts: bool = True
    """Whether machines are made of templates: machines of the same image, CPUs and memory that were booted once, ahead
    of them. Off: each one is booted."""
    warm_slots: Annotated[int, Field(ge=0, le=64)] = 3
    """Prepared machines of each of the four shapes (image, CPUs, memory) that were used last; 0 for none. They stand still
    and use no CPU. Without one a machine is made of its template when it is ordered."""
    warm_disk_mb: Annotated[int, Field(ge=0)] = 4096
    """MiB under `data_dir` for templates; those that were used longest ago go first. One takes what its guest has
    written to in its memory, about 90 MiB of 256."""
    warm_memory_mb: Annotated[int, Field(ge=0)] | None = None
    """MiB of memory for templates that are in use and for prepared machines, beside `capacity_memory_mb`; null means 8 %
    of the host's."""
    vmm_uid_base: Annotated[int, Field(ge=1000)] = 700_000
    """Each VMM process runs as a user and group of its own, counted from this id."""
    spool_limit_mb: Annotated[int, Field(ge=1)] = 256
    """MiB of spooled command output per machine; beyond it output is dropped, and said to be."""
    tracing_endpoint: str | None = Field(default=None, repr=False)
    """Where an OpenTelemetry collector takes OTLP over HTTP, without the path: `http://collector:4318`.
    Null means that nothing is traced. Which requests are traced, the controller says."""
    tracing_service_name: Annotated[str, Field(min_length=1, max_length=128)] = "scaibunker-worker"
    """What the daemon is called in traces."""
    tracing_interval_s: Annotated[float, Field(gt=0, le=300)] = 5
    """Seconds that spans are gathered before they are sent."""
    network: NetworkSettings = Field(default_factory=NetworkSettings)
    """Networks of machines; a section of its own."""
    stop_machines_on_exit: bool = False
    """Whether SIGTERM takes the machines down too. Off: they run on and are adopted at the next start."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The worker tokens: the first is shown to the controller, any is accepted from it."""
        return tokens_of(self.token.get_secret_value())

    @field_validator("token")
    @classmethod
    def _are_tokens(cls, value: SecretStr) -> SecretStr:
        tokens_of(value.get_secret_value())
        return value

    @field_validator("tls_key")
    @classmethod
    def _belongs_to_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) is not (info.data.get("tls_certificate") is None):
            raise ValueError("it and tls_certificate are set together")
        return value

    @field_validator("tls_client_ca")
    @classmethod
    def _needs_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if value is not None and info.data.get("tls_certificate") is None:
            raise ValueError("it is of use with tls_certificate alone")
        return value

    @field_validator("tracing_endpoint")
    @classmethod
    def _is_http(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("http://", "https://")):
            raise ValueError("it must begin with http:// or https://")
        return value
