"""Taking away what a worker has left that nobody will come back for.

In the order in which a daemon does it: machines first, which use the rest; what is written down last, so that whoever is
interrupted can begin again.
"""

import contextlib
import shutil
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from scaibunker.worker import cgroups
from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.gateway import process
from scaibunker.worker.gateway.home import Home
from scaibunker.worker.network import found, netns, nft, slot
from scaibunker.worker.network.naming import Names
from scaibunker.worker.remains import note, survey
from scaibunker.worker.remains.survey import Places, Standing, Worker

NO_ROOT = Path("/nonexistent")


@dataclass(frozen=True, slots=True)
class Reclaimed:
    """What became of one worker's things. `left`: what could not be taken away, and why."""

    worker_id: str
    data_dir: Path | None
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


@dataclass(slots=True)
class _Work:
    removed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def on(self, what: str) -> Iterator[None]:
        """One thing: taken away, or left with the reason."""
        try:
            yield
        except (WorkerFault, OSError, TimeoutError) as error:
            self.left.append(f"{what}: {error}")
        else:
            self.removed.append(what)


async def reclaim(places: Places, named: Collection[str] = ()) -> list[Reclaimed]:
    """Take away what the named workers have left; without a name, what all have whose data folder is gone. Raises
    WorkerFault for a name whose worker runs, or can come back."""
    if named:
        chosen = [survey.worker(places, each) for each in dict.fromkeys(named)]
        for each in chosen:
            _check(each)
    else:
        chosen = [w for w in survey.workers(places) if w.standing is Standing.LOST]
    return [await _reclaim(places, each) for each in chosen]


def _check(worker: Worker) -> None:
    if not worker.things:
        raise WorkerFault(f"{worker.id} has nothing on this host")
    if worker.standing is Standing.RUNNING:
        raise WorkerFault(f"{worker.id} runs on this host: stop its daemon first")
    if worker.standing is Standing.STOPPED:
        raise WorkerFault(
            f"{worker.id} can come back: its data folder {worker.data_dir} is there. To give it up, start it"
            " with SCAIBUNKER_WORKER_STOP_MACHINES_ON_EXIT=true and stop it, or remove the folder"
        )


async def _reclaim(places: Places, worker: Worker) -> Reclaimed:
    work, path = _Work(), places.note(worker.id)
    with note.held(path):  # from here on no daemon of it starts
        back = survey.without_daemon(worker.id, worker.data_dir) is Standing.STOPPED
        if back or places.claims(worker.id).in_use:
            raise WorkerFault(f"{worker.id} has come back")
        _machines(worker.id, work)
        await _gateway(places, worker.id, work)
        await netns.outside(partial(_networks, places, worker.id, work))
        folder = places.runtime_dir / worker.id
        if folder.exists():
            with work.on("sockets"):
                shutil.rmtree(folder)
        if not work.left:
            note.forget(path)
    return Reclaimed(worker.id, worker.data_dir, tuple(work.removed), tuple(work.left))


def _machines(worker_id: str, work: _Work) -> None:
    """By their control groups: every VMM is in one of its machine's name."""
    try:
        groups = cgroups.detect(worker_id)
    except WorkerFault:  # and so there were no machines
        return
    for name in sorted(groups.names()):
        with work.on(f"control group {name}"):
            groups.kill(name)
            groups.delete(name)
    groups.close()


async def _gateway(places: Places, worker_id: str, work: _Work) -> None:
    run_dir = places.runtime_dir / f"{worker_id}{survey.GATEWAY}"
    if run_dir.exists():
        with work.on("gateway"):
            await process.stop(Home(run_dir=run_dir, root_dir=NO_ROOT, uid=0))


def _networks(places: Places, worker_id: str, work: _Work) -> None:
    names, claims = Names.of(worker_id), places.claims(worker_id)
    mine = claims.mine()
    for number in sorted(found.numbers(names) | mine.keys()):
        with work.on(f"network {number}"):
            slot.demolish(names.namespace(number), names.link(number))
            claims.give_back(number)
            if claim := mine.get(number):
                slot.forget_flows(claim.ranges.facts(number, claim.mtu, 0))
    for namespace in survey.bridges(names):
        with work.on(f"bridge {namespace}"):
            netns.remove(namespace)
    if survey.has_rules(names):
        with work.on(f"table {names.table}"):
            nft.delete_table("inet", names.table)
    claims.close()
