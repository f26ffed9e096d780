"""The day itself: second by second, what ends and what is asked for, judged and placed.

A second is handled as the product would handle concurrent callers: quotas are held in the order in which
they were asked for, then each create that holds its quota is placed, in the same order. Replicas hear of
each other's places and of what was given back once a second, as `scheduler.view` does; creates go to
them in turn. What a create held that found no worker is let go with the next second.
"""

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.scale.agenda import Agenda
from benchmarks.scale.fleet import Fleet, Worker
from benchmarks.scale.judges import Asked, Judge, Witness
from benchmarks.scale.pool import Pool
from benchmarks.scale.quality import Look, look
from benchmarks.scale.replica import Scheduler
from benchmarks.scale.workload import Request
from scaibunker.controller.quotas.domain import amounts_of, claim
from scaibunker.controller.quotas.errors import BunkerQuotaExceeded
from scaibunker.controller.scheduler.domain import Demand, Place
from scaibunker.controller.workers.domain import Held
from scaigrid.errors import GridError

WINDOW_S = 1.0
LOOK_S = 900.0
NOTICED_S = 30.0
"""After how long without a heartbeat a worker is offline."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happens: `end` of a bunker, or an incident of a worker."""

    kind: str
    subject: str


@dataclass(slots=True)
class Counts:
    """What became of the creates, in all or in a part of the day. `refused` by code and what was
    lacking; `placed_again`: on a worker that had failed and was not yet known to have."""

    asked: int = 0
    made: int = 0
    over_quota: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    refused_pooled: int = 0
    placed_again: int = 0
    lost_with_worker: int = 0
    failed_workers: int = 0
    drained_workers: int = 0


@dataclass(frozen=True, slots=True)
class Part:
    """A quarter of an hour: how the fleet was at their end, and what happened in them."""

    at: float
    fleet: Look
    counts: Counts


@dataclass(slots=True)
class _Live:
    request: Request
    place: Place
    since: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a day came to. `left` is what was still held after the last bunker had ended."""

    total: Counts
    parts: Sequence[Part]
    most_at_once: int
    left: int
    judged: int
    judging_s: float
    placing_s: float


class Day:
    """One run."""

    def __init__(
        self,
        fleet: Fleet,
        schedulers: Sequence[Scheduler],
        judge: Judge,
        said: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._fleet = fleet
        self._schedulers = schedulers
        self._judge = judge
        self._said = said
        self._witness = Witness()
        self._pool = Pool(fleet.total())
        self._pooled: dict[str, Held] = {}
        self._live: dict[str, _Live] = {}
        self._agenda: Agenda[Event] = Agenda()
        self._let_go: list[str] = []
        self._total, self._part = Counts(), Counts()
        self._parts: list[Part] = []
        self._turn = self._most = self._judged = 0
        self._judging_ns = self._placing_ns = 0

    async def run(
        self,
        requests: Iterator[Request],
        incidents: Iterator[tuple[float, str, str]],
        hours: float,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Let it happen, or so much of it as comes before it is `stopped`; at the end all bunkers end
        at their times, and nothing new comes."""
        for at, kind, worker_id in incidents:
            self._agenda.put(at, Event(kind, worker_id))
        arrivals = _Ahead(requests)
        at, next_look, end = 0.0, LOOK_S, hours * 3600
        while at < end and not stopped():
            await self._second(at + WINDOW_S, arrivals.until(at + WINDOW_S))
            at += WINDOW_S
            if at >= next_look:
                self._look(at)
                next_look += LOOK_S
        while self._agenda:
            at += 3600
            await self._second(at, [])
        await self._second(at, [])  # what the last ones held is let go
        return Outcome(
            total=self._total,
            parts=self._parts,
            most_at_once=self._most,
            left=await self._what_is_left(),
            judged=self._judged,
            judging_s=self._judging_ns / 1e9,
            placing_s=self._placing_ns / 1e9,
        )

    async def _second(self, end: float, arrivals: Sequence[Request]) -> None:
        happening: list[tuple[float, Event | Request]] = list(
            heapq.merge(
                self._agenda.until(end),
                ((each.at, each) for each in arrivals),
                key=lambda each: each[0],
            )
        )
        refused = await self._hold(happening)
        begun = time.perf_counter_ns()
        changed = [self._fleet.workers[each] for each in self._fleet.changed]
        self._fleet.changed.clear()
        for scheduler in self._schedulers:
            scheduler.tell(changed)
        for at, each in happening:
            if isinstance(each, Request):
                self._create(each, refused[each.bunker_id])
            else:
                self._happen(at, each)
        self._placing_ns += time.perf_counter_ns() - begun
        self._most = max(self._most, len(self._live))

    async def _hold(
        self, happening: Sequence[tuple[float, Event | Request]]
    ) -> dict[str, BunkerQuotaExceeded | None]:
        """Hold what is asked for and let go what has ended, in order; what is refused, by bunker."""
        asked: list[Asked] = list(self._let_go)
        self._let_go.clear()
        for _, each in happening:
            if isinstance(each, Request):
                amounts = amounts_of(each.shape, persistent=each.persistent)
                user = each.user
                asked.append(claim(each.bunker_id, user.id, amounts, user.applied))
            elif each.kind == "end" and each.subject in self._live:
                asked.append(each.subject)
        begun = time.perf_counter_ns()
        answers = await self._judge.judge(asked)
        self._judging_ns += time.perf_counter_ns() - begun
        self._judged += len(asked)
        refused: dict[str, BunkerQuotaExceeded | None] = {}
        for one, answer in zip(asked, answers, strict=True):
            if isinstance(one, str):
                self._witness.let_go(one)
                continue
            refused[one.bunker_id] = answer
            if answer is None:
                self._witness.held(one)
        return refused

    def _create(self, request: Request, over: BunkerQuotaExceeded | None) -> None:
        self._count("asked")
        if over is not None:
            resource = str(over.details[0]["resource"])
            for counts in (self._total, self._part):
                counts.over_quota[resource] = counts.over_quota.get(resource, 0) + 1
            return
        pooled = self._pool.take(request.shape)
        if pooled is None:
            self._count("refused_pooled")
        else:
            self._pooled[request.bunker_id] = pooled
        placed = self._place(request)
        self._agenda.put(request.at + request.lifetime_s, Event("end", request.bunker_id))
        if isinstance(placed, GridError):
            field_of = str(placed.details[0]["field"])
            gpu = " (of a GPU bunker)" if request.shape.gpu_count else ""
            why = f"{placed.code.value}: {field_of}{gpu}"
            for counts in (self._total, self._part):
                counts.refused[why] = counts.refused.get(why, 0) + 1
            self._let_go.append(request.bunker_id)
            return
        self._count("made")
        self._live[request.bunker_id] = _Live(request, placed, request.at)

    def _place(self, request: Request) -> Place | GridError:
        scheduler = self._schedulers[self._turn % len(self._schedulers)]
        self._turn += 1
        demand = Demand(request.shape, request.network_profile, request.image)
        return scheduler.place(demand, request.bunker_id)

    def _happen(self, at: float, event: Event) -> None:
        if event.kind == "end":
            self._end(event.subject)
            return
        worker = self._fleet.workers[event.subject]
        if event.kind == "fail":
            worker.alive = False
            self._agenda.put(at + NOTICED_S, Event("noticed", worker.id))
            self._count("failed_workers")
        elif event.kind == "noticed":
            worker.online = False
            self._rescue(at, worker)
        elif event.kind == "return":
            self._lose(worker)
            worker.alive = worker.online = True
        elif event.kind == "drain":
            worker.draining = True
            self._count("drained_workers")
        elif event.kind == "resume":
            worker.draining = False
        self._fleet.touch(worker)

    def _end(self, bunker_id: str) -> None:
        pooled = self._pooled.pop(bunker_id, None)
        if pooled is not None:
            self._pool.give_back(pooled)
        live = self._live.pop(bunker_id, None)
        if live is not None:
            self._fleet.give_back(live.place, bunker_id)

    def _rescue(self, at: float, worker: Worker) -> None:
        """Bunkers that were given to it after it had failed were never built: they are placed again,
        and their quota is kept."""
        self._fleet.touch(worker)
        for scheduler in self._schedulers:
            scheduler.tell([worker])
        for bunker_id in sorted(worker.bunkers):
            live = self._live[bunker_id]
            if live.since < at - NOTICED_S:
                continue
            placed = self._place_again(live)
            if isinstance(placed, GridError):
                self._fail(bunker_id)
            else:
                self._count("placed_again")

    def _place_again(self, live: _Live) -> Place | GridError:
        bunker_id = live.request.bunker_id
        placed = self._place(live.request)
        if isinstance(placed, GridError):
            return placed
        self._fleet.give_back(live.place, bunker_id)
        live.place = placed
        return placed

    def _lose(self, worker: Worker) -> None:
        """It comes back without its machines."""
        for bunker_id in sorted(worker.bunkers):
            self._fail(bunker_id)

    def _fail(self, bunker_id: str) -> None:
        self._end(bunker_id)
        self._let_go.append(bunker_id)
        self._count("lost_with_worker")

    def _count(self, what: str) -> None:
        for counts in (self._total, self._part):
            setattr(counts, what, getattr(counts, what) + 1)

    def _look(self, at: float) -> None:
        part = Part(at, look(self._fleet, len(self._live)), self._part)
        self._parts.append(part)
        self._part = Counts()
        self._said(
            f"{at / 3600:5.1f} h: {self._total.asked:,} asked for, {len(self._live):,} live, "
            f"{part.fleet.cpu_used:.0%} CPU, {sum(part.counts.refused.values())} refused, "
            f"{sum(part.counts.over_quota.values())} over quota"
        )

    async def _what_is_left(self) -> int:
        held = sum(
            worker.held != Held(gpus=_zeroes(worker)) for worker in self._fleet.workers.values()
        )
        counted = await self._judge.counted()
        return held + len(counted) + len(self._witness.sums) + (not self._pool.is_empty)


def _zeroes(worker: Worker) -> dict[str, int]:
    return dict.fromkeys(worker.held.gpus, 0)


class _Ahead:
    """Requests by time, of which the next one is looked at before it is taken."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests
        self._next = next(requests, None)

    def until(self, end: float) -> list[Request]:
        found: list[Request] = []
        while self._next is not None and self._next.at < end:
            found.append(self._next)
            self._next = next(self._requests, None)
        return found
