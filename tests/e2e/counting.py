"""A program in a bunker that counts, by which it shows what has become of its machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from scaibunker.sdk import Bunker
from tests.waiting import wait_until

PROGRAM = """
read token < /proc/sys/kernel/random/uuid
count=0
while :; do
    count=$((count + 1))
    read random < /proc/sys/kernel/random/uuid
    echo "$count $$ $token $random" >> /home/bunker/count
    sleep 0.1
done
"""
"""Its number and its token are in its memory alone; what it writes is on the disk."""
GOES_ON_S = 60.0


@dataclass(frozen=True, slots=True)
class Tally:
    """What a counter has written: `process` and `token` are the one program's that wrote all of it,
    without a gap; `randoms` has a random number for each count."""

    process: str
    token: str
    randoms: Sequence[str]

    @property
    def count(self) -> int:
        return len(self.randoms)


def start_counter(bunker: Bunker) -> None:
    """Have it count, for as long as its machine lives."""
    bunker.execs.start(["sh", "-c", PROGRAM], timeout_s=86_400)
    wait_until(lambda: bunker.exec(["test", "-s", "/home/bunker/count"]).ok, GOES_ON_S)


def tally(bunker: Bunker) -> Tally:
    """What has been counted by now. Fails if anybody else has counted, or a count is missing."""
    text = bunker.exec(["cat", "/home/bunker/count"], check=True).stdout
    rows = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
    counts, processes, tokens, randoms = zip(*rows, strict=True)
    assert list(map(int, counts)) == list(range(1, len(rows) + 1))
    assert len(set(processes)) == len(set(tokens)) == 1
    return Tally(processes[0], tokens[0], randoms)


def goes_on(bunker: Bunker, before: Tally) -> Tally:
    """Wait until it has counted further than `before`; it must be the same program still."""
    now = tally(bunker)

    def further() -> bool:
        nonlocal now
        now = tally(bunker)
        return now.count > before.count + 3

    wait_until(further, GOES_ON_S, lambda: f"more than {before.count}: {now.count}", every_s=0.2)
    assert (now.process, now.token) == (before.process, before.token)
    return now


def counted_in_common(one: Tally, other: Tally) -> int:
    """How far two machines had counted when they were one."""
    pairs = zip(one.randoms, other.randoms, strict=False)
    apart = (number for number, (here, there) in enumerate(pairs) if here != there)
    return next(apart, min(one.count, other.count))
