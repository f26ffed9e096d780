"""What a resolver has answered, and until when."""

import ipaddress

from scaibunker.worker.gateway import answers as module
from scaibunker.worker.gateway.answers import Answers
from tests.unit.worker.gateway.scripted import Clock

ONE, TWO = (ipaddress.ip_address(f"192.0.2.{i}") for i in (1, 2))


def test_an_address_stands_for_names_until_they_end() -> None:
    clock = Clock()
    answers = Answers(clock)
    answers.learn("a.test", ONE, 10)
    answers.learn("b.test", ONE, 20)
    answers.learn("a.test", ONE, 5)  # the longer one counts: the guest was told so
    assert answers.names(ONE) == ("b.test", "a.test")
    assert answers.names(TWO) == ()
    clock.at += 10
    assert answers.names(ONE) == ("b.test",)
    clock.at += 10
    assert answers.names(ONE) == ()


def test_what_ends_first_makes_room() -> None:
    clock = Clock()
    answers = Answers(clock)
    addresses = [ipaddress.IPv4Address(i) for i in range(module.MAX_PAIRS + 1)]
    for number, address in enumerate(addresses):
        answers.learn("a.test", address, 1000 + number)
    assert answers.names(addresses[0]) == ()
    assert answers.names(addresses[module.MADE_ROOM]) == ("a.test",)
    assert answers.names(addresses[-1]) == ("a.test",)


def test_an_address_that_many_names_stand_for_is_no_burden() -> None:
    clock = Clock()
    answers = Answers(clock)
    for number in range(2 * module.MAX_NAMES):
        answers.learn(f"{number}.test", ONE, 1000 + number)
    answers.learn("short.test", ONE, 1)
    names = answers.names(ONE)
    assert len(names) == module.MAX_NAMES
    assert "short.test" not in names
    assert names[0] == f"{2 * module.MAX_NAMES - 1}.test"
    clock.at += 1000 + 2 * module.MAX_NAMES - 2
    assert len(answers.names(ONE)) == 1


def test_names_that_are_permitted_no_more_are_forgotten() -> None:
    answers = Answers(Clock())
    answers.learn("a.test", ONE, 10)
    answers.learn("b.test", ONE, 10)
    answers.learn("a.test", TWO, 10)
    answers.retain(lambda name: name == "b.test")
    assert answers.names(ONE) == ("b.test",)
    assert answers.names(TWO) == ()
