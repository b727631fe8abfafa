"""What is due is completed, told in order and on time; what is not due, or not there any more, is left alone."""

import asyncio
from datetime import timedelta

from starwake.contracts.builds import FollowUp
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.players import unique_player


async def test_a_build_is_completed_at_its_due_time_and_told_once(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.5)
    await served.completed(build)
    started, completed = await served.pushes(player)
    assert (started.event, completed.event) == ("build.started", "build.completed")
    assert completed.data["build"]["state"] == "completed"
    assert completed.data["build"]["revision"] == 2
    assert completed.data["build"]["completed_at"] == completed.data["build"]["due_at"] == completed.at
    late = completed.stored_at - build.due_at
    assert timedelta(0) <= late < timedelta(milliseconds=250), f"told {late} after due"
    row = await served.row(build.id)
    assert (row["state"], row["revision"], row["completed_at"]) == ("completed", 2, build.due_at)
    await served.outbox_empty()
    metrics = await served.process.metrics()
    assert metrics['starwake_scheduler_completions_total{kind="build"}'] >= 1
    assert metrics["starwake_scheduler_lateness_seconds_count"] >= 2, "both pushes count"


async def test_a_build_whose_alarm_holds_an_old_spelling_of_its_site_is_told_as_it_is_listed(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.5, site=" cafe\u0301 ")
    await served.sql("UPDATE build SET site = 'caf\u00e9' WHERE id = $1", build.id)
    await served.completed(build)
    assert [push.data["build"]["site"] for push in await served.pushes(player)] == ["caf\u00e9"] * 2


async def test_follow_ups_are_told_right_after_the_completion_in_their_order(served: Universe) -> None:
    player = unique_player()
    found = FollowUp("stars.discovered", {"stars": ["Vega", "Altair"]})
    more = FollowUp("fleet.returned", {"ships": 2})
    build = await served.build(player, 1.0, follow_ups=(found, more))
    await eventually(lambda: _has(served, player, 4))
    pushes = await served.pushes(player)
    assert [push.event for push in pushes] == [
        "build.started",
        "build.completed",
        "stars.discovered",
        "fleet.returned",
    ]
    assert pushes[2].data == {"stars": ["Vega", "Altair"]}
    assert pushes[1].message_id == f"{build.id}.2"


async def test_a_build_without_an_alarm_is_completed_on_time_by_the_sweep(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.5, armed=False)
    await served.completed(build)
    pushes = await served.pushes(player)
    assert timedelta(0) <= pushes[-1].stored_at - build.due_at < timedelta(milliseconds=500)


async def test_what_came_due_while_nobody_was_there_is_completed_before_the_scheduler_is_ready(
    universe: Universe, scheduler: StartScheduler
) -> None:
    player = unique_player()
    builds = [await universe.build(player, -3600 + n, armed=False) for n in range(5)]
    await scheduler()
    pushes = await universe.pushes(player)
    completed = [push.data["build"]["id"] for push in pushes if push.event == "build.completed"]
    assert completed == [build.id for build in builds], "oldest first"
    assert pushes[-1].at == pushes[-1].data["build"]["due_at"], "it happened when it was due, not when it was seen"


async def test_a_cancelled_build_is_never_completed_although_its_alarm_comes(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.0, told=True)
    await served.sql("UPDATE build SET state = 'cancelled', revision = 2, cancelled_at = now() WHERE id = $1", build.id)
    witness = await served.build(unique_player(), 1.5)
    await served.completed(witness)
    await _alarms_gone(served)
    assert await served.pushes(player) == []
    assert (await served.row(build.id))["state"] == "cancelled"


async def test_a_rescheduled_build_is_completed_at_its_new_time_only(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 1.0, told=True)
    later = build.due_at + timedelta(seconds=2)
    await served.sql("UPDATE build SET revision = 2, due_at = $2 WHERE id = $1", build.id, later)
    await eventually(lambda: served.pushes(player), within_s=10)
    (completed,) = await served.pushes(player)
    assert completed.message_id == f"{build.id}.3"
    assert completed.stored_at >= later


async def test_an_alarm_that_lies_about_its_row_completes_nothing(served: Universe) -> None:
    player = unique_player()
    build = await served.build(player, 2.0, armed=False, told=True)
    body = b'{"player":"somebody-else","kind":"dock","site":"x","started_at":"%b","due_at":"%b"}' % (
        (b"2020-01-01T00:00:00.000Z",) * 2
    )
    served.bus.publish(f"timer.due.build.{build.id}.r1", body)
    await asyncio.sleep(0.5)
    assert (await served.row(build.id))["state"] == "building"
    await served.completed(build)
    (completed,) = await served.pushes(player)
    assert completed.stored_at >= build.due_at


async def test_world_events_are_told_to_one_or_to_all_at_their_time(served: Universe) -> None:
    player = unique_player()
    to_one = await served.event(player, 1.0)
    to_all = await served.event(None, 1.2)
    no_alarm = await served.event(player, 1.4, armed=False)
    await eventually(lambda: _has(served, player, 2))
    await eventually(lambda: served.pushes(None))
    mine = await served.pushes(player)
    (everybodys,) = await served.pushes(None)
    assert [push.message_id for push in mine] == [f"{to_one.id}.2", f"{no_alarm.id}.2"]
    assert everybodys.message_id == f"{to_all.id}.2"
    assert everybodys.data == {"strength": 3}
    assert timedelta(0) <= everybodys.stored_at - to_all.due_at < timedelta(milliseconds=500)
    rows = await served.sql(
        "SELECT state, revision, told_at = due_at AS exact FROM world_event WHERE id = ANY($1::uuid[])",
        [to_one.id, to_all.id, no_alarm.id],
    )
    assert rows == [{"state": "told", "revision": 2, "exact": True}] * 3


async def test_a_cancelled_world_event_is_never_told(served: Universe) -> None:
    player = unique_player()
    event = await served.event(player, 1.0)
    await served.sql("UPDATE world_event SET state = 'cancelled', revision = 2 WHERE id = $1", event.id)
    witness = await served.build(unique_player(), 1.5)
    await served.completed(witness)
    assert await served.pushes(player) == []


async def test_garbage_among_the_alarms_is_counted_and_thrown_away(served: Universe) -> None:
    build = await served.build(unique_player(), 1.0, armed=False, told=True)
    garbage = [
        (f"timer.due.build.{build.id}.r1", b"not json"),
        (f"timer.due.build.{build.id}.r1", b"{}"),
        ("timer.due.build.------------------------------------.r1", b"{}"),
        (f"timer.due.build.{build.id}.r9999999999", b"{}"),
        ("timer.due.nonsense", b""),
        (
            f"timer.due.event.{build.id}.r1",
            b'{"player":"\\u0000","event":"x","due_at":"2026-01-01T00:00:00Z","data":{}}',
        ),
    ]
    before = (await served.process.metrics())["starwake_scheduler_poison_total"]
    for subject, body in garbage:
        await served.alarms_publish(subject, body)

    async def all_counted() -> bool:
        return (await served.process.metrics())["starwake_scheduler_poison_total"] == before + len(garbage)

    await eventually(all_counted)
    await served.completed(build)
    await _alarms_gone(served)


async def _has(universe: Universe, player: str, count: int) -> bool:
    return len(await universe.pushes(player)) >= count


async def _alarms_gone(universe: Universe) -> None:
    """Every alarm message was acknowledged or terminated, and none waits."""
    await eventually(universe.no_alarm_waits)
