"""The streams can be lost, drift or go back in time: they are mended, and no build and no push with them is lost."""

import asyncio
import shutil
from contextlib import suppress
from datetime import timedelta

from starwake.bus.errors import BusError
from starwake.bus.feed import read_feed, read_pushes
from starwake.bus.jetstream import ask, stream_info
from starwake.bus.streams import NOTIFICATIONS, SCHEDULER, TIMERS
from starwake.contracts.ids import PlayerId
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.players import unique_player


async def test_with_the_store_lost_every_pending_build_completes_on_time_under_a_new_epoch(
    universe: Universe, scheduler: StartScheduler, fresh_nats: LocalNats
) -> None:
    await scheduler()
    told = await universe.build(unique_player(), 0.5)
    await universe.completed(told)
    before = await read_feed(universe.bus)
    player = unique_player()
    pending = [await universe.build(player, 6.0 + n / 10, told=True) for n in range(10)]

    await fresh_nats.kill()
    fresh_nats.lose_store()
    await fresh_nats.start()

    await universe.completed(*pending, within_s=20)
    after = await read_feed(universe.bus)
    assert after.epoch not in {None, before.epoch}
    pushes = await universe.pushes(player)
    assert pushes[0].seq > before.last_seq, "no sequence comes again"
    assert [push.message_id for push in pushes] == [f"{build.id}.2" for build in pending]
    assert all(push.stored_at >= build.due_at for push, build in zip(pushes, pending, strict=True))
    assert pushes[-1].stored_at - pending[-1].due_at < timedelta(seconds=1)


async def test_an_older_copy_of_the_store_under_a_running_scheduler_begins_a_new_epoch_and_loses_nothing(
    universe: Universe, scheduler: StartScheduler, fresh_nats: LocalNats
) -> None:
    await scheduler()
    early = await universe.build(unique_player(), 0.5)
    await universe.completed(early)
    await universe.outbox_empty()
    await fresh_nats.stop()
    store = fresh_nats._server.directory / "jetstream"  # pyright: ignore[reportPrivateUsage]
    older = store.with_name("older")
    shutil.copytree(store, older)
    await fresh_nats.start()
    player = unique_player()
    later = [await universe.build(player, 0.5 + n / 10) for n in range(10)]
    await universe.completed(*later)
    await universe.outbox_empty()
    before = await read_feed(universe.bus)
    pending = [await universe.build(player, 6.0, told=True) for _ in range(5)]

    await fresh_nats.stop()
    shutil.rmtree(store)
    older.rename(store)
    await fresh_nats.start()

    async def new_epoch() -> bool:
        with suppress(BusError):
            state = await read_feed(universe.bus)
            return state.epoch != before.epoch and state.last_seq >= before.last_seq
        return False

    await eventually(new_epoch)
    await universe.completed(*pending, within_s=20)
    pushes = await universe.pushes(player)
    assert {push.message_id for push in pushes} == {f"{build.id}.2" for build in pending}
    assert min(push.seq for push in pushes) > before.last_seq
    states = await universe.sql("SELECT state, count(*) FROM build GROUP BY state")
    assert [(row["state"], row["count"]) for row in states] == [("completed", 16)]


async def test_a_table_restored_from_an_older_copy_begins_a_new_epoch_and_what_it_completes_again_is_pushed_again(
    universe: Universe, scheduler: StartScheduler
) -> None:
    await scheduler(STARWAKE_CHECK_SECONDS="1")
    player = unique_player()
    build = await universe.build(player, 0.5)
    await universe.completed(build)
    await universe.outbox_empty()
    before = await read_feed(universe.bus)

    # The commit that was told is gone.
    await universe.sql(
        "UPDATE build SET state = 'building', revision = 1, completed_at = NULL, due_at = now() + interval '6 s'"
        " WHERE id = $1",
        build.id,
    )

    async def new_epoch() -> bool:
        return (await read_feed(universe.bus)).epoch != before.epoch

    await eventually(new_epoch)
    begun = await read_feed(universe.bus)
    await universe.completed(build, within_s=20)
    (push,) = await universe.pushes(player)
    assert push.seq > before.last_seq, "the second completion is a push of its own"
    assert (await read_feed(universe.bus)).epoch == begun.epoch, "once is enough"


async def test_a_stream_that_is_deleted_at_run_time_is_made_again_and_its_alarms_set_again(
    universe: Universe, scheduler: StartScheduler
) -> None:
    process = await scheduler(STARWAKE_CHECK_SECONDS="1")
    build = await universe.build(unique_player(), 3600)
    await ask(universe.bus, f"STREAM.DELETE.{TIMERS}")
    await eventually(lambda: _alarm_is_set(universe, build.id))
    soon = await universe.build(unique_player(), 1.0)
    await universe.completed(soon)
    metrics = await process.metrics()
    assert metrics['starwake_scheduler_reconcile_changes_total{kind="arm"}'] >= 1
    assert metrics['starwake_scheduler_reconcile_changes_total{kind="stream"}'] >= 1


async def test_a_consumer_that_is_deleted_at_run_time_is_made_again(
    universe: Universe, scheduler: StartScheduler
) -> None:
    process = await scheduler(STARWAKE_CHECK_SECONDS="60")
    await ask(universe.bus, f"CONSUMER.DELETE.{TIMERS}.{SCHEDULER}")

    async def made_again() -> bool:
        info = await stream_info(universe.bus, TIMERS)
        return info is not None and info["state"]["consumer_count"] == 1

    await eventually(made_again, within_s=15)
    build = await universe.build(unique_player(), 1.0)
    await universe.completed(build)
    await eventually(universe.no_alarm_waits)
    assert (await process.metrics())['starwake_scheduler_reconcile_changes_total{kind="consumer"}'] >= 1


async def test_configuration_that_would_lose_alarms_or_resumes_is_repaired(
    universe: Universe, scheduler: StartScheduler
) -> None:
    await scheduler(STARWAKE_CHECK_SECONDS="1")
    await _update(universe, TIMERS, max_age=180_000_000_000, max_msgs=10)
    await _update(universe, NOTIFICATIONS, republish=None, allow_direct=False)

    async def repaired() -> bool:
        timers = (await stream_info(universe.bus, TIMERS) or {})["config"]
        feed = (await stream_info(universe.bus, NOTIFICATIONS) or {})["config"]
        return (timers["max_age"], timers["max_msgs"]) == (0, -1) and bool(
            feed.get("republish") and feed["allow_direct"]
        )

    await eventually(repaired)


async def test_a_stream_that_cannot_be_repaired_without_loss_is_refused_with_the_reason(
    universe: Universe, scheduler: StartScheduler
) -> None:
    await ask(
        universe.bus,
        f"STREAM.CREATE.{TIMERS}",
        {"name": TIMERS, "subjects": ["timer.set.>", "timer.due.>"], "storage": "memory"},
    )
    process = await scheduler(until_ready=False)
    await eventually(lambda: process.exit_code is not None, within_s=20)
    assert process.exit_code != 0
    assert "cannot be changed from" in process.log()


async def test_boot_sets_missing_alarms_and_takes_back_those_without_a_row(
    universe: Universe, scheduler: StartScheduler
) -> None:
    first = await scheduler()
    await first.stop()
    unarmed = await universe.build(unique_player(), 3600, armed=False)
    ended = await universe.build(unique_player(), 3600)
    moved = await universe.build(unique_player(), 3600)
    await universe.sql("UPDATE build SET state = 'cancelled', cancelled_at = now() WHERE id = $1", ended.id)
    await universe.sql("UPDATE build SET revision = 2 WHERE id = $1", moved.id)
    orphan = await universe.event(None, 3600)
    await universe.sql("DELETE FROM world_event WHERE id = $1", orphan.id)
    event = await universe.event(None, 3600, armed=False)
    await scheduler()

    async def only_the_right_ones() -> bool:
        subjects = await _alarms_set(universe)
        return subjects == {
            f"timer.set.build.{unarmed.id}.r1",
            f"timer.set.build.{moved.id}.r2",
            f"timer.set.event.{event.id}.r1",
        }

    await eventually(only_the_right_ones)


async def test_a_told_push_whose_outbox_row_was_left_behind_is_not_told_again_even_after_the_duplicate_window(
    universe: Universe, scheduler: StartScheduler
) -> None:
    await scheduler()
    player = unique_player()
    build = await universe.build(player, 1.0)
    await universe.completed(build)
    await universe.outbox_empty()
    # The stream forgets message ids after ten minutes; here it is made to forget them at once.
    await ask(universe.bus, f"STREAM.PURGE.{TIMERS}")
    await _update(universe, NOTIFICATIONS, duplicate_window=100_000_000)
    await asyncio.sleep(0.3)
    started = (await read_pushes(universe.bus, PlayerId(player), 0))[0]
    await universe.outbox(build, age_s=1200, message_id=started.message_id)
    await universe.outbox_empty()
    assert await universe.events(player) == ["build.started", "build.completed"]


async def _alarms_set(universe: Universe) -> set[str]:
    info = await ask(universe.bus, f"STREAM.INFO.{TIMERS}", {"subjects_filter": "timer.set.>"})
    return set(info["state"].get("subjects") or {})


async def _alarm_is_set(universe: Universe, build_id: str) -> bool:
    with suppress(BusError):  # the stream is not there yet
        return f"timer.set.build.{build_id}.r1" in await _alarms_set(universe)
    return False


async def _update(universe: Universe, stream: str, **fields: object) -> None:
    info = await stream_info(universe.bus, stream)
    assert info is not None
    await ask(universe.bus, f"STREAM.UPDATE.{stream}", info["config"] | fields)
