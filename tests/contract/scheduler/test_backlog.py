"""Much overdue after an outage: it is worked off beside what comes due now, and does not delay it."""

from starwake.bus.jetstream import stream_info
from starwake.bus.streams import NOTIFICATIONS
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.players import unique_player

_OVERDUE = 6_000
_SMALL_BATCH = 5
"""Thousands of transactions for the backlog: seconds on any machine."""
_MORE = 15_000


async def _backlog(universe: Universe, count: int) -> None:
    await universe.sql(
        "INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at)"
        " SELECT gen_random_uuid(), 'backlog-' || n % 100, 'dock', 'site-' || n, 'building', 1,"
        " date_trunc('milliseconds', now()) - interval '2 hours',"
        " date_trunc('milliseconds', now()) - interval '1 hour' + n * interval '1 millisecond'"
        " FROM generate_series(1, $1::int) AS n",
        count,
    )


async def test_a_build_that_comes_due_during_a_backlog_is_told_before_the_bulk_of_it(
    universe: Universe, scheduler: StartScheduler
) -> None:
    process = await scheduler(STARWAKE_BATCH_SIZE=str(_SMALL_BATCH))
    await _backlog(universe, _OVERDUE)
    fresh = [await universe.build(unique_player(), 0.4 + n / 20, told=True) for n in range(5)]

    async def all_told() -> bool:
        return not await universe.sql("SELECT 1 FROM build WHERE state = 'building' UNION ALL SELECT 1 FROM outbox")

    await eventually(all_told, within_s=60)
    info = await stream_info(universe.bus, NOTIFICATIONS)
    assert info is not None
    assert info["state"]["messages"] == _OVERDUE + len(fresh), "each was told once"
    for build in fresh:
        (push,) = await universe.pushes(build.player)
        told_later = info["state"]["last_seq"] - push.seq
        assert told_later > _OVERDUE / 2, f"only {told_later} of the backlog were told after a build due during it"
        assert push.stored_at >= build.due_at
    assert process.exit_code is None


async def test_a_backlog_that_outlasts_the_boots_patience_goes_on_while_the_scheduler_is_ready(
    universe: Universe, scheduler: StartScheduler
) -> None:
    first = await scheduler()
    await first.stop()
    await _backlog(universe, _MORE)
    process = await scheduler(STARWAKE_BATCH_SIZE="1")
    assert await universe.sql("SELECT 1 FROM build WHERE state = 'building' LIMIT 1"), "ready, and not done yet"
    before = await process.metrics()
    assert before["starwake_scheduler_reconcile_seconds"] == 0, "the long comparison waits for the backlog"
    assert await process.stop() == 0
    await scheduler()

    async def all_told() -> bool:
        return not await universe.sql("SELECT 1 FROM build WHERE state = 'building' UNION ALL SELECT 1 FROM outbox")

    await eventually(all_told, within_s=60)
    info = await stream_info(universe.bus, NOTIFICATIONS)
    assert info is not None
    assert info["state"]["messages"] == _MORE, "each was told once"
