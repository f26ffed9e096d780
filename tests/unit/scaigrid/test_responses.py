"""What an operation may answer is documented in one order, and each thing once."""

from itertools import permutations

from scaigrid.errors import GridError, Kind
from scaigrid.http.errors import responses


class Gone(GridError):
    """It is gone."""

    kind = Kind.NOT_FOUND
    code = "LOST"


class Away(Gone):
    """It is away."""


class StillAway(Away):
    """It is away."""


def test_of_errors_with_one_code_the_code_is_named_once_and_all_they_say() -> None:
    for given in permutations([Gone, Away, StillAway]):
        assert responses(given)[404]["x-codes"] == ["LOST"]
        assert responses(given)[404]["description"] == "`LOST`: It is away.\n\n`LOST`: It is gone."
