"""Bounds of what a guest or a worker may say of itself: whatever it says fits into the database."""

from typing import Annotated

from pydantic import Field, StringConstraints

MAX_COUNT = (1 << 63) - 1

Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT)]
"""Bytes or milliseconds."""
Amount = Annotated[int, Field(strict=True, ge=0, lt=1 << 31)]
"""Of a resource: millicores, MiB, GPUs."""
Short = Annotated[str, StringConstraints(max_length=64)]
Name = Annotated[str, StringConstraints(max_length=255)]
Reference = Annotated[str, StringConstraints(pattern=r"^[a-z]{3}_[A-Za-z0-9]{1,40}$")]
"""The id of a bunker or a command."""
WORKER_ID = r"wrk_[0-9a-z_-]{1,60}"
WorkerId = Annotated[str, StringConstraints(pattern=f"^{WORKER_ID}$")]
