"""The command service publishes nothing while stream or table has gone backwards: the loss would never show."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from pydantic import SecretStr
from structlog.testing import capture_logs

from starwake.bus.connection import Bus
from starwake.bus.feed import begin_epoch, read_feed
from starwake.bus.options import BusOptions
from starwake.bus.provision import provision
from starwake.bus.streams import NOTIFICATIONS
from starwake.command.settings import CommandSettings
from starwake.contracts.ids import push_place
from starwake.store import high_water_mark
from starwake.store.database import Database
from tests.contract.command.conftest import running
from tests.contract.command.universe import Refused, Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.postgres import LocalPostgres, connect


async def test_nothing_is_published_to_a_stream_below_the_mark_until_a_new_epoch_has_begun(
    fresh_nats: LocalNats, database_url: str, settings: CommandSettings
) -> None:
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="observer"))
    database = await Database.connect(database_url, name="test", max_connections=1)
    try:
        await provision(bus, 1)
        state = await begin_epoch(bus, above=0)
        async with database.connection() as connection:  # 100 were published, and the stream has none of them
            await high_water_mark.begin_epoch(connection, NOTIFICATIONS, state.epoch or "", 100)
        own = settings.model_copy(update={"nats_url": fresh_nats.url, "database_url": SecretStr(database_url)})
        async with running(own) as _, Universe.over(bus, database_url) as universe:
            await universe.start()
            await universe.start("luna-2")
            mark = await universe.rows("SELECT last_seq FROM feed_mark")
            assert (await read_feed(bus)).last_seq == 0
            assert [row["last_seq"] for row in mark] == [100]

            state = await begin_epoch(bus, above=100)
            async with database.connection() as connection:
                await high_water_mark.begin_epoch(connection, NOTIFICATIONS, state.epoch or "", 100)

            async def both_told() -> bool:
                return [push.seq for push in await universe.pushes()] == [101, 102]

            await eventually(both_told)
    finally:
        await database.close()
        await bus.close()


async def test_nothing_is_published_over_a_table_restored_under_a_running_service_until_a_new_epoch_has_begun(
    fresh_nats: LocalNats, settings: CommandSettings, server_directory: Path
) -> None:
    """The row that the restored table changes anew was told at that revision already: only the mark shows it then."""
    directory = server_directory / "restored"
    directory.mkdir(mode=0o711)
    postgres = LocalPostgres(directory)
    await postgres.start()
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="observer"))
    try:
        async with postgres.database() as url:
            await provision(bus, 1)
            await _new_epoch(bus, url, above=0)
            own = settings.model_copy(update={"nats_url": fresh_nats.url, "database_url": SecretStr(url)})
            async with running(own), Universe.over(bus, url) as universe:
                build_id = (await universe.start())["id"]
                await eventually(lambda: _told(universe, url, 1))
                older = await postgres.back_up()
                await _until_accepted(lambda: universe.order("build.cancel", build_id=build_id))
                await eventually(lambda: _told(universe, url, 2))
                await postgres.restore(older)

                await _until_accepted(lambda: universe.order("build.cancel", build_id=build_id))
                await universe.start("luna-2")
                assert len(await universe.pushes()) == 2
                assert await _untold(url) == 2

                await _new_epoch(bus, url, above=3)
                await eventually(lambda: _told(universe, url, 2))
                told = await universe.pushes()
                assert [push.seq for push in told] == [4, 5]
                assert push_place(told[0].message_id) == (build_id, 2)
    finally:
        await bus.close()
        await postgres.stop()


async def test_a_service_that_is_held_back_stops_in_order(
    fresh_nats: LocalNats, database_url: str, settings: CommandSettings
) -> None:
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="observer"))
    try:
        await provision(bus, 1)
        await _new_epoch(bus, database_url, above=0, mark=100)
        own = settings.model_copy(update={"nats_url": fresh_nats.url, "database_url": SecretStr(database_url)})
        with capture_logs() as said:
            async with running(own), Universe.over(bus, database_url) as universe:
                await universe.start()
        assert {"outbox.held_back"} <= {each["event"] for each in said}
        assert "drain.incomplete" not in {each["event"] for each in said}
    finally:
        await bus.close()


async def _new_epoch(bus: Bus, database_url: str, *, above: int, mark: int = 0) -> None:
    """What the scheduler does."""
    database = await Database.connect(database_url, name="test", max_connections=1)
    try:
        state = await begin_epoch(bus, above=above)
        async with database.connection() as connection:
            await high_water_mark.begin_epoch(connection, NOTIFICATIONS, state.epoch or "", max(above, mark))
    finally:
        await database.close()


async def _told(universe: Universe, url: str, count: int) -> bool:
    return len(await universe.pushes()) == count and await _untold(url) == 0


async def _untold(url: str) -> object:
    connection = await connect(url)
    try:
        return await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()


async def _until_accepted(order: Callable[[], Awaitable[object]]) -> None:
    """Send it until the database is there for it."""

    async def accepted() -> bool:
        with suppress(Refused):
            await order()
            return True
        return False

    await eventually(accepted, within_s=30)
