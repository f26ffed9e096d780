"""What is a key, and what only looks like one."""

import pytest

from scaibunker.storage.keys import BadKey, check_key, check_prefix, is_below


@pytest.mark.parametrize(
    "key", ["a", "a/b/c.txt", "..a", "a..", "...b/x", "-._/0", "A" * 200, "/".join(["a" * 199] * 4)]
)
def test_a_key(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "...",
        "a/./b",
        "a/../b",
        "../a",
        "a/..",
        "a b",
        "a%2fb",
        "a\\b",
        "a\nb",
        "a\n",
        "a\0",
        "ä",
        "a?b",
        "a#b",
        "a+b",
        "a:b",
        "٣",
        "a" * 201,
        "/".join(["a" * 150] * 7),
    ],
)
def test_no_key(key: str) -> None:
    with pytest.raises(BadKey):
        check_key(key)


def test_a_prefix_may_end_with_a_slash_and_is_whole_segments() -> None:
    assert check_prefix("a/b/") == check_prefix("a/b") == "a/b"
    for wrong in ("", "/", "a//", "../", "a/../"):
        with pytest.raises(BadKey):
            check_prefix(wrong)
    assert is_below("a/b/c", "a/b")
    assert not is_below("a/bc", "a/b")
    assert not is_below("a/b", "a/b")
    assert not is_below("a", "a/b")
