"""The archive must be what the kernel's own reader expects, and the same each time."""

import stat

from scaibunker.artifacts.cpio import Entry, archive, directory, file
from tests.unit.artifacts.archives import read_back


def test_entries_come_back_in_order() -> None:
    given = [
        directory("dev"),
        file("init", b"agent", 0o755),
        file("empty", b""),
        file("x", b"1234"),
    ]
    assert read_back(archive(given)) == [(e.path, e.mode, e.content) for e in given]


def test_names_of_every_length_stay_aligned() -> None:
    given = [file("n" * length, b"c" * length) for length in range(1, 20)]
    assert [entry[2] for entry in read_back(archive(given))] == [e.content for e in given]


def test_it_is_a_whole_number_of_blocks_and_repeatable() -> None:
    given = [file("a", b"content")]
    assert len(archive(given)) % 512 == 0
    assert archive(given) == archive(list(given))


def test_types_are_in_the_mode() -> None:
    assert directory("d") == Entry("d", stat.S_IFDIR | 0o755)
    assert stat.S_ISREG(file("f", b"").mode)
