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


def test_names_that_are_permitted_no_more_are_forgotten() -> None:
    answers = Answers(Clock())
    answers.learn("a.test", ONE, 10)
    answers.learn("b.test", ONE, 10)
    answers.learn("a.test", TWO, 10)
    answers.retain(lambda name: name == "b.test")
    assert answers.names(ONE) == ("b.test",)
    assert answers.names(TWO) == ()
