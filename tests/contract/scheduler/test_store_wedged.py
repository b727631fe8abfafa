"""A disk that was full and is free again: nats-server keeps refusing until it is restarted, and that has to be seen."""

import httpx
import pytest

from starwake.bus.errors import BusTimeout
from starwake.bus.publish import JetStreamPublisher
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player


async def reasons(health_url: str) -> dict[str, str]:
    """What `/readyz` says stands against the scheduler."""
    async with httpx.AsyncClient(timeout=5, trust_env=False) as http:
        return (await http.get(f"{health_url}/readyz")).json()["reasons"]


async def test_streams_that_take_nothing_since_their_disk_was_full_make_the_scheduler_not_ready(
    fresh_nats: LocalNats, universe: Universe, scheduler: StartScheduler
) -> None:
    process = await scheduler(STARWAKE_SILENCE_SECONDS="2")
    player = unique_player()
    publisher = JetStreamPublisher(universe.bus)
    fresh_nats.fill_disk()
    for subject in ("notify.player.junk", "timer.set.junk"):
        with pytest.raises(BusTimeout):
            await publisher.publish(subject, b"", timeout_s=1)
    fresh_nats.free_disk()
    build = await universe.build(player, 0.5, armed=False)

    async def both_told_of() -> bool:
        found = await reasons(process.health_url)
        return {"outbox", "alarms"} <= set(found)

    await eventually(both_told_of, within_s=40)
    found = await reasons(process.health_url)
    assert found["outbox"].startswith("pushes wait in the outbox for ")
    assert found["alarms"].startswith("no alarm could be set for ")
    metrics = await process.metrics()
    assert metrics["starwake_scheduler_untold_seconds"] >= 2
    assert metrics["starwake_scheduler_alarms_refused_seconds"] >= 2

    await fresh_nats.stop()
    await fresh_nats.start()
    await universe.completed(build, within_s=30)
    await eventually(process.is_ready, within_s=30)


async def test_what_the_stream_can_never_take_is_set_aside_and_what_follows_it_is_told(
    universe: Universe, scheduler: StartScheduler
) -> None:
    player = unique_player()
    build = await universe.build(player, 600)
    await universe.sql(
        "UPDATE outbox SET payload = jsonb_build_object('event', 'a.b', 'data', repeat('x', 1100000))::text"
    )
    for revision in (2, 3):
        await universe.sql(
            "INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at)"
            ' SELECT $1, \'build\', $2, $3, $4, \'{"event":"build.rescheduled","at":"","data":{}}\', now()',
            f"{build.id}.{revision}",
            build.id,
            revision,
            player,
        )
    process = await scheduler()

    async def told() -> bool:
        return await universe.events(player) == ["build.rescheduled"] * 2

    async def only_one_is_left() -> bool:
        return [row["revision"] for row in await universe.sql("SELECT revision FROM outbox")] == [1]

    await eventually(told, within_s=15)
    # What was published is deleted a moment after it was heard.
    await eventually(only_one_is_left, within_s=15)
    left = await universe.sql("SELECT set_aside FROM outbox")
    assert "the server takes 1048576" in left[0]["set_aside"]

    async def counted() -> bool:
        return (await process.metrics())["starwake_scheduler_set_aside"] == 1

    await eventually(counted, within_s=15)
    assert await process.is_ready()
