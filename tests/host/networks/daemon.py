"""A process that does with networks what a daemon does, and is killed at a step: `python -m … WORKER CLAIMS STEP`.

It writes each step that is done to its standard output; at STEP, a number from 0 or the name of one, it ends itself by SIGKILL.
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
from tests.waiting import until

MACHINE = "bnk_killed"


async def main(worker_id: str, claims_dir: Path, last: str) -> None:
    steps = 0

    def done(step: str) -> None:
        nonlocal steps
        os.write(1, f"{step}\n".encode())
        if last in (step, str(steps)):
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    order = NetworkOrder(profile=NetworkProfile.UNRESTRICTED, bandwidth_mbit=10)
    owner = Owner("bnk_killed", "ten_test")
    ours = networks(worker_id, claims_dir, NotingGateway(), done, pool_size=1)
    await ours.start()
    await ours.reclaim([])
    await until(lambda: ours.prepared == 1)
    await ours.take(MACHINE, None, order)
    await ours.admit(MACHINE, owner, order)
    await until(lambda: ours.prepared == 1)  # the next is made while this one is in use
    await ours.give_back(MACHINE)
    await ours.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
