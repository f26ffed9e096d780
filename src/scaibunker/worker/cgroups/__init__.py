"""CPU, memory and process limits of a VMM process. `detect` picks the host's kind: v2 first, else v1."""

from scaibunker.worker.cgroups.detect import detect, workers
from scaibunker.worker.cgroups.port import Cgroups, Limits

__all__ = ["Cgroups", "Limits", "detect", "workers"]
