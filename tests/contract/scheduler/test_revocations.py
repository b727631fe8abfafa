"""Who was revoked stays so whatever NATS loses: the table and the stream are brought to say the same."""

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from starwake.bus.errors import BusError
from starwake.bus.revocations import publish_revocation, stored_revocations
from starwake.contracts.ids import PlayerId
from starwake.contracts.times import truncate
from starwake.scheduler.upkeep.retention import delete_expired
from starwake.store.database import Database
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats

NOW = truncate(datetime.now(UTC))
ADA, BO = PlayerId("ada"), PlayerId("bo.%*")
NOTE = "INSERT INTO revocation (player, revoked_at) VALUES ($1, $2)"


async def in_stream(universe: Universe, *players: PlayerId) -> dict[PlayerId, datetime]:
    with suppress(BusError):
        return {player: each.at for player, each in (await stored_revocations(universe.bus, players)).items()}
    return {}


async def until_stored(universe: Universe, wanted: dict[PlayerId, datetime]) -> None:
    async def stored() -> bool:
        return await in_stream(universe, *wanted) == wanted

    await eventually(stored, within_s=20)


async def test_with_the_store_lost_the_revocations_are_there_again(
    universe: Universe, scheduler: StartScheduler, fresh_nats: LocalNats
) -> None:
    for player in (ADA, BO):
        await universe.sql(NOTE, player, NOW)
    await scheduler()
    await until_stored(universe, {ADA: NOW, BO: NOW})

    await fresh_nats.kill()
    fresh_nats.lose_store()
    await fresh_nats.start()

    await until_stored(universe, {ADA: NOW, BO: NOW})


async def test_an_older_copy_of_the_store_learns_the_later_ones(
    universe: Universe, scheduler: StartScheduler, fresh_nats: LocalNats
) -> None:
    await universe.sql(NOTE, ADA, NOW - timedelta(hours=1))
    await scheduler()
    await until_stored(universe, {ADA: NOW - timedelta(hours=1)})
    await fresh_nats.stop()
    store = fresh_nats._server.directory / "jetstream"  # pyright: ignore[reportPrivateUsage]
    older = store.with_name("older")
    shutil.copytree(store, older)
    await universe.sql("UPDATE revocation SET revoked_at = $1", NOW)
    await universe.sql(NOTE, BO, NOW)
    shutil.rmtree(store)
    older.rename(store)
    await fresh_nats.start()
    await until_stored(universe, {ADA: NOW, BO: NOW})


async def test_what_only_the_stream_knows_is_noted_in_the_table(universe: Universe, scheduler: StartScheduler) -> None:
    """`starwake revoke` where no command service answered."""
    first = await scheduler()
    await publish_revocation(universe.bus, ADA, NOW)
    await first.stop()
    await scheduler()

    async def noted() -> bool:
        rows = await universe.sql("SELECT player, revoked_at FROM revocation")
        return [(row["player"], row["revoked_at"]) for row in rows] == [(ADA, NOW)]

    await eventually(noted, within_s=20)


async def test_an_earlier_one_in_the_table_does_not_replace_a_later_one_in_the_stream(
    universe: Universe, scheduler: StartScheduler
) -> None:
    first = await scheduler()
    await publish_revocation(universe.bus, ADA, NOW)
    await first.stop()
    await universe.sql(NOTE, ADA, NOW - timedelta(hours=1))
    await scheduler()

    async def alike() -> bool:
        (row,) = await universe.sql("SELECT revoked_at FROM revocation")
        return row["revoked_at"] == NOW

    await eventually(alike, within_s=20)
    assert await in_stream(universe, ADA) == {ADA: NOW}


async def test_revocations_are_forgotten_when_the_stream_forgets_them_too(
    universe: Universe, scheduler: StartScheduler
) -> None:
    await universe.sql(NOTE, ADA, NOW - timedelta(days=30, minutes=1))
    await universe.sql(NOTE, BO, NOW - timedelta(days=29))
    await scheduler()
    await until_stored(universe, {BO: NOW - timedelta(days=29)})
    assert await in_stream(universe, ADA) == {}
    database = await Database.connect(universe.database_url, name="test")
    try:
        await delete_expired(database, 7)
    finally:
        await database.close()
    assert [row["player"] for row in await universe.sql("SELECT player FROM revocation")] == [BO]
