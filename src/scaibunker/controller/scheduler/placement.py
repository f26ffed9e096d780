"""The choice of a worker inside the transaction that writes it down."""

from collections.abc import Sequence

from scaibunker.controller.bunkers.domain import ImageRef, Network, Shape
from scaibunker.controller.scheduler.domain import Candidate, Demand, Strategy, choose
from scaibunker.controller.workers import repository
from scaibunker.controller.workers.domain import Presence, Used, Worker
from scaigrid.db import Writer
from scaigrid.operation import Operation


class Placement:
    """Chooses among the workers as they are in this transaction."""

    def __init__(self, presence: Presence, strategy: Strategy) -> None:
        self._presence = presence
        self._strategy = strategy

    async def choose(
        self, op: Operation, db: Writer, shape: Shape, network: Network, image: ImageRef
    ) -> Worker:
        """The worker that takes a bunker like this. Raises WorkerUnavailable, NoSuitableWorker."""
        demand = Demand(shape, network.profile.value, image.sha256)
        return choose(demand, await self._candidates(op, db), self._strategy)

    async def _candidates(self, op: Operation, db: Writer) -> Sequence[Candidate]:
        used = await repository.usage(op, db)
        now = op.now()
        return [
            Candidate(worker, used.get(worker.id, Used()), self._presence.is_online(worker, now))
            for worker in await repository.everyone(op, db)
        ]
