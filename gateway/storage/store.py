"""The state store: nouns in, nouns out, and a feed of what changed.

Invariants: a write and its row in the feed share one transaction; a foreign exception never leaves this module, it
becomes :class:`StateUnavailable`; the database is brought to the current schema when it is opened.
"""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, func, or_, select, tuple_
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.exc import SQLAlchemyError

from gateway.catalog.customers import Customer, CustomerPlan
from gateway.clock import Clock
from gateway.errors import NotFound, StateUnavailable, UsageError
from gateway.files import identity, stamp
from gateway.storage import tables
from gateway.storage.migrations import BEGIN, upgrade

Noun = TypeVar("Noun")
BUSY_TIMEOUT_S = 5.0
WAL_ATTEMPTS, WAL_PAUSE_S = 5, 0.05
PAGE_ROWS = 200
NO_TEXTS: Mapping[str, str] = {}
NO_LISTS: Mapping[str, Sequence[str]] = {}


class StateStore:
    """The state database.

    Args:
        url: ``sqlite:///path``.
        clock: for the instants in the feed.

    Raises:
        StateUnavailable: it cannot be opened, or its schema cannot be brought up to date.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self.clock = clock
        self._engine = _engine(url)
        path = url.removeprefix("sqlite:///")
        self._files = (path, path + "-wal")
        with self._translated():
            upgrade(self._engine)
        self._identity = identity(path)

    def close(self) -> None:
        self._engine.dispose()

    def fingerprint(self) -> tuple[object, ...]:
        """Differs once anybody has written to the database's files, give or take the clock tick of its file system."""
        return tuple(map(stamp, self._files))

    @contextmanager
    def transaction(self, *, exclusive: bool = False) -> Iterator[Transaction]:
        """Everything written inside becomes visible at once, or not at all.

        Args:
            exclusive: nobody else writes from its beginning on, so that what is read inside is what is built upon.
        """
        with self.connection(writing=exclusive) as connection:
            yield Transaction(connection, self.clock)

    @contextmanager
    def connection(self, *, writing: bool = False) -> Iterator[Connection]:
        """A transaction for what knows the tables; one that is ``writing`` waits for its turn before it reads."""
        with self._translated(), self._engine.connect() as connection:
            options = connection.execution_options(**{BEGIN: "BEGIN IMMEDIATE"}) if writing else connection
            with options.begin():
                yield options

    def put(self, *nouns: Any) -> None:
        """Write nouns in one transaction."""
        with self.transaction() as transaction:
            for noun in nouns:
                transaction.put(noun)

    def get(self, kind: type[Noun], key: str) -> Noun:
        """The noun with this id.

        Raises:
            NotFound: there is none.
        """
        found = self.find(kind, key)
        if found is None:
            raise NotFound(f"there is no {_spoken(kind)} {key!r}")
        return found

    def find(self, kind: type[Noun], key: str) -> Noun | None:
        with self._translated(), self._engine.connect() as connection:
            return next(_read(connection, kind, [key]), None)

    def all(self, kind: type[Noun]) -> Iterator[Noun]:
        """Every noun of a kind, in the order of their ids."""
        with self._translated(), self._engine.connect() as connection:
            yield from _read(connection, kind)

    def revision(self) -> int:
        """The newest revision of the feed; 0 before the first change."""
        with self._translated(), self._engine.connect() as connection:
            return int(connection.scalar(select(func.max(tables.change.c.revision))) or 0)

    def changes(self, since: int) -> tuple[int, list[Any]]:
        """What changed after revision ``since``: the newest revision, and the nouns as they are now.

        Args:
            since: a revision of this database, or 0.

        Raises:
            StateUnavailable: it cannot be read, or is not the one that gave this revision (an older copy, put back),
                or its file was removed or replaced: then what is read here is not what others write.
        """
        self._require_in_place()
        with self._translated(), self._engine.connect() as connection:
            query = select(tables.change).where(tables.change.c.revision >= since).order_by(tables.change.c.revision)
            rows = connection.execute(query).all()
            if since and (not rows or rows[0].revision != since):
                raise StateUnavailable(f"the state database no longer has revision {since}; start the gateway again")
            changed = {(row.noun, row.key): None for row in rows if row.revision > since}
            nouns = [noun for kind, key in changed for noun in _changed(connection, kind, key)]
        self._require_in_place()
        return (rows[-1].revision if rows else since), nouns

    def _require_in_place(self) -> None:
        if identity(self._files[0]) != self._identity:
            raise StateUnavailable(
                f"the state database {self._files[0]} was removed or replaced while in use; start the gateway again"
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise StateUnavailable(
                f"the state database cannot be used: {cause}; see `residency-gateway doctor`"
            ) from error
        except (UnicodeEncodeError, OverflowError) as error:
            raise UsageError(f"a value given cannot stand in the state database: {error}") from error


class Transaction:
    """Reads and writes that belong together."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock

    def get(self, kind: type[Noun], key: str) -> Noun:
        """The noun with this id.

        Raises:
            NotFound: there is none.
        """
        found = self.find(kind, key)
        if found is None:
            raise NotFound(f"there is no {_spoken(kind)} {key!r}")
        return found

    def find(self, kind: type[Noun], key: str) -> Noun | None:
        return next(_read(self._connection, kind, [key]), None)

    def all(self, kind: type[Noun], **equal: str) -> list[Noun]:
        """Every noun of a kind, in the order of their ids, whose fields equal these."""
        return list(_read(self._connection, kind, **equal))

    def customers(self, *, after: str = "") -> Iterator[Customer]:
        """Customers in the order of their ids, behind this one."""
        named = select(tables.customer.c.id).where(tables.customer.c.id > after).order_by(tables.customer.c.id)
        while keys := list(self._connection.scalars(named.limit(PAGE_ROWS))):
            yield from _customers(self._connection, keys)
            named = named.where(tables.customer.c.id > keys[-1])

    def newest(
        self,
        kind: type[Noun],
        *,
        by: str,
        after: str = "",
        equal: Mapping[str, str] = NO_TEXTS,
        among: Mapping[str, Sequence[str]] = NO_LISTS,
    ) -> Iterator[Noun]:
        """Nouns of a kind, the newest first.

        Args:
            by: the field that says when each began; of those that began at once, the greater id comes first.
            after: begin behind the one with this id.
            equal: fields and what each has to be.
            among: fields that are lists, and of what each has to hold at least one.
        """
        table = tables.NOUNS[kind]
        [key] = table.primary_key.columns
        place = tuple_(table.c[by], key)
        query = select(table).filter_by(**equal).order_by(table.c[by].desc(), key.desc())
        for field, values in among.items():  # a JSON array holds a text exactly where it holds its JSON
            query = query.where(or_(*(func.instr(table.c[field], json.dumps(value)) > 0 for value in values)))
        if after:
            query = query.where(place < select(table.c[by], key).where(key == after).scalar_subquery())
        for row in self._connection.execute(query).mappings():
            yield tables.noun_of(kind, row)

    def put(self, noun: Any) -> None:
        """Insert a noun, or replace its earlier state."""
        if isinstance(noun, Customer):
            self._put_customer(noun)
        else:
            table = tables.NOUNS[type(noun)]
            self._upsert(table, tables.row_of(noun))
            [key] = table.primary_key.columns
            self._announce(type(noun).__name__, getattr(noun, key.name))

    def _put_customer(self, customer: Customer) -> None:
        self._upsert(tables.customer, {name: getattr(customer, name) for name in tables.CUSTOMER_FIELDS})
        for plan in customer.plans:
            self._upsert(tables.plan, tables.row_of(plan) | {"customer": customer.id})
        self._announce(Customer.__name__, customer.id)

    def _upsert(self, table: Any, row: dict[str, Any]) -> None:
        self._connection.execute(_upserting(table, tuple(row)), row)

    def _announce(self, noun: str, key: str) -> None:
        self._connection.execute(tables.change.insert().values(noun=noun, key=key, at_us=self._clock.now_us()))


@cache
def _upserting(table: Any, names: tuple[str, ...]) -> Insert:
    """The statement that inserts these columns, or replaces what stood there; made once, for it costs more to make than
    to run."""
    keys = [column.name for column in table.primary_key.columns]
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in names if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


def _engine(url: str) -> Engine:
    _make_directory(Path(url.removeprefix("sqlite:///")).parent)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:  # a name that no directory can have is a ValueError
        raise StateUnavailable(f"the state database's directory cannot be made: {error}; check state.url") from error


def _begin(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN, "BEGIN"))


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun by the listener above, reads included
    _write_ahead(connection)
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Readers beside a writer. The first switch needs the file alone and does not wait for it, so it is tried again."""
    for _ in range(WAL_ATTEMPTS - 1):
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode=WAL")
            return
        time.sleep(WAL_PAUSE_S)
    connection.execute("PRAGMA journal_mode=WAL")


def _read(connection: Connection, kind: type[Noun], keys: Sequence[str] | None = None, **equal: str) -> Iterator[Noun]:
    if kind is Customer:
        yield from _customers(connection, keys)  # type: ignore[misc]  # Noun is Customer here
        return
    table = tables.NOUNS[kind]
    [key] = table.primary_key.columns
    query = select(table).filter_by(**equal).order_by(key)
    for row in connection.execute(query if keys is None else query.where(key.in_(keys))).mappings():
        yield tables.noun_of(kind, row)


def _customers(connection: Connection, keys: Sequence[str] | None) -> Iterator[Customer]:
    plans: dict[str, list[CustomerPlan]] = {}
    query = select(tables.plan).order_by(tables.plan.c.ordered_us, tables.plan.c.id)
    for row in connection.execute(query if keys is None else query.where(tables.plan.c.customer.in_(keys))).mappings():
        plans.setdefault(row["customer"], []).append(tables.noun_of(CustomerPlan, row))
    named = select(tables.customer).order_by(tables.customer.c.id)
    for found in connection.execute(named if keys is None else named.where(tables.customer.c.id.in_(keys))):
        fields = {name: getattr(found, name) for name in tables.CUSTOMER_FIELDS}
        yield Customer(plans=tuple(plans.get(found.id, ())), **fields)


def _changed(connection: Connection, noun: str, key: str) -> Iterator[Any]:
    kinds = {kind.__name__: kind for kind in (*tables.NOUNS, Customer)}
    if noun in kinds:
        yield from _read(connection, kinds[noun], [key])


def _spoken(kind: type[Any]) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", kind.__name__).lower()
