"""What a driver's error means: the database is lost, it is busy, or the mistake is ours.

On a lost connection nothing is open any more: the server rolls back. A busy database has refused
this transaction alone (a deadlock, or a lock that was not given in time); it may be tried again.
"""

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from scaigrid.db.errors import DatabaseBusy, DatabaseUnavailable

# Numbers of https://mariadb.com/kb/en/mariadb-error-code-reference/
_LOST = frozenset(
    {
        1040,  # too many connections
        1053,  # server shutdown in progress
        1203,  # the user has too many connections
        1290,  # the server is read-only: a failover is under way
        1927,  # connection was killed
        2002,  # no socket
        2003,  # cannot connect
        2006,  # server has gone away
        2013,  # lost connection during a query
        2014,  # commands out of sync: the query before was broken off
        2055,  # lost connection
    }
)
_BUSY = frozenset(
    {
        1020,  # record has changed since it was read
        1205,  # lock wait timeout
        1213,  # deadlock
        1969,  # max_statement_time exceeded
    }
)
_SQLITE_BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
_SQLITE_LOST = frozenset({sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN})


def translate(error: BaseException) -> DatabaseUnavailable | None:
    """The error that callers see; None for one that is no fault of the database."""
    if isinstance(error, DatabaseUnavailable):
        return error
    if isinstance(error, PoolTimeout):
        return DatabaseBusy("All connections to the database are in use.")
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return DatabaseUnavailable()
        return _of_driver(error.orig)
    if isinstance(error, OSError):  # asyncmy lets some of a broken socket through as it is
        return DatabaseUnavailable()
    return None


def _of_driver(error: BaseException | None) -> DatabaseUnavailable | None:
    if isinstance(error, sqlite3.Error):
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if primary in _SQLITE_BUSY:
            return DatabaseBusy()
        return DatabaseUnavailable() if primary in _SQLITE_LOST else None
    number = error.args[0] if error is not None and error.args else None
    if number in _BUSY:
        return DatabaseBusy()
    return DatabaseUnavailable() if number in _LOST else None
