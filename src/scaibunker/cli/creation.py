"""The options of a new bunker, from the command line's to the SDK's."""

from collections.abc import Mapping, Sequence
from typing import cast

from scaibunker.cli import values
from scaibunker.sdk import BunkerOptions


def bunker_options(
    environ: Mapping[str, str],
    *,
    image: str,
    env: Sequence[str] | None,
    label: Sequence[str] | None,
    **fields: object,
) -> BunkerOptions:
    """Only what was given: the rest is the API's to decide. `fields` are named as the API does."""
    given = {name: value for name, value in fields.items() if value}
    if env:
        given["env_vars"] = values.environment(env, environ)
    if label:
        given["label_set"] = values.assignments("--label", label)
    return cast("BunkerOptions", {"image": image, **given})
