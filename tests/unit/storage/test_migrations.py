"""The way to the current schema."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from threading import Barrier

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from gateway.errors import StateUnavailable
from gateway.justification import Ticket
from gateway.storage import StateStore, migrations
from gateway.storage.migrations import HEAD, SCRIPTS
from gateway.storage.tables import metadata, row_of
from tests.unit.storage.conftest import Opener
from tests.unit.storage.nouns import TICKET
from tests.world.clock import FakeClock


def schema(path: Path) -> list[tuple[str, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
    connection.close()
    return found


def statements(path: Path) -> dict[str, set[str]]:
    """What made each table and index, as lines in no order; a table that was made anew has its name in quotes."""
    return {
        name: {line.strip(" ,\t").replace('"', "") for line in (sql or "").splitlines()}
        for _, name, sql in schema(path)
    }


def test_scripts_lead_to_the_schema_of_the_tables(path: Path, store: StateStore) -> None:
    """No table, column, type, key or index differs."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_scripts_and_tables_make_the_same_database(path: Path, store: StateStore, tmp_path: Path) -> None:
    """Line by line, down to what Alembic does not compare, such as revisions that are never given twice."""
    engine = create_engine(f"sqlite:///{tmp_path}/direct.db")
    metadata.create_all(engine)
    engine.dispose()
    migrated = {name: lines for name, lines in statements(path).items() if not name.endswith("alembic_version_1")}
    migrated.pop("alembic_version")
    assert migrated == statements(tmp_path / "direct.db")


def test_head_is_the_last_script() -> None:
    """A new script is not forgotten."""
    scripts = ScriptDirectory(str(SCRIPTS.parent), version_locations=[str(SCRIPTS)])
    assert scripts.get_current_head() == HEAD


def test_second_start_changes_nothing(path: Path, open_store: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that is current is left alone, without so much as importing Alembic."""
    open_store().put(TICKET)
    before = schema(path)
    monkeypatch.setitem(sys.modules, "alembic.migration", None)
    assert open_store().get(type(TICKET), TICKET.id) == TICKET
    assert schema(path) == before


@pytest.fixture
def crowd() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.mark.parametrize("attempt", range(5))
def test_starts_at_once_take_turns(tmp_path: Path, crowd: ThreadPoolExecutor, attempt: int) -> None:
    """Whoever is second waits, and finds the schema there."""
    together = Barrier(4)

    def start(number: int) -> int:
        together.wait(10)
        store = StateStore(f"sqlite:///{tmp_path}/gateway.db", FakeClock())
        store.put(TICKET)
        store.close()
        return number

    assert list(crowd.map(start, range(4))) == [0, 1, 2, 3]
    connection = sqlite3.connect(tmp_path / "gateway.db")
    assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(HEAD,)]
    connection.close()


def test_migration_that_fails_leaves_nothing(path: Path, open_store: Opener) -> None:
    """All of a script or none of it: the next start begins anew."""
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE change (revision INTEGER)")  # the last table, in the way of the script
    connection.close()
    with pytest.raises(StateUnavailable, match="already exists"):
        open_store()
    assert [name for _, name, _ in schema(path)] == ["change"]


def test_database_of_a_later_version_is_refused(path: Path, open_store: Opener) -> None:
    """An older program does not write into a schema that it does not know."""
    open_store().close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StateUnavailable, match=r"made by another version.*9999"):
        open_store()


SINCE = {
    "handed_off_us",
    "nature",
    "holder_country",
    "queued_until_us",
    "pushed_by",
}  # what the first version did not have


def test_a_ticket_that_is_in_the_queue_counts_as_handed_off(
    path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was, by a version that did not write down when."""
    path.parent.mkdir()
    engine = create_engine(f"sqlite:///{path}")
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "HEAD", "0001")
        migrations.upgrade(engine)
    engine.dispose()
    row = {name: value for name, value in row_of(TICKET).items() if name not in SINCE}
    names, places = ", ".join(row), ", ".join("?" * len(row))
    with closing(sqlite3.connect(path)) as connection:
        for key, holder in (("CASE-6", "us-queue"), ("CASE-7", "sam")):
            values = [*(row | {"id": key, "holder": holder}).values()]
            connection.execute(f"INSERT INTO ticket ({names}) VALUES ({places})", values)
        connection.commit()
    store = StateStore(f"sqlite:///{path}", clock)
    assert [ticket.handed_off_us for ticket in store.all(Ticket)] == [TICKET.opened_us, 0]
    store.close()
