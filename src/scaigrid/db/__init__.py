"""The database: engine and units of work (`engine`), small writes in batches (`batch`), column types (`types`), migrations (`migrate`).

Tables are SQLAlchemy Core tables on one `metadata`; repositories turn rows into frozen domain
objects, so that nothing outside them holds a row or a session.
"""

from scaigrid.db.engine import Database, Reader, Writer
from scaigrid.db.types import UtcDateTime, metadata

__all__ = ["Database", "Reader", "UtcDateTime", "Writer", "metadata"]
