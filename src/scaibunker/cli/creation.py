"""What a new bunker is made of, and its options: from the command line's to the SDK's."""

from collections.abc import Mapping, Sequence
from typing import cast

import typer

from scaibunker.cli import values
from scaibunker.cli.references import snapshot_id
from scaibunker.sdk import BunkerOptions, Client


def origin(client: Client, image: str | None, snapshot: str | None) -> dict[str, str]:
    """The field that says what it is made of; exactly one of the two must be given."""
    if snapshot is None and image is None:
        raise typer.BadParameter("an IMAGE, or --snapshot, is needed")
    if snapshot is not None and image is not None:
        raise typer.BadParameter("IMAGE and --snapshot exclude each other")
    if snapshot is not None:
        return {"snapshot_id": snapshot_id(client, snapshot)}
    return {"image": str(image)}


def bunker_options(
    environ: Mapping[str, str],
    *,
    made_of: Mapping[str, str],
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
    return cast("BunkerOptions", {**made_of, **given})
