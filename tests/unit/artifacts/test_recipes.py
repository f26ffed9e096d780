"""The base images' recipes, as data."""

import re
from dataclasses import replace

import pytest

from scaibunker.artifacts.recipes import BASE_IMAGES, ImageRecipe
from scaibunker.artifacts.store import key_of

NAMES = [recipe.name for recipe in BASE_IMAGES]


def test_the_promised_images_are_there() -> None:
    assert NAMES == ["debian-12", "python-3.11"]


@pytest.mark.parametrize("recipe", BASE_IMAGES, ids=NAMES)
def test_defaults_are_the_products(recipe: ImageRecipe) -> None:
    sizes = (recipe.default_cpu_millicores, recipe.default_memory_mb, recipe.default_disk_mb)
    assert sizes == (1000, 512, 1024)


@pytest.mark.parametrize("recipe", BASE_IMAGES, ids=NAMES)
def test_the_key_follows_content_and_not_defaults(recipe: ImageRecipe) -> None:
    def key(of: ImageRecipe) -> str:
        return key_of(**of.inputs())

    assert key(replace(recipe, default_memory_mb=1)) == key(recipe)
    assert key(replace(recipe, packages=(*recipe.packages, "vim"))) != key(recipe)
    assert key(replace(recipe, hooks=())) != key(recipe)


def test_the_python_version_is_read_from_the_package_list() -> None:
    status = "Package: python3.11-minimal\nVersion: 9\n\nPackage: python3.11\nStatus: ok\nVersion: 3.11.2-6+deb12u6\n"
    recipe = BASE_IMAGES[1]
    found = re.search(recipe.version_pattern, status)
    assert found is not None
    assert found[1] == "3.11.2"
