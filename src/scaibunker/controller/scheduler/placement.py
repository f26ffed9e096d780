"""The choice of a worker inside the transaction that writes it down."""

from collections.abc import Sequence

from scaibunker.controller.bunkers.domain import ImageRef, Network, Shape
from scaibunker.controller.metrics import ControllerMetrics
from scaibunker.controller.scheduler.domain import Candidate, Demand, Strategy, choose
from scaibunker.controller.scheduler.errors import NoSuitableWorker, WorkerUnavailable
from scaibunker.controller.workers import repository
from scaibunker.controller.workers.domain import Presence, Used, Worker
from scaigrid.db import Writer
from scaigrid.operation import Operation


class Placement:
    """Chooses among the workers as they are in this transaction.

    The workers stay locked until it ends, so that of two replicas the second sees what the first
    has given away.
    """

    def __init__(self, presence: Presence, strategy: Strategy, metrics: ControllerMetrics) -> None:
        self._presence = presence
        self._strategy = strategy
        self._metrics = metrics

    async def choose(
        self, op: Operation, db: Writer, shape: Shape, network: Network, image: ImageRef
    ) -> Worker:
        """The worker that takes a bunker like this. Raises WorkerUnavailable, NoSuitableWorker."""
        demand = Demand(shape, network.profile.value, image.sha256)
        candidates = await self._candidates(op, db)
        try:
            return choose(demand, candidates, self._strategy)
        except (WorkerUnavailable, NoSuitableWorker) as error:
            self._metrics.placement_failures.labels(error.code).inc()
            raise

    async def _candidates(self, op: Operation, db: Writer) -> Sequence[Candidate]:
        workers = await repository.lock_everyone(op, db)  # before what they hold is added up
        used = await repository.usage(op, db)
        now = op.now()
        return [
            Candidate(worker, used.get(worker.id, Used()), self._presence.is_online(worker, now))
            for worker in workers
        ]
