"""What a daemon and its one VMM hold, to see that nothing grows."""

from pathlib import Path

from tests.host.worker_process import WorkerProcess


def traces(worker: WorkerProcess) -> dict[str, int]:
    """Open files, threads, files on disk (but those that are stored), KiB of memory (the daemon's alone:
    the VMM's is the guest's)."""
    (vmm,) = worker.vmm_pids()
    daemon = Path(f"/proc/{worker.pid}/status").read_text()
    stored = worker.data_dir / "stored"
    return {
        "daemon's files": len(list(Path(f"/proc/{worker.pid}/fd").iterdir())),
        "daemon's processes": len(children(worker)),
        "VMM's files": len(list(Path(f"/proc/{vmm}/fd").iterdir())),
        "VMMs": len(worker.vmm_pids()),
        "files": sum(1 for p in worker.data_dir.rglob("*") if not p.is_relative_to(stored)),
        "sockets": sum(1 for _ in worker.run_dir.rglob("*")),
        "kib": int(daemon.partition("VmRSS:")[2].split()[0]),
    }


def children(worker: WorkerProcess) -> set[int]:
    """Processes that the daemon has started, whichever of its threads did."""
    tasks = Path(f"/proc/{worker.pid}/task").glob("*/children")
    return {int(pid) for task in tasks for pid in task.read_text().split()}


def cpu_ticks(pid: int) -> int:
    """Of a process, in user and kernel."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
