"""A fresh, empty store URL for each test, once in SQLite and once in PostgreSQL.

PostgreSQL is a throwaway cluster made from the programs that Debian's package `postgresql` brings, one per test process.
The server refuses to run as root, so root starts it as another user.
"""

from __future__ import annotations

import getpass
import glob
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from heedful.feedback.opening import _target
from heedful.feedback.tables import VERSION_TABLE, Base


@dataclass(frozen=True)
class Cluster:
    """Our own server: no password on the socket, passwords on the port."""

    socket_url: str
    port_url: str
    password: str


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _programs() -> Path | None:
    found = shutil.which("initdb") or next(iter(sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))[::-1]), None)
    return Path(found).resolve().parent if found else None


def _owner() -> str:
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody") if name in names) if os.geteuid() == 0 else getpass.getuser()


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    programs = _programs()
    if programs is None:
        message = "PostgreSQL's initdb was not found: install Debian's package postgresql"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    owner, port, password = _owner(), free_port(), "g:e@h/e%im"
    as_owner = ["runuser", "-u", owner, "--"] if os.geteuid() == 0 else []
    # Not below pytest's folder, which only its own user may enter; short, for the socket's path may have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="heedful_pg_"))
    secret = folder / "password"
    secret.write_text(password)
    if os.geteuid() == 0:
        for path in (folder, secret):
            shutil.chown(path, owner)

    def call(program: str, *arguments: str) -> None:
        command = [*as_owner, str(programs / program), "--pgdata", str(folder / "data"), *arguments]
        # The server keeps the standard streams of pg_ctl: a pipe would never end.
        with (folder / f"{program}.log").open("wb") as log:
            subprocess.run(command, check=True, stdout=log, stderr=log, cwd=folder, timeout=120)

    try:
        call(
            "initdb",
            *("--username", "anna", "--pwfile", str(secret), "--auth-local", "trust", "--auth-host", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C", "--no-sync"),
        )
        # Only clients are killed here, never the server: it need not wait for the disk.
        options = f"-c fsync=off -c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        call("pg_ctl", "start", "--wait", "--timeout", "60", "--log", str(folder / "server.log"), "--options", options)
        yield Cluster(
            f"postgresql://anna@/postgres?host={folder}&port={port}",
            f"postgresql://anna:g%3Ae%40h%2Fe%25im@127.0.0.1:{port}/postgres",
            password,
        )
    finally:
        if (folder / "data" / "postmaster.pid").exists():
            call("pg_ctl", "stop", "--mode", "immediate", "--wait")
        shutil.rmtree(folder)


@pytest.fixture
def postgres_url(cluster: Cluster) -> Iterator[str]:
    """An empty database: what a test leaves in it is removed."""
    yield cluster.socket_url
    _clear(cluster.socket_url)


def _clear(url: str) -> None:
    engine = create_engine(_target(url))
    with engine.begin() as connection:
        Base.metadata.drop_all(connection)
        connection.execute(text(f"DROP TABLE IF EXISTS {VERSION_TABLE}"))
    engine.dispose()


@pytest.fixture
def clear() -> Callable[[str], None]:
    """Makes a store empty again, as if nobody had ever opened it."""
    return _clear


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'feedback.sqlite'}"
    return str(request.getfixturevalue("postgres_url"))
