"""Which group may be above which."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaigrid.errors import ValidationFailed
from scaigrid.groups.domain import MAX_DEPTH, check_parent


def chain(length: int) -> dict[str, str | None]:
    """Groups `0` to `length - 1`, each below the one before it."""
    return {str(n): str(n - 1) if n else None for n in range(length)}


def test_a_group_is_neither_below_itself_nor_below_what_is_below_it() -> None:
    for parent in ("0", "1", "2"):
        with pytest.raises(ValidationFailed, match="itself"):
            check_parent(chain(3), "0", parent)
    check_parent(chain(3), "2", "0")
    check_parent(chain(3), "1", None)


def test_the_depth_counts_what_is_above_and_what_is_below() -> None:
    check_parent(chain(MAX_DEPTH - 1), "new", str(MAX_DEPTH - 2))
    with pytest.raises(ValidationFailed, match="deep"):
        check_parent(chain(MAX_DEPTH), "new", str(MAX_DEPTH - 1))
    two = {**chain(MAX_DEPTH - 1), "a": None, "b": "a"}
    check_parent(two, "b", str(MAX_DEPTH - 2))
    with pytest.raises(ValidationFailed, match="deep"):
        check_parent(two, "a", str(MAX_DEPTH - 2))


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=60))
def test_moves_that_are_let_through_never_close_a_circle(
    moves: list[tuple[int, int | None]],
) -> None:
    parents: dict[str, str | None] = {str(n): None for n in range(10)}
    for group, above in moves:
        parent = None if above is None else str(above)
        try:
            check_parent(parents, str(group), parent)
        except ValidationFailed:
            continue
        parents[str(group)] = parent
    for group in parents:
        seen: list[str] = []
        at: str | None = group
        while at is not None:
            assert at not in seen
            seen.append(at)
            at = parents[at]
        assert len(seen) <= MAX_DEPTH


def test_a_circle_that_is_there_already_does_not_trap_the_check() -> None:
    with pytest.raises(ValidationFailed):
        check_parent({"a": "b", "b": "a", "c": None}, "c", "a")
