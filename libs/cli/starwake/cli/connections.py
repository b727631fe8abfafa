"""Connections of commands that speak to a stack: addresses from the running one, credentials from the settings."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable
from starwake.bus.options import options_from
from starwake.cli.errors import CliError
from starwake.cli.locate import locate
from starwake.runtime.logs import without_secrets
from starwake.runtime.settings import BusSettings, load_settings
from starwake.store.database import Database
from starwake.store.errors import StoreUnavailable

_BUS_SECONDS = 5.0
_POOL = 4


@asynccontextmanager
async def connected_bus(data: Path, *, wait_s: float = _BUS_SECONDS) -> AsyncGenerator[Bus]:
    """A connection to the stack's NATS.

    Raises:
        CliError: it cannot be reached.
        SettingsError: a setting has a bad value.
    """
    url = locate(data).nats_url
    try:
        bus = await Bus.connect(
            options_from(load_settings(BusSettings), name="starwake-cli", url=url), timeout_s=wait_s
        )
    except (BusUnavailable, ValueError, OSError) as error:
        raise CliError(f"NATS cannot be reached at {without_secrets(url)}: {error}") from error
    try:
        yield bus
    finally:
        await bus.close()


@asynccontextmanager
async def connected_database(data: Path) -> AsyncGenerator[Database]:
    """Connections to the stack's Postgres.

    Raises:
        CliError: it cannot be reached.
        SettingsError: a setting has a bad value.
    """
    url = locate(data).database_url
    try:
        database = await Database.connect(url, name="starwake-cli", max_connections=_POOL)
        # The pool connects when it is used: better to find out before anything else is done.
        await database.now()
    except StoreUnavailable as error:
        raise CliError(f"Postgres cannot be reached at {without_secrets(url)}: {error}") from error
    try:
        yield database
    finally:
        await database.close()
