"""The command service publishes nothing to a stream that lost its tail: the loss would never show."""

from pydantic import SecretStr

from libs.bus.connection import Bus
from libs.bus.feed import begin_epoch, read_feed
from libs.bus.options import BusOptions
from libs.bus.provision import provision
from libs.bus.streams import NOTIFICATIONS
from libs.store import feed_mark
from libs.store.database import Database
from services.command.settings import CommandSettings
from tests.contract.command.conftest import running
from tests.contract.command.universe import Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats


async def test_nothing_is_published_to_a_stream_below_the_mark_until_a_new_epoch_has_begun(
    fresh_nats: LocalNats, database_url: str, settings: CommandSettings
) -> None:
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="observer"))
    database = await Database.connect(database_url, name="test", max_connections=1)
    try:
        await provision(bus, 1)
        state = await begin_epoch(bus, above=0)
        async with database.connection() as connection:  # 100 were told, and the stream has none of them
            await feed_mark.begin_epoch(connection, NOTIFICATIONS, state.epoch or "", 100)
        own = settings.model_copy(update={"nats_url": fresh_nats.url, "database_url": SecretStr(database_url)})
        async with running(own) as _, Universe.over(bus, database_url) as universe:
            await universe.start()
            await universe.start("luna-2")
            mark = await universe.rows("SELECT last_seq FROM feed_mark")
            assert (await read_feed(bus)).last_seq == 0
            assert [row["last_seq"] for row in mark] == [100]

            state = await begin_epoch(bus, above=100)
            async with database.connection() as connection:
                await feed_mark.begin_epoch(connection, NOTIFICATIONS, state.epoch or "", 100)

            async def both_told() -> bool:
                return [push.seq for push in await universe.pushes()] == [101, 102]

            await eventually(both_told)
    finally:
        await database.close()
        await bus.close()
