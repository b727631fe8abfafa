"""The command service alone, in this process, against real NATS and Postgres; one for the whole package."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pydantic import SecretStr

from starwake.bus.connection import Bus
from starwake.bus.options import BusOptions
from starwake.bus.provision import provision
from starwake.command.app import serve
from starwake.command.settings import CommandSettings
from starwake.runtime.service import Runtime
from tests.contract.command.universe import CATALOGUE, Universe
from tests.support.eventually import eventually
from tests.support.nats import NatsAddress
from tests.support.postgres import LocalPostgres


@asynccontextmanager
async def running(settings: CommandSettings) -> AsyncGenerator[Runtime, None]:
    """A copy of the service, ready; stopped in order at the end."""
    runtime = Runtime("command")
    task = asyncio.create_task(serve(runtime, settings))

    def ready() -> bool:
        if task.done():
            task.result()
        return runtime.health.readiness().ready

    try:
        await eventually(ready, within_s=30)
        yield runtime
    finally:
        runtime.stop()
        await asyncio.wait_for(task, 20)


@pytest.fixture(scope="package")
async def observer(nats_server: NatsAddress) -> AsyncIterator[Bus]:
    """A connection that does what gateways and operators do, and looks at the streams."""
    bus = await Bus.connect(BusOptions(url=nats_server.url, name="observer"))
    await provision(bus, 1)
    yield bus
    await bus.close()


@pytest.fixture(scope="package")
async def game_database(postgres_server: LocalPostgres) -> AsyncIterator[str]:
    """The package's database."""
    async with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="package")
def settings(nats_server: NatsAddress, game_database: str, server_directory: Path) -> CommandSettings:
    """How a copy of the service is started here: with a catalogue of the tests' own."""
    catalogue = server_directory / "command-catalogue.toml"
    catalogue.write_text(CATALOGUE)
    return CommandSettings(
        nats_url=nats_server.url, database_url=SecretStr(game_database), catalogue=catalogue, drain_seconds=5
    )


@pytest.fixture(scope="package")
async def service(settings: CommandSettings, observer: Bus) -> AsyncIterator[Runtime]:
    """The package's copy of the service."""
    assert observer.connected
    async with running(settings) as runtime:
        yield runtime


@pytest.fixture
async def universe(service: Runtime, observer: Bus, game_database: str) -> AsyncIterator[Universe]:
    """A player's and an observer's view of it."""
    assert service.health.readiness().ready
    async with Universe.over(observer, game_database) as view:
        yield view
