from collections.abc import AsyncIterator

import pytest

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from tests.support.nats import LocalNats


@pytest.fixture
async def own_bus(fresh_nats: LocalNats) -> AsyncIterator[Bus]:
    """A connection to a server of the test's own, which it may kill."""
    connection = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    try:
        yield connection
    finally:
        await connection.close()


@pytest.fixture
async def own_streams(own_bus: Bus) -> Bus:
    """The same, with all streams."""
    await provision(own_bus, 1)
    return own_bus


@pytest.fixture
async def streams(bus: Bus) -> Bus:
    """The run's server, with all streams; players are to be the test's own."""
    await provision(bus, 1)
    return bus


@pytest.fixture
def publisher(streams: Bus) -> JetStreamPublisher:
    return JetStreamPublisher(streams)


@pytest.fixture
def own_publisher(own_streams: Bus) -> JetStreamPublisher:
    return JetStreamPublisher(own_streams)
