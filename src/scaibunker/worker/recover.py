"""What a new daemon does with what the old one left: take over what lives, remove what nobody owns.

Everything on the host carries its machine's id, or the name of the prepared machine that it was made of and that
its record names: state folders, socket folders and control groups.
Processes are found through the state folders, by pid and start time.
"""

import shutil

import structlog

from scaibunker.worker.errors import WorkerFault
from scaibunker.worker.machines.fleet import Fleet
from scaibunker.worker.machines.host import Host
from scaibunker.worker.machines.record import StateFolder
from scaibunker.worker.templates.stand import slots_folder

log = structlog.get_logger(__name__)


def take_over(host: Host, fleet: Fleet) -> None:
    """Adopt every machine that was written down, then remove leftovers of all others. Raises
    WorkerFault if a record is there and cannot be read."""
    host.machines_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    host.run_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
    for path in sorted(host.machines_dir.iterdir()):
        try:
            machine = fleet.take_over(StateFolder(path))
        except OSError as error:
            raise WorkerFault(
                f"cannot read what was written down of {path.name}: {error}"
            ) from error
        if machine is None:
            log.warning("unreadable_machine_removed", folder=path.name)
            shutil.rmtree(path, ignore_errors=True)
    remove_leftovers(host, {machine.host_name for machine in fleet})
    shutil.rmtree(slots_folder(host), ignore_errors=True)  # their processes are gone by now


async def reclaim_networks(host: Host, fleet: Fleet) -> None:
    """Take away the networks that none of the machines has that were taken over."""
    try:
        await host.networks.reclaim({machine.host_name for machine in fleet})
    except WorkerFault as fault:  # they are closed, and the next daemon tries again
        log.warning("networks_left", reason=fault.message)


def remove_leftovers(host: Host, living: set[str]) -> None:
    """Remove control groups and socket folders of machines that are not in `living`."""
    for name in sorted(host.cgroups.names() - living):
        host.cgroups.kill(name)
        try:
            host.cgroups.delete(name)
        except OSError as error:
            log.warning("control_group_left", name=name, error=str(error))
        else:
            log.warning("leftover_removed", what=f"control group {name}")
    for path in sorted(host.run_dir.iterdir()):
        if path.name not in living and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
            log.warning("leftover_removed", what=f"socket folder {path.name}")
