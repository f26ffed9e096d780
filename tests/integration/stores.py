"""The databases that the suite runs on: a template that is made once, and a copy for each test."""

import functools
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from scaigrid.settings import DatabaseSettings
from tests.servers import MariaDb
from tests.waiting import PATIENT_S

ONE_DATABASE = pytest.mark.parametrize("template", ["sqlite"], indirect=True)
"""Marks a test of what is refused before a database is asked for it, on one kind of them: it is the same on the other."""


class Store(Protocol):
    """One kind of database."""

    @property
    def template(self) -> DatabaseSettings:
        """Where the template is made."""
        ...

    def copy(self, folder: Path) -> DatabaseSettings:
        """A database of the test's own, with what the template has."""
        ...


@dataclass(frozen=True)
class SqliteStore:
    """Files."""

    folder: Path

    @property
    def template(self) -> DatabaseSettings:
        return _sqlite(self.folder)

    def copy(self, folder: Path) -> DatabaseSettings:
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)
        return _sqlite(folder)


def _sqlite(folder: Path) -> DatabaseSettings:
    return _patient(f"sqlite+aiosqlite:///{folder / 'grid.db'}")


def _patient(url: str) -> DatabaseSettings:
    return DatabaseSettings(url=url, busy_timeout_s=PATIENT_S, statement_timeout_s=PATIENT_S)


@dataclass(frozen=True)
class MariaDbStore:
    """Databases of one server. There is one copy, which every test gets as if it were new."""

    server: MariaDb

    @property
    def template(self) -> DatabaseSettings:
        return _patient(self.server.url("template"))

    def copy(self, folder: Path) -> DatabaseSettings:
        folder.mkdir(exist_ok=True)
        tables = self._tables
        self.server.sql(
            "; ".join(
                [
                    "CREATE DATABASE IF NOT EXISTS copy",
                    "SET foreign_key_checks=0",
                    *(f"CREATE TABLE IF NOT EXISTS copy.{t} LIKE template.{t}" for t in tables),
                    "BEGIN",
                    *(f"DELETE FROM copy.{t}" for t in tables),  # noqa: S608
                    *(f"INSERT INTO copy.{t} SELECT * FROM template.{t}" for t in tables),  # noqa: S608
                    "COMMIT",
                ]
            )
        )
        return _patient(self.server.address("copy"))

    @functools.cached_property
    def _tables(self) -> list[str]:
        return self.server.sql("SHOW TABLES IN template").split()
