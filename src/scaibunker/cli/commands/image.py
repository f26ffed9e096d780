"""`scaibunker image ...`: what bunkers can be made from."""

from collections.abc import Sequence

from scaibunker.cli import texts
from scaibunker.cli.options import new_app
from scaibunker.cli.output import Column, write_records
from scaibunker.cli.session import Session, connected
from scaibunker.sdk import Image

app = new_app()

_COLUMNS: Sequence[Column[Image]] = (
    ("ID", lambda image: image.id),
    ("NAME", lambda image: image.name),
    ("VERSION", lambda image: image.version),
    ("STATUS", lambda image: image.status),
    ("SCOPE", lambda image: image.scope),
    ("SIZE", lambda image: texts.size(image.size_bytes)),
    ("AGE", lambda image: texts.age(image.created_at)),
)


def list_(session: Session) -> None:
    """List images."""
    write_records(_COLUMNS, session.client.images.list(), in_json=session.json)


@app.callback()
def group() -> None:
    """List the images that bunkers can be made from."""


app.command("ls")(connected(list_))
