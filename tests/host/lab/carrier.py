"""`python -m tests.host.lab.carrier A B`: carries frames between two TAPs by their descriptors, as a VMM does."""

import os
import select
import sys

LARGEST = 70_000


def carry(one: int, other: int) -> None:
    """Until the process ends."""
    poll = select.poll()
    for tap in (one, other):
        poll.register(tap, select.POLLIN)
    across = {one: other, other: one}
    while True:
        for tap, _ in poll.poll():
            try:
                while True:
                    os.write(across[tap], os.read(tap, LARGEST))
            except BlockingIOError:
                continue


if __name__ == "__main__":
    carry(int(sys.argv[1]), int(sys.argv[2]))
