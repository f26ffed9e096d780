"""Reports that are not true, made of the true one: for `Faults.lie`."""

from collections.abc import Sequence

from scaibunker.testing.faults import Lie
from scaibunker.wire.guest.execs import ExecExit
from scaibunker.wire.worker.heartbeat import Heartbeat
from scaibunker.wire.worker.machines import ExecStatus, MachineState, MachineStatus


def forgetting(report: Heartbeat) -> Heartbeat:
    """It has no machines."""
    return report.model_copy(update={"machines": []})


def calling_all(state: MachineState) -> Lie:
    """All its machines are in that state."""

    def lie(report: Heartbeat) -> Heartbeat:
        machines = [
            m.model_copy(update={"state": state, "reason": "made up"}) for m in report.machines
        ]
        return report.model_copy(update={"machines": machines})

    return lie


def inventing(bunker_ids: Sequence[str], state: MachineState = MachineState.RUNNING) -> Lie:
    """It has these machines too, whoever they belong to."""

    def lie(report: Heartbeat) -> Heartbeat:
        known = {machine.bunker_id for machine in report.machines}
        made_up = [
            MachineStatus(bunker_id=each, state=state, reason="made up")
            for each in bunker_ids
            if each not in known
        ]
        return report.model_copy(update={"machines": [*report.machines, *made_up]})

    return lie


def ending(bunker_id: str, exec_ids: Sequence[str], exit_code: int = 0) -> Lie:
    """These commands of a bunker have ended, whether or not they are its own."""
    end = ExecExit(exit_code=exit_code, signal=None, timed_out=False, duration_ms=1)

    def lie(report: Heartbeat) -> Heartbeat:
        made_up = [
            ExecStatus(bunker_id=bunker_id, exec_id=each, running=False, exit=end)
            for each in exec_ids
        ]
        return report.model_copy(update={"finished_execs": [*report.finished_execs, *made_up]})

    return lie
