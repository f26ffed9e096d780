"""A machine's network devices, on the interfaces that it was given."""

import contextlib
import dataclasses
import os
from collections.abc import Iterator

from scaibunker.worker.network.port import MachineNetwork
from scaibunker.worker.vmm.port import Nic, VmmConfig


@contextlib.contextmanager
def wired(config: VmmConfig, network: MachineNetwork | None) -> Iterator[VmmConfig]:
    """`config` with a device for each interface, whose descriptors are open until the block is left: the VMM has its
    own by then. Raises WorkerFault."""
    if network is None:
        yield config
        return
    taps = network.open_taps()
    try:
        macs = [interface.mac for interface in network.guest.interfaces]
        nics = tuple(Nic(tap, mac) for tap, mac in zip(taps, macs, strict=True))
        yield dataclasses.replace(config, nics=nics)
    finally:
        for tap in taps:
            os.close(tap)
