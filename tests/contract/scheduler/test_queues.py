"""Orders that wait for their site start when the one before them ends, at its due time."""

from datetime import datetime, timedelta

from starwake.contracts.ids import new_id
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.players import unique_player


async def test_the_next_order_of_a_site_starts_at_the_due_time_of_the_one_before(served: Universe) -> None:
    player = unique_player()
    first = await served.build(player, 1.0, site="luna-1")
    second = await queued(served, player, "luna-1", 1_000)
    third = await queued(served, player, "luna-1", 1_000)
    elsewhere = await queued(served, player, "luna-2", 36_000_000)
    await eventually(lambda: _completed_count(served, player, 3), within_s=15)
    rows = {str(row["id"]): row for row in await served.sql("SELECT * FROM build WHERE player = $1", player)}
    assert rows[second]["started_at"] == first.due_at
    assert rows[third]["started_at"] == rows[second]["due_at"] == first.due_at + timedelta(seconds=1)
    pushes = await served.pushes(player)
    own = [(push.data["build"]["id"], push.event) for push in pushes if push.data["build"]["id"] != elsewhere]
    assert own == [
        (first.id, "build.started"),
        (first.id, "build.completed"),
        (second, "build.started"),
        (second, "build.completed"),
        (third, "build.started"),
        (third, "build.completed"),
    ]
    for push in pushes:
        assert push.stored_at.timestamp() >= datetime.fromisoformat(push.at).timestamp()


async def test_a_chain_goes_on_as_if_the_servers_had_been_up_all_the_time(
    universe: Universe, scheduler: StartScheduler
) -> None:
    player = unique_player()
    first = await universe.build(player, -600, site="luna-1", armed=False)
    chain = [await queued(universe, player, "luna-1", 60_000) for _ in range(3)]
    last = await queued(universe, player, "luna-1", 3_600_000)
    await scheduler()
    await eventually(lambda: _completed_count(universe, player, 4), within_s=15)
    rows = {str(row["id"]): row for row in await universe.sql("SELECT * FROM build WHERE player = $1", player)}
    starts = [rows[each]["started_at"] for each in chain]
    assert starts == [first.due_at + timedelta(seconds=60 * n) for n in range(3)]
    assert rows[last]["state"] == "building"
    assert rows[last]["due_at"] == first.due_at + timedelta(seconds=180 + 3600)
    assert await universe.sql("SELECT 1 FROM queued_order") == []


async def test_an_order_behind_a_cancelled_build_starts_when_that_was_cancelled(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 3600, site="luna-1")
    waiting = await queued(served, player, "luna-1", 36_000_000)
    ((cancelled_at,),) = [
        tuple(row.values())
        for row in await served.sql(
            "UPDATE build SET state = 'cancelled', revision = 2, cancelled_at = now() WHERE id = $1"
            " RETURNING cancelled_at",
            build.id,
        )
    ]

    async def started() -> bool:
        return bool(await served.sql("SELECT 1 FROM build WHERE id = $1", waiting))

    await eventually(started)
    row = await served.row(waiting)
    assert row["started_at"] == max(cancelled_at, build.started_at)
    assert row["due_at"] - row["started_at"] == timedelta(hours=10)


async def test_an_order_that_waited_is_not_told_as_started_before_it_is_told_as_queued(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.0, site="luna-1")
    waiting = await queued(served, player, "luna-1", 1_000)
    # Who took that order was killed before telling of it; young enough that no sweep has told it either.
    body = b'{"event":"build.queued","at":"2026-11-22T10:00:00.000Z","data":{"queued":{"id":"%b"}}}' % waiting.encode()
    await served.sql(
        "INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at, created_at)"
        " VALUES ($1, 'build', $2, 0, $3, $4, now(), now() + interval '1 minute')",
        f"{waiting}.0",
        waiting,
        player,
        body.decode(),
    )
    await served.completed(build)
    await eventually(lambda: _completed_count(served, player, 2), within_s=15)
    own = [push.event for push in await served.pushes(player) if push.message_id.startswith(waiting)]
    assert own == ["build.queued", "build.started", "build.completed"]


async def test_an_order_that_was_withdrawn_is_not_started(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.0, site="luna-1")
    withdrawn = await queued(served, player, "luna-1", 1_000)
    await served.sql("DELETE FROM queued_order WHERE id = $1", withdrawn)
    await served.completed(build)
    assert await served.sql("SELECT 1 FROM build WHERE id = $1", withdrawn) == []


async def queued(universe: Universe, player: str, site: str, duration_ms: int) -> str:
    order = new_id()
    await universe.sql(
        "INSERT INTO queued_order (id, player, site, kind, duration_ms, created_at)"
        " VALUES ($1, $2, $3, 'dock', $4, now() - interval '1 hour')",
        order,
        player,
        site,
        duration_ms,
    )
    return order


async def _completed_count(universe: Universe, player: str, count: int) -> bool:
    return (await universe.events(player)).count("build.completed") >= count
