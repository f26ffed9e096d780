"""What the controller is told of gateways: each thing once, over their deaths and the daemon's."""

from scaibunker.wire.bounds import MAX_COUNT
from scaibunker.worker.gateway.counts import CONNECTIONS, DROPPED, QUESTIONS, RECORDS, Counts
from scaibunker.worker.gateway.tally import Tally


def told(tally: Tally) -> dict[str, object]:
    """What it says, which is then answered."""
    report = tally.report()
    tally.told(report)
    return {name: value for name, value in report.model_dump().items() if value}


def test_each_thing_is_told_once() -> None:
    counts, tally = Counts(), Tally()
    tally.begin(counts.all())
    counts.add(RECORDS, count=5)
    counts.add(QUESTIONS, "denied")
    tally.see(counts.all(), 3)
    assert told(tally) == {"records_written": 5, "questions": {"denied": 1}, "connections_open": 3}
    assert told(tally) == {"connections_open": 3}
    counts.add(QUESTIONS, "denied", 2)
    counts.add(CONNECTIONS, "carried")
    tally.see(counts.all(), 0)
    tally.see(counts.all(), 0)
    assert told(tally) == {"questions": {"denied": 2}, "connections": {"carried": 1}}
    assert told(tally) == {}


def test_what_is_not_answered_is_told_again_and_what_came_meanwhile_is_kept() -> None:
    counts, tally = Counts(), Tally()
    counts.add(DROPPED, "memory", 2)
    tally.see(counts.all(), 0)
    first = tally.report()
    assert tally.report() == first
    counts.add(DROPPED, "memory", 3)
    tally.see(counts.all(), 0)
    tally.told(first)
    assert told(tally) == {"records_dropped": {"memory": 3}}


def test_a_new_gateway_counts_from_nothing_and_an_adopted_one_from_where_it_is() -> None:
    old, tally = Counts(), Tally()
    old.add(RECORDS, count=100)
    tally.begin(old.all())  # an earlier daemon has told of those
    old.add(RECORDS, count=1)
    tally.see(old.all(), 9)
    tally.lost()
    tally.begin({})
    new = Counts()
    new.add(RECORDS, count=2)
    tally.see(new.all(), 1)
    assert told(tally) == {"records_written": 3, "lost": 1, "connections_open": 1}


def test_a_gateway_that_lies_takes_nothing_back() -> None:
    tally = Tally()
    tally.see({RECORDS: {"": 10}, "nonsense": {"x": 1}}, 0)
    tally.see({RECORDS: {"": 4}, QUESTIONS: {f"q{n}": 1 for n in range(500)}}, 0)
    tally.see({RECORDS: {"": 5}}, 0)
    report = tally.report()
    assert report.records_written == 11
    assert len(report.questions) == 64


def test_whatever_a_gateway_says_can_be_told() -> None:
    tally = Tally()
    for _ in range(3):
        tally.see({RECORDS: {"": MAX_COUNT}, QUESTIONS: {"q": MAX_COUNT, "_": 1, "9": 1, "": 1}}, 0)
        tally.see({}, 0)
    report = tally.report()
    assert (report.records_written, report.questions) == (MAX_COUNT, {"q": MAX_COUNT})
    tally.told(report)
    assert told(tally) == {}
