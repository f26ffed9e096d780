"""Reading apt's own account of where packages come from."""

from scaibunker.artifacts.apt import parse_index_targets

LISTING = """\
Debian|bookworm|http://mirror.test/debian|bookworm|main
Debian|bookworm|http://mirror.test/debian|bookworm|contrib
Debian|bookworm|http://mirror.test/debian|bookworm|main
Debian|bookworm-security|https://user:secret@mirror.test/security|bookworm-security|main
Debian|trixie|http://mirror.test/debian|trixie|main
Other|bookworm|http://other.test/debian|bookworm|main
Debian|bookworm|file:/srv/debian|bookworm|main
Debian|bookworm|cdrom://disc|bookworm|main
$(ORIGIN)|$(CODENAME)|http://unread.test/debian|bookworm|main
"""


def test_only_debians_own_suite_from_the_network_and_without_secrets() -> None:
    assert parse_index_targets("bookworm", LISTING) == [
        "deb http://mirror.test/debian bookworm main contrib",
        "deb https://mirror.test/security bookworm-security main",
    ]


def test_a_host_without_debian_has_none() -> None:
    assert parse_index_targets("bookworm", "") == []
