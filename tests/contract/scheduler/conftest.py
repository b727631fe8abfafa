"""Only the scheduler runs, as a process, against a NATS server and a database of the test's (or module's) own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from starwake.bus.connection import Bus
from starwake.bus.options import BusOptions
from tests.contract.scheduler.universe import Universe
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres
from tests.support.service_process import ServiceProcess

StartScheduler = Callable[..., Awaitable[ServiceProcess]]


@pytest.fixture
async def universe(fresh_nats: LocalNats, database_url: str) -> AsyncIterator[Universe]:
    """A universe of the test's own, where no scheduler runs yet."""
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    try:
        yield Universe(database_url, bus)
    finally:
        await bus.close()


@pytest.fixture
def scheduler(fresh_nats: LocalNats, database_url: str, service_process: StartScheduler) -> StartScheduler:
    """Starts a scheduler in the test's own universe; further settings by name."""

    async def begin(*, until_ready: bool = True, **env: str) -> ServiceProcess:
        settings = {"STARWAKE_NATS_URL": fresh_nats.url, "STARWAKE_DATABASE_URL": database_url, **env}
        return await service_process("scheduler", until_ready=until_ready, **settings)

    return begin


@pytest.fixture(scope="module")
async def served(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: LocalPostgres, server_directory: Path
) -> AsyncIterator[Universe]:
    """A universe with a running scheduler, shared by a module's tests; each uses players of its own."""
    nats = LocalNats(tmp_path_factory.mktemp("nats"))
    async with AsyncExitStack() as stack:
        database_url = await stack.enter_async_context(postgres_server.database())
        await nats.start()
        stack.push_async_callback(nats.stop)
        bus = await Bus.connect(BusOptions(url=nats.url, name="test"))
        stack.push_async_callback(bus.close)
        env = {"STARWAKE_NATS_URL": nats.url, "STARWAKE_DATABASE_URL": database_url}
        process = ServiceProcess("scheduler", env, server_directory)
        stack.push_async_callback(process.stop)
        await process.start()
        yield Universe(database_url, bus, process)
