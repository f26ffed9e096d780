"""Who asks for what and when: a day of creates, the same for the same seed.

Arrivals follow the hour of the day, with bursts in which one user starts many at once. Most bunkers are
short runs of agents, of seconds to minutes; a few live for hours, and those hold most of the fleet.
"""

import math
import random
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

from benchmarks.scale.organisation import Organisation, User
from scaibunker.controller.bunkers.domain import Shape

DAY_S = 86_400.0
BUSIEST_S = 14.5 * 3600
SWING = 0.75
"""How far the rate of arrivals swings about its mean."""
BURSTS_SHARE = 0.10
"""Of all bunkers, those that come in bursts."""
BURST_SIZE = (20, 400)
SAMPLE = 20_000
STEP_S = 600.0
"""Requests, at most, by which it is foreseen how much will be in use."""
SHORTEST_S = 2.0
"""Longer than the second in which a bunker is made (`day.WINDOW_S`)."""

SHAPES: tuple[tuple[str, Shape, float], ...] = (
    ("tiny", Shape(250, 256, 1024), 30),
    ("small", Shape(500, 512, 2048), 25),
    ("standard", Shape(1000, 2048, 4096), 22),
    ("medium", Shape(2000, 4096, 10_240), 12),
    ("memory", Shape(2000, 16_384, 20_480), 5),
    ("large", Shape(4000, 8192, 20_480), 3.5),
    ("largest", Shape(8000, 32_768, 40_960), 2.5),
)
SHAPE_OF = {name: shape for name, shape, _ in SHAPES}
_SHAPE_LIST = [shape for _, shape, _ in SHAPES]
_SHAPE_WEIGHTS = list(accumulate(weight for _, _, weight in SHAPES))

GPU_TYPES = ("l4", "a100", "h100")
IMAGES = tuple(f"{number:064x}" for number in range(24))
_IMAGE_WEIGHTS = list(accumulate(1 / (rank + 1) ** 1.3 for rank in range(len(IMAGES))))
PROFILES = ("isolated", "registry", "transit")
_PROFILE_WEIGHTS = (80, 95, 100)

_LIVES = (
    # share, median in s, sigma of its logarithm: runs of an agent, working sessions, services
    (0.68, 45.0, 1.0),
    (0.21, 900.0, 0.9),
    (0.11, 14_400.0, 0.8),
)
_LIFE_WEIGHTS = list(accumulate(share for share, _, _ in _LIVES))


@dataclass(frozen=True, slots=True)
class Request:
    """One create, and how long the bunker lives if it is made."""

    bunker_id: str
    at: float
    user: User
    shape: Shape
    image: str
    network_profile: str
    persistent: bool
    lifetime_s: float
    lives_for_hours: bool


@dataclass(frozen=True, slots=True)
class Mix:
    """What is asked for. `stretch`: how much longer than `_LIVES` says those live that live for hours."""

    bunkers: int
    hours: float
    persistent_share: float
    gpu_share: float
    stretch: float = 1.0

    @property
    def peak_rate(self) -> float:
        """Creates a second at the busiest time, bursts aside."""
        steps = [curve(step * 60.0) for step in range(round(self.hours * 60))]
        return self.bunkers / (self.hours * 3600) * max(steps) / (sum(steps) / len(steps))


def curve(at: float) -> float:
    """The rate of arrivals at a time of the day, of a mean of 1."""
    return 1 + SWING * math.cos(2 * math.pi * (at - BUSIEST_S) / DAY_S)


def day(mix: Mix, organisation: Organisation, seed: int) -> Iterator[Request]:
    """The requests, in the order of their times."""
    chance = random.Random(f"requests {seed}")  # noqa: S311 - the same load in every run
    for number, (at, user) in enumerate(_arrivals(mix, organisation, seed)):
        yield _request(number, at, user or organisation.pick(chance), mix, chance)


def fitted(mix: Mix, millicores: int, fill: float) -> tuple[Mix, float]:
    """The mix in which those that live for hours live so long that at the busiest moment so much of all
    `millicores` would be in use if none was refused; and how many bunkers there would be then. What is
    asked for bounds it: the stretch stays between a thousandth and twenty."""
    chance = random.Random("a sample")  # noqa: S311
    nobody, some_time = User("", "", (), ()), _times(mix, chance)
    count = max(1000, min(SAMPLE, mix.bunkers))
    sample = [_request(0, some_time(), nobody, mix, chance) for _ in range(count)]
    least, most = 0.001, 20.0
    for _ in range(14):
        stretch = math.sqrt(least * most)
        if _most(mix, sample, stretch)[1] < fill * millicores:
            least = stretch
        else:
            most = stretch
    stretch = round(math.sqrt(least * most), 3)
    return replace(mix, stretch=stretch), _most(mix, sample, stretch)[0]


def _most(mix: Mix, sample: Sequence[Request], stretch: float) -> tuple[float, float]:
    """The most bunkers at a time if none is refused, and the most millicores."""
    steps = max(1, round(mix.hours * 6))
    bunkers, cpu = [0.0] * (steps + 2), [0.0] * (steps + 2)
    for request in sample:
        life = request.lifetime_s * (stretch if request.lives_for_hours else 1)
        first = int(request.at / STEP_S)
        last = min(steps + 1, int((request.at + life) / STEP_S))
        # One that does not live to the next step counts for its part of this one.
        part, last = (life / STEP_S, first + 1) if last == first else (1.0, last)
        for of, amount in ((bunkers, 1), (cpu, request.shape.cpu_millicores)):
            of[first] += part * amount
            of[last] -= part * amount
    scale = mix.bunkers / len(sample)
    return max(accumulate(bunkers)) * scale, max(accumulate(cpu)) * scale


def _times(mix: Mix, chance: random.Random) -> Callable[[], float]:
    """Times of the day, as often as bunkers are asked for at them."""
    end = mix.hours * 3600
    minutes = list(accumulate(curve(step * 60.0) for step in range(max(1, round(end / 60)))))

    def some_time() -> float:
        drawn = chance.random() * minutes[-1]
        return min(end - 1e-6, (bisect_left(minutes, drawn) + chance.random()) * 60)

    return some_time


def _arrivals(mix: Mix, organisation: Organisation, seed: int) -> list[tuple[float, User | None]]:
    chance = random.Random(f"arrivals {seed}")  # noqa: S311
    end, some_time = mix.hours * 3600, _times(mix, chance)
    found: list[tuple[float, User | None]] = []
    bursting = round(mix.bunkers * BURSTS_SHARE)
    while len(found) < bursting:
        user, at, within = organisation.pick(chance), some_time(), chance.uniform(10, 300)
        size = min(chance.randint(*BURST_SIZE), bursting - len(found))
        found += [(min(end - 1e-6, at + chance.random() * within), user) for _ in range(size)]
    found += [(some_time(), None) for _ in range(mix.bunkers - bursting)]
    found.sort(key=lambda each: each[0])
    return found


def _request(number: int, at: float, user: User, mix: Mix, chance: random.Random) -> Request:
    persistent = chance.random() < mix.persistent_share
    gpu = chance.random() < mix.gpu_share
    kind = 2 if persistent or gpu else chance.choices((0, 1, 2), cum_weights=_LIFE_WEIGHTS)[0]
    _, median, sigma = _LIVES[kind]
    life = chance.lognormvariate(math.log(median), sigma)
    shape = chance.choices(_SHAPE_LIST, cum_weights=_SHAPE_WEIGHTS)[0]
    if gpu:
        count = chance.choice((1, 1, 1, 1, 2, 2, 4))
        kind_of_gpu = chance.choice((*GPU_TYPES, *GPU_TYPES, None))
        shape = Shape(2000 * count, 8192 * count, 20_480, count, kind_of_gpu)
    return Request(
        bunker_id=f"bnk_{number:07}",
        at=at,
        user=user,
        shape=shape,
        image=chance.choices(IMAGES, cum_weights=_IMAGE_WEIGHTS)[0],
        network_profile=chance.choices(PROFILES, cum_weights=_PROFILE_WEIGHTS)[0],
        persistent=persistent,
        lifetime_s=max(SHORTEST_S, life * mix.stretch if kind == 2 else life),
        lives_for_hours=kind == 2,
    )
