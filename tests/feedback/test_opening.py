"""What cannot be opened says what came, what was expected and what to do, and never a password."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, inspect, text

from heedful.errors import HeedfulError, InputError, StorageError
from heedful.feedback import Store
from heedful.feedback.migrations import migrate
from heedful.feedback.opening import Database
from heedful.feedback.tables import VERSION_TABLE, Base
from heedful.project.folder import Project

if TYPE_CHECKING:
    from conftest import Cluster

SECRET = "geheim"


def refused(url: str, kind: type[HeedfulError] = StorageError) -> str:
    """The message; nothing that is printed with it holds the secret."""
    with pytest.raises(kind) as caught:
        Store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# -- URLs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("", "does not begin with a kind of database; expected sqlite:////absolute/path or postgresql://"),
        (f"anna:{SECRET}@host/base", "does not begin with a kind of database"),
        (f"anna:{SECRET}://host/base", "does not begin with a kind of database"),
        (f"mysql://anna:{SECRET}@host/base", "begins with mysql://"),
        (f"postgresql+psycopg2://anna:{SECRET}@host/base", "begins with postgresql+psycopg2://"),
        (f"postgresql://anna:{SECRET}@host:port/base", "cannot be understood"),
        ("sqlite://", "begins with sqlite://"),
        ("sqlite:///feedback.sqlite", "expected sqlite:/// and an absolute path"),
        ("sqlite:///:memory:", "expected sqlite:/// and an absolute path"),
        ("sqlite:////tmp/a?mode=memory", "expected sqlite:/// and an absolute path"),
    ],
)
def test_a_wrong_url(url: str, part: str) -> None:
    assert part in refused(url, InputError)


def test_a_projects_url_leads_into_its_folder_whatever_its_name(tmp_path: Path) -> None:
    root = tmp_path / "怎么 100% ?a=b #1 %41"
    root.mkdir()
    with closing(Store(Project(root).feedback_url)) as store:
        store.new_conversation()
        assert (root / ".heedful" / "feedback.sqlite").is_file()
    assert [path.name for path in tmp_path.iterdir()] == [root.name]


def test_postgresql_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    assert "pip install 'heedful[postgres]'" in refused(f"postgresql://anna:{SECRET}@host/base", InputError)


# -- files ----------------------------------------------------------------------------------------------------


def test_a_file_that_is_not_a_database(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    path.write_text("Dear diary, " * 100)
    message = refused(f"sqlite:///{path}")
    assert message.startswith(f"the feedback store {path} cannot be used (file is not a database); ")
    assert path.read_text() == "Dear diary, " * 100


def test_a_damaged_database(tmp_path: Path) -> None:
    path = tmp_path / "feedback.sqlite"
    with closing(Store(f"sqlite:///{path}")) as store:
        store.new_conversation(title="x" * 20_000)
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    message = refused(f"sqlite:///{path}")
    assert "malformed" in message
    assert "move it away" in message


def test_a_folder_in_its_place_or_none_at_all(tmp_path: Path) -> None:
    assert "unable to open database file" in refused(f"sqlite:///{tmp_path}")
    assert "check that the folder exists" in refused(f"sqlite:///{tmp_path}/none/at/all.sqlite")
    assert "embedded null byte" in refused(f"sqlite:///{tmp_path}/a%00b.sqlite")
    (tmp_path / "file").touch()
    assert "File exists" in refused(f"sqlite:///{tmp_path}/file/feedback.sqlite")


def test_a_table_that_belongs_to_something_else(tmp_path: Path) -> None:
    path = tmp_path / "other.sqlite"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE heedful_message (theirs)")
    assert "already exists" in refused(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        # All or nothing: the tables that did not clash were taken back.
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == [("heedful_message",)]


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write everywhere: be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter; those of pytest are for their user only."""
    folder = Path(tempfile.mkdtemp(prefix="heedful_"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def test_no_permission(open_folder: Path) -> None:
    url = f"sqlite:///{open_folder / 'feedback.sqlite'}"
    with closing(Store(url)):
        pass
    open_folder.joinpath("feedback.sqlite").chmod(0o444)
    open_folder.chmod(0o555)
    with as_nobody():
        assert "check that you may write the file and its folder" in refused(url)
        assert "check that the folder exists and that you may write there" in refused(f"{url}.other")
        assert "check that you may write there" in refused(f"sqlite:///{open_folder}/project/feedback.sqlite")
    open_folder.chmod(0o755)


def test_a_full_disk_is_an_error_of_the_storage(tmp_path: Path) -> None:
    with closing(Store(f"sqlite:///{tmp_path / 'feedback.sqlite'}")) as store:
        store.new_conversation(title="before")
        with store._database.transaction(writes=False) as connection:
            num_pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            # The one connection in the pool: the limit holds for what comes next.
            connection.execute(text(f"PRAGMA max_page_count={num_pages}"))
        with pytest.raises(StorageError, match="full") as caught:
            store.new_conversation(title=SECRET * 20_000)
        assert "free some space" in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))
        assert [each.title for each in store.conversations()] == ["before"]


# -- PostgreSQL -----------------------------------------------------------------------------------------------


def test_no_server_there() -> None:
    # Port 1 is reserved; nothing listens there.
    for url in (
        f"postgresql://anna:{SECRET}@127.0.0.1:1/base",
        f"postgresql://127.0.0.1:1/base?user=anna&password={SECRET}",
    ):
        message = refused(url)
        assert message.startswith("the feedback store PostgreSQL at 127.0.0.1:1, database base cannot be used (")
        assert "check that the server is running" in message
    assert "check that the folder exists, or that the server is running" in refused("postgresql:///base?host=/nowhere")


def test_passwords(cluster: Cluster) -> None:
    with closing(Store(cluster.port_url)) as store:
        assert cluster.password not in store._database.name
    wrong = cluster.port_url.replace("g%3Ae%40h%2Fe%25im", SECRET)
    message = refused(wrong)
    assert 'password authentication failed for user "anna"' in message
    assert "check user and password (PGPASSWORD or ~/.pgpass)" in message
    assert "does not exist" in refused(wrong.replace(SECRET, "g%3Ae%40h%2Fe%25im").replace("/postgres", "/nothing"))


def test_a_password_from_the_environment(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", cluster.password)
    with closing(Store(cluster.port_url.replace(":g%3Ae%40h%2Fe%25im", ""))) as store:
        assert store.conversations() == []


def test_a_database_that_cannot_hold_chinese(cluster: Cluster) -> None:
    engine = create_engine(
        cluster.socket_url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE latin ENCODING 'SQL_ASCII' TEMPLATE template0"))
    engine.dispose()
    message = refused(cluster.socket_url.replace("/postgres?", "/latin?"))
    assert "keeps texts as SQL_ASCII" in message
    assert "CREATE DATABASE" in message


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+psycopg", "postgres"])
def test_every_usual_scheme_is_understood(postgres_url: str, scheme: str) -> None:
    with closing(Store(f"{scheme}://{postgres_url.partition('://')[2]}")) as store:
        assert store.conversations() == []


# -- the schema -----------------------------------------------------------------------------------------------


def test_migrations_make_exactly_the_tables(store_url: str) -> None:
    options = {"compare_type": True, "compare_server_default": True, "version_table": VERSION_TABLE}
    with closing(Store(store_url)) as store, store._database.transaction(writes=False) as connection:
        assert {"heedful_conversation", "heedful_message", "heedful_feedback"} == Base.metadata.tables.keys()
        assert Base.metadata.tables.keys() <= set(inspect(connection).get_table_names())
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata) == []


def test_the_comparison_would_notice(store_url: str) -> None:
    with closing(Store(store_url)) as store, store._database.transaction(writes=True) as connection:
        connection.execute(text("DROP INDEX heedful_message_conversation_index"))
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert [change[0] for change in compare_metadata(context, Base.metadata)] == ["add_index"]


def test_a_store_of_a_newer_heedful_is_left_alone(store_url: str) -> None:
    with closing(Store(store_url)) as store:
        store.new_conversation(title="from the future")
        with store._database.transaction(writes=True) as connection:
            connection.execute(text(f"UPDATE {VERSION_TABLE} SET version_num = '9999'"))
    message = refused(store_url)
    assert "has version 9999, this Heedful knows up to 0001" in message
    assert "upgrade Heedful" in message


def test_opening_again_changes_nothing(store_url: str) -> None:
    with closing(Database(store_url)) as database:
        for _ in range(2):
            with database.transaction(writes=True) as connection:
                migrate(connection, database.name)
                assert connection.execute(text(f"SELECT version_num FROM {VERSION_TABLE}")).scalars().all() == ["0001"]
