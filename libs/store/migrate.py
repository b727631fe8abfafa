"""Brings a database's schema to the newest revision, and says where it stands.

`python -m libs.store.migrate` migrates the database of STARWAKE_DATABASE_URL; with `--check` it only compares, and
fails where the model (`tables.py`) and the history (`migrations/`) have grown apart; with `--revision "message"` it
writes a new revision from their difference.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar, cast

import asyncpg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from libs.store.database import connection_failures
from libs.store.errors import SchemaBehind, StoreUnavailable
from libs.store.schema import MIGRATIONS, SchemaState, check_schema, head, known_revisions
from libs.store.tables import metadata

_ADVISORY_LOCK = 0x5354_4152_5741_4B45  # "STARWAKE"
__all__ = ["SchemaState", "check_schema", "differences", "head", "main", "migrate", "write_revision"]

_CONNECT_SECONDS = 10
_UNLIMITED = {"application_name": "starwake-migrate", "lock_timeout": "0", "statement_timeout": "0"}
_Result = TypeVar("_Result")
_connect: Final = cast("Callable[..., Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]


def migrate(url: str, *, progress: Callable[[str], None] | None = None) -> SchemaState:
    """Bring the schema at `url` (postgresql://...) to its head; one at a time, the others wait and find it done.

    Blocks; may also be called where an event loop runs in this thread.

    Args:
        url: the database, as an owner of its schema.
        progress: told each revision that is applied, in words.

    Raises:
        StoreUnavailable: the database cannot be reached.
    """

    def upgrade(connection: Connection) -> None:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _ADVISORY_LOCK})
        connection.commit()
        try:
            config = _config(connection)
            for revision in _pending(connection):
                if progress is not None:
                    progress(f"{revision.revision}: {revision.doc}")
                command.upgrade(config, revision.revision)
        finally:
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ADVISORY_LOCK})
            connection.commit()

    _with_connection(url, upgrade)
    return SchemaState(head(), head())


def differences(url: str) -> list[str]:
    """Where the model and the schema at `url` differ; empty where the history ends in the model."""

    def compare(connection: Connection) -> list[str]:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return [repr(difference) for difference in compare_metadata(context, metadata)]

    return _with_connection(url, compare)


def write_revision(url: str, message: str) -> None:
    """Write a new revision into `migrations/versions/`: the difference between the schema at `url` and the model."""

    def write(connection: Connection) -> None:
        command.revision(_config(connection), message=message, autogenerate=True)

    _with_connection(url, write)


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    config.attributes["connection"] = connection
    return config


def _pending(connection: Connection) -> list[Any]:
    current = MigrationContext.configure(connection).get_current_revision()
    connection.rollback()
    if current is not None and current not in known_revisions():
        raise SchemaBehind(f"the database stands at revision {current}, which this program does not know: it is newer")
    newer = ScriptDirectory(str(MIGRATIONS)).iterate_revisions("heads", current or "base")
    return [revision for revision in newer if revision.revision != current][::-1]


def _with_connection(url: str, work: Callable[[Connection], _Result]) -> _Result:
    async def run() -> _Result:
        # Connected outside SQLAlchemy, which would wrap what the driver says (and the driver itself parses the URL, so
        # that it means the same here as in `Database`).
        try:
            driver = await _connect(url, timeout=_CONNECT_SECONDS, server_settings=_UNLIMITED)
        except connection_failures() as error:
            raise StoreUnavailable(f"the database cannot be reached: {error}") from error

        async def connected() -> Any:  # noqa: ANN401 - asyncpg brings no types
            return driver

        engine = create_async_engine("postgresql+asyncpg://", async_creator=connected, poolclass=NullPool)
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(work)
        except connection_failures() as error:
            raise StoreUnavailable(f"the database cannot be reached: {error}") from error
        finally:
            await engine.dispose()

    # In a thread of its own: alembic is synchronous, and the caller may be inside an event loop.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="migrate") as thread:
        return thread.submit(asyncio.run, run()).result()


def main(arguments: list[str] | None = None) -> int:
    """The command line described at the top of this module; the exit code is 1 where `--check` finds a difference."""
    parser = argparse.ArgumentParser(prog="python -m libs.store.migrate")
    parser.add_argument("--url", default=os.environ.get("STARWAKE_DATABASE_URL"))
    parser.add_argument("--check", action="store_true", help="compare model and schema, change nothing")
    parser.add_argument("--revision", metavar="MESSAGE", help="write a new revision")
    options = parser.parse_args(arguments)
    if not options.url:
        parser.error("--url or STARWAKE_DATABASE_URL is needed")
    if options.revision:
        write_revision(options.url, options.revision)
        return 0
    if options.check:
        found = differences(options.url)
        for difference in found:
            sys.stderr.write(f"{difference}\n")
        return 1 if found else 0
    state = migrate(options.url, progress=lambda line: print(line, flush=True))  # noqa: T201 - a command's output
    print(f"schema is at {state.current}")  # noqa: T201 - as above
    return 0


if __name__ == "__main__":
    sys.exit(main())
