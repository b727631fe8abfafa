from collections.abc import AsyncIterator

import pytest

from libs.bus.connection import Bus, BusOptions
from libs.bus.provision import provision
from libs.bus.publish import JetStreamPublisher
from tests.support.nats import LocalNats


@pytest.fixture
async def streams(bus: Bus) -> Bus:
    """The run's server, with all streams."""
    await provision(bus, 1)
    return bus


@pytest.fixture
def publisher(streams: Bus) -> JetStreamPublisher:
    return JetStreamPublisher(streams)


@pytest.fixture
async def own_bus(fresh_nats: LocalNats) -> AsyncIterator[Bus]:
    """A connection to a server of the test's own, which it may kill."""
    connection = await Bus.connect(BusOptions(url=fresh_nats.url, name="test"))
    try:
        yield connection
    finally:
        await connection.close()
