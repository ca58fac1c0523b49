"""The schema of the state database, and the way to it from every earlier one.

Alembic runs the scripts beside this module, and only when the database is behind: a command that finds it current does
not even import Alembic.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from gateway.errors import StateUnavailable

SCRIPTS = Path(__file__).parent / "versions"
HEAD = "0011"
BEGIN = "gateway_begin"
"""The execution option that says how a transaction begins: ``BEGIN`` unless it is given."""


def upgrade(engine: Engine) -> None:
    """Bring the schema to :data:`HEAD`; two processes that start at once do it one after the other.

    Raises:
        StateUnavailable: the schema is of a version that is not known here.
    """
    with engine.connect() as connection:
        if _current(connection) == HEAD:
            return
    with engine.connect().execution_options(**{BEGIN: "BEGIN IMMEDIATE"}) as connection:  # whoever is second waits
        if _current(connection) != HEAD:
            _run(connection)
        connection.commit()


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return found


def _run(connection: Connection) -> None:
    from alembic.migration import MigrationContext  # slow to import, rarely needed
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    scripts = ScriptDirectory(str(SCRIPTS.parent), version_locations=[str(SCRIPTS)])
    context = MigrationContext.configure(
        connection, opts={"fn": lambda revision, _context: scripts._upgrade_revs(HEAD, revision)}
    )
    try:
        with Operations.context(context):
            context.run_migrations()
    except CommandError as error:
        raise StateUnavailable(f"the state database was made by another version: {error}; run that one") from error
