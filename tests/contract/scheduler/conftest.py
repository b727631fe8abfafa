"""Only the scheduler runs, as a process, against a NATS server and a database of the test's own."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from libs.bus.connection import Bus
from libs.bus.options import BusOptions
from tests.contract.scheduler.universe import Universe
from tests.support.nats import LocalNats
from tests.support.service_process import ServiceProcess

StartScheduler = Callable[..., Awaitable[ServiceProcess]]


@pytest.fixture
async def universe(fresh_nats: LocalNats, database_url: str) -> AsyncIterator[Universe]:
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    try:
        yield Universe(database_url, bus)
    finally:
        await bus.close()


@pytest.fixture
def scheduler(fresh_nats: LocalNats, database_url: str, service_process: StartScheduler) -> StartScheduler:
    """Starts a scheduler; further settings by name."""

    async def begin(*, until_ready: bool = True, **env: str) -> ServiceProcess:
        settings = {"STARWAKE_NATS_URL": fresh_nats.url, "STARWAKE_DATABASE_URL": database_url, **env}
        return await service_process("scheduler", until_ready=until_ready, **settings)

    return begin
