"""Killed in the middle, cut off from what it depends on, several at once: nothing is lost, doubled or early."""

import asyncio
import signal
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from starwake.contracts.alarms import build_alarm
from starwake.contracts.builds import BuildRecord
from starwake.runtime import crash_points
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player


async def test_what_was_left_untold_is_told_in_order(universe: Universe, scheduler: StartScheduler) -> None:
    player = unique_player()
    build = await universe.build(player, -5, armed=False)
    await scheduler()
    await universe.completed(build)
    assert await universe.events(player) == ["build.started", "build.completed"]
    other = await universe.build(unique_player(), 3600)
    await eventually(lambda: universe.pushes(other.player))
    assert await universe.events(other.player) == ["build.started"]
    await universe.outbox_empty()


@pytest.mark.parametrize(
    "point",
    [crash_points.BATCH_IN_HAND, crash_points.AFTER_UPDATE, crash_points.AFTER_PUBLISH, crash_points.BEFORE_ACK],
)
async def test_killed_at_any_step_of_a_completion_the_next_one_finishes_it_exactly_once(
    universe: Universe, scheduler: StartScheduler, point: str
) -> None:
    doomed = await scheduler(STARWAKE_TESTING="true", STARWAKE_FAULT=point)
    player = unique_player()
    builds = [await universe.build(player, 1.0 + n / 50) for n in range(5)]
    await eventually(lambda: doomed.exit_code == -signal.SIGKILL, within_s=15)
    await scheduler()
    await universe.completed(*builds)
    await universe.outbox_empty()
    await _told_once_in_order(universe, *builds)
    if point == crash_points.BEFORE_ACK:  # redelivered once the server has given up waiting for the dead one
        await eventually(universe.no_alarm_waits, within_s=45)


async def test_several_schedulers_share_a_herd_and_killing_one_loses_and_doubles_nothing(
    universe: Universe, scheduler: StartScheduler
) -> None:
    one, two = await scheduler(), await scheduler()
    players = [unique_player() for _ in range(20)]
    builds = [universe.record(player, 6.0) for player in players for _ in range(30)]
    await universe.insert(*builds)
    await universe.alarms.arm([build_alarm(build) for build in builds])
    await asyncio.sleep(max(0.0, _left(builds[0]) - 0.05))
    await one.kill()
    await universe.completed(*builds, within_s=20)
    assert two.exit_code is None
    for player in players:
        told = Counter(push.message_id for push in await universe.pushes(player))
        assert set(told.values()) == {1}
        assert len(told) == 30
    await _never_early(universe, *builds)


async def test_what_a_stopping_scheduler_holds_is_completed_on_time_by_another(
    universe: Universe, scheduler: StartScheduler
) -> None:
    one, two = await scheduler(), await scheduler()
    builds = [await universe.build(unique_player(), 2.0, told=True) for _ in range(20)]
    await asyncio.sleep(max(0.0, _left(builds[0]) - 0.3))
    assert await one.stop() == 0
    await universe.completed(*builds)
    for build in builds:
        (push,) = await universe.pushes(build.player)
        assert timedelta(0) <= push.stored_at - build.due_at < timedelta(milliseconds=500)
    assert two.exit_code is None


async def test_with_the_database_away_nothing_is_acknowledged_and_all_is_completed_when_it_is_back(
    universe: Universe, scheduler: StartScheduler
) -> None:
    process = await scheduler()
    player = unique_player()
    builds = [await universe.build(player, 1.5 + n / 10) for n in range(5)]
    async with universe.database_away():
        await asyncio.sleep(max(0.0, _left(builds[-1]) + 0.5))
        assert await universe.pushes(player) == [], "nobody could know that they are complete"
        assert await process.get("/readyz") == 503
        assert await process.get("/healthz") == 200

        async def lag_is_shown() -> bool:
            return (await process.metrics())["starwake_scheduler_consumer_unacknowledged"] == len(builds)

        await eventually(lag_is_shown, within_s=15, every_s=0.2)
        assert (await process.metrics())["starwake_scheduler_poison_total"] == 0, "the alarms are not at fault"
    await universe.completed(*builds)
    await _told_once_in_order(universe, *builds)
    await eventually(process.is_ready)
    await eventually(universe.no_alarm_waits, within_s=45)


async def test_with_nats_killed_in_a_herd_every_build_is_told_once_after_it_is_back(
    universe: Universe, scheduler: StartScheduler, fresh_nats: LocalNats
) -> None:
    await scheduler()
    players = [unique_player() for _ in range(10)]
    builds = [universe.record(player, 3.0) for player in players for _ in range(50)]
    await universe.insert(*builds)
    await universe.alarms.arm([build_alarm(build) for build in builds])
    await asyncio.sleep(max(0.0, _left(builds[0]) + 0.01))
    await fresh_nats.kill()
    await asyncio.sleep(0.5)
    await fresh_nats.start()
    await universe.completed(*builds, within_s=30)
    for player in players:
        told = Counter(push.message_id for push in await universe.pushes(player))
        assert set(told.values()) == {1}
    await _never_early(universe, *builds)
    await universe.outbox_empty()


async def test_with_nats_away_builds_end_in_the_table_and_a_stop_is_still_orderly(
    universe: Universe, scheduler: StartScheduler, fresh_nats: LocalNats
) -> None:
    process = await scheduler()
    player = unique_player()
    build = await universe.build(player, 3.0)
    await eventually(lambda: universe.pushes(player))
    await fresh_nats.kill()

    async def ended() -> bool:
        return (await universe.row(build.id))["state"] == "completed"

    await eventually(ended)
    assert await process.stop() == 0
    await fresh_nats.start()
    await scheduler()
    await universe.completed(build)
    await _told_once_in_order(universe, build)


@pytest.mark.parametrize("apart_s", [30, -30])
async def test_only_the_databases_clock_decides_however_far_the_others_are_apart(
    universe: Universe, scheduler: StartScheduler, apart_s: int
) -> None:
    await universe.set_database_clock(apart_s)
    await scheduler()
    player = unique_player()
    # `due_in_s` counts by this host's clock, which is also NATS's; the database's shows `apart_s` more.
    build = await universe.build(player, 2.0 + apart_s, told=True)
    await eventually(lambda: universe.pushes(player), within_s=15)
    (push,) = await universe.pushes(player)
    late = push.stored_at + timedelta(seconds=apart_s) - build.due_at
    assert timedelta(0) <= late < timedelta(milliseconds=500)


async def test_the_database_is_late_and_the_scheduler_waits_for_it_at_boot(
    universe: Universe, scheduler: StartScheduler
) -> None:
    player = unique_player()
    build = await universe.build(player, -5, armed=False)
    async with universe.database_away():
        process = await scheduler(until_ready=False)
        assert await process.get("/readyz") == 503
    await eventually(process.is_ready, within_s=20)
    await universe.completed(build)


def _left(build: BuildRecord) -> float:
    return (build.due_at - datetime.now(UTC)).total_seconds()


async def _told_once_in_order(universe: Universe, *builds: BuildRecord) -> None:
    """Each build's own pushes came once, and `started` before `completed`."""
    pushes = [push for player in {build.player for build in builds} for push in await universe.pushes(player)]
    for build in builds:
        own = [push.message_id for push in pushes if push.message_id.startswith(build.id)]
        assert own == [f"{build.id}.{build.revision}", f"{build.id}.{build.revision + 1}"]
    await _never_early(universe, *builds)


async def _never_early(universe: Universe, *builds: BuildRecord) -> None:
    for player in {build.player for build in builds}:
        stored = {push.message_id: push.stored_at for push in await universe.pushes(player)}
        for build in builds:
            if build.player == player:
                assert stored[f"{build.id}.{build.revision + 1}"] >= build.due_at
