"""What the body of a PATCH says is to change."""

from typing import Any

from pydantic import BaseModel


def changes(body: BaseModel, *nullable: str) -> dict[str, Any]:
    """The fields that were sent, by name. A null changes nothing, except in a field of `nullable`,
    which it takes away."""
    sent = body.model_dump(exclude_unset=True)
    return {name: value for name, value in sent.items() if value is not None or name in nullable}
