"""A process that does with networks what a daemon does, and is killed at a step: `python -m … WORKER CLAIMS STEP`.

It writes each step that is done to its standard output; at the one of number STEP (from 0) it ends itself by SIGKILL.
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from scaibunker.wire.api.bunkers import NetworkProfile
from scaibunker.wire.worker.network import NetworkOrder
from scaibunker.worker.network.port import Owner
from tests.host.networks.stand import NotingGateway, networks

MACHINE = "bnk_killed"


async def main(worker_id: str, claims_dir: Path, last: int) -> None:
    steps = 0

    def done(step: str) -> None:
        nonlocal steps
        os.write(1, f"{step}\n".encode())
        if steps == last:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    order = NetworkOrder(profile=NetworkProfile.UNRESTRICTED, bandwidth_mbit=10)
    owner = Owner("bnk_killed", "ten_test")
    ours = networks(worker_id, claims_dir, NotingGateway(), done, pool_size=1)
    await ours.start()
    await ours.take(MACHINE, None, order)
    await ours.admit(MACHINE, owner, order)
    await ours.give_back(MACHINE)
    await ours.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])))
