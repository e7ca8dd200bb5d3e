"""A URL -> a database that is open, at the newest schema, and keeps what it acknowledged.

SQLite writes ahead with `synchronous=FULL`, PostgreSQL commits synchronously: what was committed is there after a
power cut. Passwords never appear in a message; better still, leave them to libpq (`PGPASSWORD`, `~/.pgpass`).
"""

from __future__ import annotations

import importlib
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from heedful.errors import InputError, StorageError
from heedful.feedback.migrations import migrate

SQLITE = "sqlite:///"
_POSTGRESQL = ("postgresql", "postgresql+psycopg", "postgres")
_EXPECTED = "expected sqlite:////absolute/path or postgresql://user@host:port/database"
_WAIT = 30
"""Seconds to wait for another writer."""
_CONNECT = 10
"""Seconds to wait for a server that does not answer."""
# Any number will do; it must stay the same in every version, or two of them could migrate at once.
_MIGRATION_LOCK = 7_403_317_281


class Database:
    """Transactions on one database; safe to use from several threads."""

    def __init__(self, url: str) -> None:
        target = _target(url)
        self.name = str(target.database) if _is_sqlite(target) else f"PostgreSQL at {_place(target)}"
        """What messages call it: never holds a password."""
        self._passwords = [target.password, target.query.get("password")]
        self._closed = False
        # SQLite lets one write at a time and has the others ask again and again; threads of one process can queue.
        self._writers: AbstractContextManager[object] = threading.Lock() if _is_sqlite(target) else nullcontext()
        if _is_sqlite(target):
            self._prepare_file(Path(str(target.database)))
        self._engine = self._connecting(target)
        try:
            with self.transaction(writes=True) as connection:
                if not _is_sqlite(target):
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
                migrate(connection, self.name)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, writes: bool) -> Iterator[Connection]:
        """Commits when the block ends, rolls back when it raises; errors of the database become StorageError."""
        if self._closed:
            raise StorageError(f"the feedback store {self.name} is closed; open it again")
        try:
            with (
                self._writers if writes else nullcontext(),
                self._engine.execution_options(heedful_writes=writes).begin() as connection,
            ):
                yield connection
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise self._failure(error) from None

    def close(self) -> None:
        """Give all connections back."""
        self._closed = True
        self._engine.dispose()

    def _connecting(self, target: URL) -> Engine:
        # hide_parameters: what people wrote does not belong in error messages.
        if _is_sqlite(target):
            engine = create_engine(target, hide_parameters=True, connect_args={"timeout": _WAIT})
            event.listen(engine, "connect", _sqlite_connection)
            event.listen(engine, "begin", _sqlite_begin)
            return engine
        waiting = {} if "connect_timeout" in target.query else {"connect_timeout": _CONNECT}
        engine = create_engine(target, hide_parameters=True, pool_pre_ping=True, connect_args=waiting)
        # First of all: SQLAlchemy's own questions to the server fail in another encoding.
        event.listen(engine, "connect", self._postgresql_connection, insert=True)
        return engine

    def _prepare_file(self, path: Path) -> None:
        """Make sure that the file is a database that we may write, with a write-ahead log."""
        try:
            path.parent.mkdir(exist_ok=True)
            with closing(sqlite3.connect(path, timeout=_WAIT)) as connection:
                _write_ahead(connection)
        except (sqlite3.Error, OSError, ValueError) as error:
            raise self._failure(error) from None

    def _postgresql_connection(self, connection: Any, _record: Any) -> None:
        encoding = connection.info.parameter_status("server_encoding")
        if encoding != "UTF8":
            raise StorageError(
                f"the feedback store {self.name} keeps texts as {encoding}, which cannot hold all languages; make another: "
                "CREATE DATABASE heedful ENCODING 'UTF8' TEMPLATE template0"
            )
        # The server may have been set up to acknowledge before it has written.
        connection.execute("SET synchronous_commit TO on")
        connection.commit()

    def _failure(self, error: Exception) -> StorageError:
        """The database's own words and what to do; the statement and its values, which users wrote, stay out."""
        reason = " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())
        for password in filter(None, self._passwords):
            reason = reason.replace(str(password), "***")
        return StorageError(f"the feedback store {self.name} cannot be used ({reason}); {_remedy(reason)}")


def _target(url: str) -> URL:
    if url.startswith(SQLITE):
        path, _, query = url.removeprefix(SQLITE).partition("?")
        if query or not path.startswith("/"):
            raise InputError(
                f"the feedback store's URL is {url!r}; expected sqlite:/// and an absolute path, nothing else"
            )
        return URL.create("sqlite", database=unquote(path))
    scheme = url.partition("://")[0]
    if "://" not in url or scheme not in _POSTGRESQL:
        # Only what is a scheme is shown: the rest may hold a password.
        named = "://" in url and re.fullmatch(r"[a-z0-9+]{1,30}", scheme)
        came = f"begins with {scheme}://" if named else "does not begin with a kind of database"
        raise InputError(f"the feedback store's URL {came}; {_EXPECTED}")
    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        raise InputError(
            f"the feedback store's URL begins with {scheme}:// but cannot be understood; {_EXPECTED}; "
            "write special characters of user and password as %40, %3A ..."
        ) from None
    try:
        importlib.import_module("psycopg")
    except ImportError as error:
        raise InputError(
            f"PostgreSQL needs the package psycopg, which cannot be loaded ({error}); "
            "install it with: pip install 'heedful[postgres]'"
        ) from None
    return target.set(drivername="postgresql+psycopg")


def _is_sqlite(target: URL) -> bool:
    return target.drivername == "sqlite"


def _place(target: URL) -> str:
    host = target.host or target.query.get("host") or "the local socket"
    return f"{host}{f':{target.port}' if target.port else ''}, database {target.database or '(default)'}"


def _write_ahead(connection: sqlite3.Connection) -> None:
    # Two processes that switch a fresh file at once are not made to wait by SQLite: one of them is told "locked".
    end = time.monotonic() + _WAIT
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > end:
                raise
            time.sleep(0.02)


def _sqlite_connection(connection: Any, _record: Any) -> None:
    # Python's module would begin transactions by itself, and too late; `_sqlite_begin` says when and how.
    connection.isolation_level = None
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _sqlite_begin(connection: Connection) -> None:
    # A transaction that first reads and then writes cannot wait for another writer: ask for the lock at once.
    writes = connection.get_execution_options().get("heedful_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _remedy(reason: str) -> str:
    lowered = reason.lower()
    remedies = {
        "not a database": "the file is something else or damaged: move it away, and a new store is made",
        "malformed": "the file is damaged: put a copy in its place, or move it away, and a new store is made",
        "unable to open": "check that the folder exists and that you may write there",
        "readonly": "check that you may write the file and its folder",
        "permission denied": "check that you may write there",
        "no such file or directory": "check that the folder exists, or that the server is running",
        "full": "free some space",
        "locked": "another program has been writing for long: stop it, and try again",
        "password": "check user and password (PGPASSWORD or ~/.pgpass)",
        "does not exist": "create it, or correct the URL",
        "refused": "check that the server is running and that the URL names its host and port",
        "already exists": "a table of that name belongs to something else: use another database",
    }
    return next((remedy for sign, remedy in remedies.items() if sign in lowered), "check the URL and the database")
