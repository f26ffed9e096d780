"""Answers that are files: streamed piece by piece, and CSV that is safe to open."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.responses import StreamingResponse
from starlette.types import Message, Send

STALL_S = 60.0
"""A caller that takes nothing for so long counts as gone."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Download(StreamingResponse):
    """The stream. It is cut if the database fails in the middle, so that it cannot seem whole."""

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str, filename: str) -> None:
        super().__init__(
            chunks,
            media_type=media_type,
            headers={
                "Cache-Control": "no-store",
                "Content-Disposition": f'attachment; filename="{filename}"',
            },
        )

    async def stream_response(self, send: Send) -> None:
        """Send it to a caller that takes it."""

        async def bounded(message: Message) -> None:
            async with asyncio.timeout(STALL_S):
                await send(message)

        await super().stream_response(bounded)


def cell(value: Any) -> str:
    """A value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    text = json.dumps(value, sort_keys=True) if isinstance(value, dict) else str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def lines(rows: Sequence[Sequence[str]]) -> bytes:
    """Lines of CSV (RFC 4180)."""
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
