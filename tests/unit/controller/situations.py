"""What the reconciler finds of a bunker, made for tests."""

from datetime import timedelta
from typing import Any

from scaibunker.controller.bunkers.decide import Situation
from scaibunker.controller.workers.fleet import Absence, Sight
from scaibunker.wire.worker.machines import MachineState, MachineStatus
from tests.unit.controller.builders import NOW


def machine(state: MachineState, **more: Any) -> MachineStatus:
    return MachineStatus(bunker_id="bnk_1", state=state, **more)


def situation(seen: MachineStatus | Absence = Absence.UNKNOWN, **changes: Any) -> Situation:
    values: dict[str, Any] = {
        "now": NOW,
        "sight": Sight(seen, changes.pop("age_s", 0.0), changes.pop("asked", True)),
        "known_s": 100.0,
        "worker_lost": False,
        "worker_fit": True,
        "overdue": None,
        "provision_timeout_s": 60,
        "order_timeout_s": 20,
        "look_after_s": 2,
        "listening_since": NOW - timedelta(days=1),
    }
    return Situation(**{**values, **changes})
