"""Brings a database's schema to the newest revision, and says where it stands.

`python -m starwake.store.migrate` migrates the database of STARWAKE_DATABASE_URL; with `--check` it only compares, and
fails where the model (`tables.py`) and the history (`migrations/`) have grown apart; with `--revision "message"` it
writes a new revision from their difference.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from starwake.runtime.urls import database_arguments
from starwake.store.database import connection_failures
from starwake.store.errors import StoreUnavailable
from starwake.store.link import Link
from starwake.store.schema import MIGRATIONS, SchemaState, check_schema, head, known_revisions
from starwake.store.tables import metadata

_ADVISORY_LOCK = 0x5354_4152_5741_4B45  # "STARWAKE"
__all__ = ["SchemaState", "check_schema", "differences", "head", "main", "migrate", "write_revision"]

_CONNECT_SECONDS = 10
_UNLIMITED = {"lock_timeout": "0", "statement_timeout": "0", "idle_in_transaction_session_timeout": "0"}
_Result = TypeVar("_Result")


def migrate(url: str, *, progress: Callable[[str], None] | None = None) -> SchemaState:
    """Bring the schema at `url` (postgresql://...) to its head; one at a time, the others wait and find it done.

    Blocks; may also be called where an event loop runs in this thread.

    Args:
        url: the database, as an owner of its schema.
        progress: called with each revision that is applied, in words.

    Returns:
        Where the schema stands then. One that a later version has made is left as it is: this version works with it.

    Raises:
        StoreUnavailable: the database cannot be reached.
        ValueError: the URL cannot be read.
    """

    def upgrade(connection: Connection) -> SchemaState:
        current = _current(connection)
        if current is not None and current not in known_revisions():
            return SchemaState(current, head(), is_newer=True)
        config = _config(connection)
        for revision in _pending(current):
            if progress is not None:
                progress(f"{revision.revision}: {revision.doc}")
            command.upgrade(config, revision.revision)
        return SchemaState(head(), head())

    return _with_connection(url, upgrade, alone=True)


def differences(url: str) -> list[str]:
    """Where the model and the schema at `url` differ; empty where the history ends in the model."""

    def compare(connection: Connection) -> list[str]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return [repr(difference) for difference in compare_metadata(context, metadata)]

    return _with_connection(url, compare)


def write_revision(url: str, message: str) -> None:
    """Write a new revision into `migrations/versions/`: the difference between the schema at `url` and the model.

    Its number is the one after the newest.
    """
    number = f"{int(head()) + 1:04d}"

    def write(connection: Connection) -> None:
        command.revision(_config(connection), message=message, autogenerate=True, rev_id=number)

    _with_connection(url, write)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _current(connection: Connection) -> str | None:
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    return current


def _pending(current: str | None) -> list[Any]:
    newer = ScriptDirectory(str(MIGRATIONS)).iterate_revisions("heads", current or "base")
    return [revision for revision in newer if revision.revision != current][::-1]


def _with_connection(url: str, work: Callable[[Connection], _Result], *, alone: bool = False) -> _Result:
    link = Link({"timeout": _CONNECT_SECONDS, **database_arguments(url)}, "starwake-migrate", _UNLIMITED)

    async def connected() -> Any:  # noqa: ANN401 - asyncpg brings no types
        return await link.connect(statement_cache_size=0)

    async def run() -> _Result:
        # Connected outside SQLAlchemy, which would wrap what the driver says.
        lock, driver = None, None
        try:
            if alone:
                # On a connection of its own: through a pooler, a session's lock would stay behind in somebody else's.
                lock = await connected()
                await lock.execute("BEGIN; SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
                await lock.execute("SET LOCAL idle_in_transaction_session_timeout = 0")
                await lock.execute(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            driver = await connected()
            return await _work(driver, work)
        except connection_failures() as error:
            raise StoreUnavailable(f"the database cannot be reached: {error}") from error
        finally:
            for each in (lock, driver):
                if each is not None:
                    each.terminate()

    # In a thread of its own: alembic is synchronous, and the caller may be inside an event loop.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="migrate") as thread:
        return thread.submit(asyncio.run, run()).result()


async def _work(driver: Any, work: Callable[[Connection], _Result]) -> _Result:  # noqa: ANN401 - as above
    async def given() -> Any:  # noqa: ANN401 - as above
        return driver

    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=given,
        poolclass=NullPool,
        # Statements without names: with a pooler in between they could meet those of somebody else.
        connect_args={"prepared_statement_cache_size": 0, "prepared_statement_name_func": str},
    )
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()


def main(arguments: list[str] | None = None) -> int:
    """The command line described at the top of this module; the exit code is 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m starwake.store.migrate")
    parser.add_argument("--url", default=os.environ.get("STARWAKE_DATABASE_URL"))
    parser.add_argument("--check", action="store_true", help="compare model and schema, change nothing")
    parser.add_argument("--revision", metavar="MESSAGE", help="write a new revision")
    options = parser.parse_args(arguments)
    if not options.url:
        parser.error("--url or STARWAKE_DATABASE_URL is needed")
    found = differences(options.url) if options.revision or options.check else []
    if options.revision:
        if not found:
            sys.stderr.write("nothing to migrate: the tables in code are those that the migrations end in\n")
            return 1
        write_revision(options.url, options.revision)
        return 0
    if options.check:
        for difference in found:
            sys.stderr.write(f"{difference}\n")
        return 1 if found else 0
    state = migrate(options.url, progress=lambda line: print(line, flush=True))  # noqa: T201 - a command's output
    print(state.described)  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
