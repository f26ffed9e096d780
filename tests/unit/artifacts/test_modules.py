"""Load order, from modules made here with nothing but a `.modinfo` section."""

import lzma
from pathlib import Path

import pytest

from scaibunker.artifacts.modules import ModulesError, dependencies, resolve
from tests.unit.artifacts.module_trees import module, tree


def names(root: Path, *wanted: str) -> list[str]:
    return [m.name for m in resolve(root, wanted)]


def test_each_comes_after_what_it_needs_and_once(tmp_path: Path) -> None:
    root = tree(
        tmp_path,
        virtio_blk=module("virtio", "virtio_ring"),
        virtio=module("virtio_ring"),
        virtio_ring=module(),
        virtio_net=module("virtio"),
        unused=module(),
    )
    order = names(root, "virtio_blk", "virtio_net")
    assert order == ["virtio_ring", "virtio", "virtio_blk", "virtio_net"]


def test_hyphens_and_underscores_are_the_same(tmp_path: Path) -> None:
    root = tree(tmp_path, virtio_rng=module("rng-core"), rng_core=module())
    assert names(root, "virtio_rng") == ["rng_core", "virtio_rng"]


def test_what_is_built_in_is_left_out(tmp_path: Path) -> None:
    root = tree(tmp_path, builtin="kernel/fs/overlay.ko\n", virtio_blk=module("overlay"))
    assert names(root, "overlay", "virtio_blk") == ["virtio_blk"]


def test_compressed_modules_come_out_plain(tmp_path: Path) -> None:
    (tmp_path / "a.ko.xz").write_bytes(lzma.compress(module()))
    assert resolve(tmp_path, ["a"])[0].content == module()


def test_a_missing_module_is_named_with_who_needs_it(tmp_path: Path) -> None:
    root = tree(tmp_path, virtio_blk=module("virtio"))
    with pytest.raises(ModulesError, match=r"virtio \(needed by virtio_blk\)"):
        names(root, "virtio_blk")


def test_a_circle_is_an_error_not_a_loop(tmp_path: Path) -> None:
    root = tree(tmp_path, a=module("b"), b=module("a"))
    with pytest.raises(ModulesError, match="a -> b -> a"):
        names(root, "a")


def test_a_file_that_is_no_module_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.ko").write_bytes(b"not ELF")
    with pytest.raises(ModulesError, match="modinfo"):
        names(tmp_path, "a")


def test_an_unknown_compression_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.ko.zst").write_bytes(b"?")
    with pytest.raises(ModulesError, match="unknown compression"):
        names(tmp_path, "a")


def test_no_dependencies_means_an_empty_list() -> None:
    assert dependencies(module()) == []
