"""The order in which the files of the suite are handed out."""

from dataclasses import dataclass

from tests.conftest import BETWEEN, in_order


@dataclass
class Item:
    nodeid: str


def test_files_with_machines_come_early_and_apart_and_nothing_is_lost() -> None:
    names = [f"tests/{kind}/test_{n}.py" for kind in ("unit", "e2e") for n in range(3 * BETWEEN)]
    items = [Item(f"{name}::test_{n}") for n in range(2) for name in names]
    ordered = [item.nodeid for item in in_order(items)]  # type: ignore[arg-type]
    assert sorted(ordered) == sorted(item.nodeid for item in items)
    files = list(dict.fromkeys(name.partition("::")[0] for name in ordered))
    assert ordered == [f"{file}::test_{n}" for file in files for n in range(2)]
    places = [at for at, file in enumerate(files) if "/e2e/" in file]
    assert places[:3] == [0, BETWEEN + 1, 2 * (BETWEEN + 1)]
