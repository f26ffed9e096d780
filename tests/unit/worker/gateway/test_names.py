"""Which names a pattern permits."""

import pytest

from scaibunker.worker.gateway.names import Names

NAMES = Names(["pypi.test", "*.files.test"])


@pytest.mark.parametrize("name", ["pypi.test", "PyPI.Test.", "a.files.test", "A.FILES.test."])
def test_permitted(name: str) -> None:
    assert NAMES.permit(name)


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "test", "files.test", ".files.test", "a.b.files.test", "a.pypi.test", "pypi.test..",
        "xpypi.test", "pypi.test.evil.test", "*.pypi.test", "afiles.test", "a.files.test.evil.test",
    ],
)  # fmt: skip
def test_not_permitted(name: str) -> None:
    assert not NAMES.permit(name)
