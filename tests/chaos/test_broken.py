"""The oracle can fail: variants of the product in which one thing is broken are caught.

| broken | alone | because of | caught together with |
|---|---|---|---|
| alarms acknowledged before the rows are completed | harmless | the sweep finds the rows | no sweep of rows |
| a rescheduled alarm replaced in place | harmless | the sweep finds the rows | no sweep of rows |
| no sweep of rows | harmless | the alarms come again, until acknowledged | either of the two above |
| no sweep of the outbox | caught: what a killed process left is never told | | |
| refusals not counted | caught: what lay in a frozen process is carried out after its refusal | | |
| message ids without nonce | not tried | | an older table is not noticed: a cancel is never pushed |
| published without looking at the stream | caught: a stream that lost its tail is not noticed | | |
| rows locked in no order | caught: deadlocks; no harm beyond, since deadlocks are retried | | |

Where a variant is harmless alone, a test says so too: that is the second net at work.
"""

import asyncio
import signal

import pytest

from starwake.bus.feed import read_feed
from starwake.runtime import crash_points
from tests.chaos.campaign import Verdict, judged
from tests.chaos.hand import Hand, hand, until
from tests.chaos.older import copy_of, take_back
from tests.chaos.oracle import Clause
from tests.chaos.reading import bus_of, query
from tests.chaos.world import Change, World
from tests.support.eventually import eventually
from tests.support.players import unique_player

pytestmark = pytest.mark.timeout(300)

PATIENCE_S = 8.0
"""How long a broken variant gets to come round by itself: many times what the sweep needs."""


def clauses(verdict: Verdict) -> set[Clause]:
    return {violation.clause for violation in verdict.violations}


async def verdict_on(world: World, by: Hand, settle_s: float = 60.0, *, gone_back: tuple[str, ...] = ()) -> Verdict:
    return await judged(
        world, "directed", by.players, [], by.orders, settle_s=settle_s, last=False, gone_back=gone_back
    )


def killed_at(point: str, *patches: str) -> Change:
    return Change(patches=patches, env={"STARWAKE_TESTING": "true", "STARWAKE_FAULT": point})


async def is_killed(world: World, name: str) -> None:
    """Wait until the part has run into its crash point; it is kept down then."""
    known = len(world.happenings)
    await eventually(
        lambda: any(each.what == f"{name} ended ({-signal.SIGKILL})" for each in world.happenings[known:]), within_s=30
    )


async def completed_by_a_scheduler_killed_with_its_batch(world: World, by: Hand, *patches: str) -> None:
    """Rows come due while one scheduler runs, which is killed with them in hand; it comes back, patched as before."""
    await world.restart("scheduler", killed_at(crash_points.BATCH_IN_HAND, *patches), copies=1)
    dying = asyncio.create_task(is_killed(world, "scheduler-1"))
    builds = [await by.start(unique_player(), "beacon") for _ in range(2)]
    await dying
    world.change("scheduler", Change(patches=patches))
    world.hold_down("scheduler-1")
    await until(max(builds, key=lambda build: build["due_at"]), -0.5)
    world.release("scheduler-1")
    await eventually(lambda: world.serves("scheduler-1"), within_s=60)


async def test_acknowledged_before_the_update_a_batch_is_lost_where_no_sweep_finds_its_rows(world: World) -> None:
    async with hand(world) as by:
        await completed_by_a_scheduler_killed_with_its_batch(world, by, "acknowledge_first", "sweep_no_rows")
        verdict = await verdict_on(world, by, PATIENCE_S)
        assert {Clause.NOTHING_PENDING, Clause.ENDED_ONCE} <= clauses(verdict)
        assert "the story of" in verdict.text
        await world.recover()
        assert not (await verdict_on(world, by)).violations, "the product's own sweep mends even that"


async def test_acknowledged_before_the_update_the_sweep_still_finds_the_rows(world: World) -> None:
    async with hand(world) as by:
        await completed_by_a_scheduler_killed_with_its_batch(world, by, "acknowledge_first")
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text


async def test_without_a_sweep_of_the_outbox_what_a_killed_scheduler_left_is_never_told(world: World) -> None:
    async with hand(world) as by:
        await world.restart("scheduler", killed_at(crash_points.AFTER_UPDATE, "sweep_no_outbox"), copies=1)
        dying = asyncio.create_task(is_killed(world, "scheduler-1"))
        await by.start(unique_player(), "spark")
        await dying
        world.change("scheduler", Change(patches=("sweep_no_outbox",)))
        world.hold_down("scheduler-1")
        world.release("scheduler-1")
        await eventually(lambda: world.serves("scheduler-1"), within_s=60)
        verdict = await verdict_on(world, by, PATIENCE_S)
        assert {Clause.TOLD, Clause.NOTHING_PENDING} <= clauses(verdict)
        await world.recover()
        assert not (await verdict_on(world, by)).violations


@pytest.mark.parametrize("swept", [False, True])
async def test_alarms_replaced_in_place_are_lost_and_only_the_sweep_finds_their_rows(
    world: World, *, swept: bool
) -> None:
    await world.restart("command", Change(patches=("replace_in_place",)))
    sweep = () if swept else ("sweep_no_rows",)
    await world.restart("scheduler", Change(patches=("replace_in_place", *sweep)))
    async with hand(world) as by:
        for build in await by.herd(20):
            await by.order(by.owner(build), "build.reschedule", build_id=build["id"], factor=0.9)
        verdict = await verdict_on(world, by, 60.0 if swept else PATIENCE_S)
        if swept:
            assert not verdict.violations, verdict.text
            return
        assert Clause.NOTHING_PENDING in clauses(verdict)
        await world.recover()
        assert not (await verdict_on(world, by)).violations


async def test_where_refusals_are_not_counted_what_a_frozen_command_service_holds_is_carried_out(world: World) -> None:
    await world.restart("command", Change(patches=("count_no_refusals",)))
    async with hand(world) as by:
        busy = await by.start(unique_player(), "yard")
        orders = [order.id for order in await by.refused_while_frozen(world, "command-1", busy)]
        carried_out = "SELECT command_id FROM inbox WHERE command_id = ANY($1::text[])"
        await eventually(lambda: query(world, carried_out, orders), within_s=30)
        verdict = await verdict_on(world, by)
        assert clauses(verdict) == {Clause.ANSWERS_STAND}, verdict.text
        assert "was refused, but is remembered as carried out" in verdict.text


async def epoch_of(world: World) -> str:
    async with bus_of(world) as bus:
        return (await read_feed(bus)).epoch or ""


async def nothing_untold(world: World) -> bool:
    return not await query(world, "SELECT FROM outbox")


async def test_without_a_nonce_in_its_id_the_cancel_in_a_restored_table_is_never_pushed(world: World) -> None:
    change = Change(patches=("ids_without_nonce", "notice_no_older_table"))
    await asyncio.gather(world.restart("command", change), world.restart("scheduler", change))
    async with hand(world) as by:
        build = await by.start(unique_player(), "citadel")
        epoch = await epoch_of(world)
        older = await copy_of(world, "postgres")
        await by.order(by.owner(build), "build.cancel", build_id=build["id"])
        await eventually(lambda: nothing_untold(world), within_s=30)
        await take_back(world, "postgres", older)
        del by.orders[-1]  # with the table, it was taken back
        await by.order(by.owner(build), "build.cancel", build_id=build["id"])
        verdict = await verdict_on(world, by, gone_back=(epoch,))
        assert clauses(verdict) == {Clause.TOLD, Clause.EPOCH_ENDED}, verdict.text
        assert "was never told: revision 2" in verdict.text


async def test_published_without_looking_a_stream_that_lost_its_tail_is_not_noticed(world: World) -> None:
    await world.restart("command", Change(patches=("publish_without_looking",)))
    async with hand(world) as by:
        build = await by.start(unique_player(), "citadel")
        await eventually(lambda: nothing_untold(world), within_s=30)
        epoch = await epoch_of(world)
        older = await copy_of(world, "nats")
        await by.order(by.owner(build), "build.cancel", build_id=build["id"])
        await eventually(lambda: nothing_untold(world), within_s=30)
        async with world.down(*world.services("scheduler")):
            await take_back(world, "nats", older)
            for build in [await by.start(unique_player(), "citadel") for _ in range(2)]:
                await by.order(by.owner(build), "build.cancel", build_id=build["id"])
            await eventually(lambda: nothing_untold(world), within_s=30)
        await world.calm()
        verdict = await verdict_on(world, by, gone_back=(epoch,))
        assert clauses(verdict) == {Clause.TOLD, Clause.EPOCH_ENDED}, verdict.text


async def test_rows_locked_in_no_order_wait_for_each_other_in_a_circle_and_are_retried(world: World) -> None:
    change = Change(patches=("lock_in_no_order",))
    await asyncio.gather(world.restart("command", change), world.restart("scheduler", change))
    async with hand(world) as by:
        for _ in range(12):
            await cancelled_while_they_complete(by)
            if world.deadlocks():
                break
        verdict = await verdict_on(world, by)
        assert clauses(verdict) == {Clause.ONE_LOCK_ORDER}, verdict.text


async def cancelled_while_they_complete(by: Hand) -> None:
    """Cancels of a whole herd arrive in the very moment when it is completed."""
    herd = await by.herd(150)
    await until(herd[0], 0.15)
    await asyncio.gather(*(by.order(by.owner(build), "build.cancel", build_id=build["id"]) for build in herd))
