"""One test for each row of "What can go wrong" in ARCHITECTURE.md; `COVERED` says which test shows which row.

What a service's contract tests show already is not shown again here; here a whole stack is killed in the middle.
"""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from starwake.runtime import crash_points
from tests.chaos.campaign import Verdict, judged
from tests.chaos.clients import Client
from tests.chaos.hand import Hand, hand, until
from tests.chaos.havoc import seeded
from tests.chaos.world import Change, World
from tests.support.eventually import eventually
from tests.support.players import unique_player

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = "tests/contract"
HERE = "tests/chaos/test_failure_table.py"

COVERED = {
    "a disk that was full: NATS refuses a stream's messages until it is restarted": (
        (
            f"{CONTRACT}/scheduler/test_store_wedged.py"
            "::test_streams_that_take_nothing_since_their_disk_was_full_make_the_scheduler_not_ready"
        ),
    ),
    "a push that the stream can never take (its size)": (
        (
            f"{CONTRACT}/scheduler/test_store_wedged.py"
            "::test_what_the_stream_can_never_take_is_set_aside_and_what_follows_it_is_told"
        ),
    ),
    "a client repeats a command": (
        f"{CONTRACT}/command/test_orders.py::test_the_same_id_again_gives_the_same_outcome_and_changes_nothing",
    ),
    "an attempt comes late, after its order was refused": (
        (
            f"{CONTRACT}/command/test_lifecycle.py"
            "::test_an_order_that_lay_in_a_frozen_copy_is_not_carried_out_after_it_was_refused"
        ),
        f"{CONTRACT}/gateway/test_commands.py::test_an_order_is_not_confirmed_once_its_player_was_answered_or_is_gone",
        f"{HERE}::test_what_a_frozen_command_service_holds_is_not_carried_out_after_it_was_refused",
    ),
    "killed after COMMIT, before the reply or the alarm": (
        f"{CONTRACT}/command/test_lifecycle.py::test_a_crash_after_the_commit_changes_nothing_for_who_asks_again",
        f"{HERE}::test_a_command_service_killed_at_any_step_leaves_nothing_undone",
    ),
    "an alarm's acknowledgement lost": (
        f"{CONTRACT}/bus/test_alarms.py::test_arming_again_changes_nothing_and_is_said",
        f"{HERE}::test_a_command_service_killed_at_any_step_leaves_nothing_undone",
    ),
    "cancel races the alarm": (f"{HERE}::test_a_cancel_that_races_the_completion_wins_or_loses_and_never_both",),
    "killed after the UPDATE, before the push": (
        (
            f"{CONTRACT}/scheduler/test_recovery.py"
            "::test_killed_at_any_step_of_a_completion_the_next_one_finishes_it_exactly_once"
        ),
    ),
    "push sent, acknowledgement lost": (
        (
            f"{CONTRACT}/scheduler/test_recovery.py"
            "::test_killed_at_any_step_of_a_completion_the_next_one_finishes_it_exactly_once"
        ),
        f"{HERE}::test_a_command_service_killed_at_any_step_leaves_nothing_undone",
    ),
    '"completed" told before "started"': (
        f"{CONTRACT}/scheduler/test_recovery.py::test_what_was_left_untold_is_told_in_order",
        f"{HERE}::test_a_build_is_not_told_as_completed_before_it_is_told_as_started",
    ),
    "scheduler killed with a batch in hand": (
        (
            f"{CONTRACT}/scheduler/test_recovery.py"
            "::test_killed_at_any_step_of_a_completion_the_next_one_finishes_it_exactly_once"
        ),
    ),
    "two batches over the same rows": (
        f"{CONTRACT}/store/test_database.py::test_a_deadlock_is_tried_again",
        f"{HERE}::test_a_cancel_that_races_the_completion_wins_or_loses_and_never_both",
    ),
    "NATS killed, its store lost or restored old": (
        (
            f"{CONTRACT}/scheduler/test_recovery.py"
            "::test_with_nats_killed_in_a_herd_every_build_is_told_once_after_it_is_back"
        ),
        (
            f"{CONTRACT}/scheduler/test_streams.py"
            "::test_an_older_copy_of_the_store_under_a_running_scheduler_begins_a_new_epoch_and_loses_nothing"
        ),
        f"{HERE}::test_with_the_store_lost_under_a_live_stack_sessions_begin_a_new_epoch_and_every_build_ends",
    ),
    "Postgres restored old, under a NATS that kept its streams": (
        (
            f"{CONTRACT}/scheduler/test_streams.py"
            "::test_a_table_restored_from_an_older_copy_begins_a_new_epoch_and_what_it_completes_again_is_pushed_again"
        ),
        (
            "tests/deploy/test_restore.py"
            "::test_postgres_goes_back_under_running_services_and_what_happens_again_is_heard"
        ),
        "tests/deploy/test_restore.py::test_both_stores_are_restored_to_different_moments",
    ),
    "a push stored before anybody saw that stream or table went back": (
        (
            f"{CONTRACT}/command/test_guard.py"
            "::test_nothing_is_published_to_a_stream_below_the_mark_until_a_new_epoch_has_begun"
        ),
        (
            f"{CONTRACT}/command/test_guard.py"
            "::test_nothing_is_published_over_a_table_restored_under_a_running_service_until_a_new_epoch_has_begun"
        ),
    ),
    "Postgres away at due time": (
        (
            f"{CONTRACT}/scheduler/test_recovery.py"
            "::test_with_the_database_away_nothing_is_acknowledged_and_all_is_completed_when_it_is_back"
        ),
        f"{HERE}::test_with_postgres_killed_in_a_herd_every_build_ends_once",
    ),
    "gateway killed": (f"{HERE}::test_a_gateway_that_is_killed_costs_its_players_nothing",),
    "a live push lost on its way to a gateway": (
        f"{CONTRACT}/gateway/test_feed.py::test_a_hole_in_the_live_feed_is_filled",
    ),
    "slow client": (
        f"{CONTRACT}/gateway/test_slow.py::test_a_write_that_is_stuck_ends_the_session_and_a_resume_gives_everything",
    ),
    "poison alarm": (
        f"{CONTRACT}/scheduler/test_completion.py::test_garbage_among_the_alarms_is_counted_and_thrown_away",
    ),
    "100,000 overdue after an outage": (
        "tests/unit/scheduler/test_hold.py::test_a_backlog_takes_at_most_half_of_a_batch_while_fresh_work_waits",
        f"{HERE}::test_a_backlog_is_worked_off_oldest_first_while_new_builds_complete_on_time",
    ),
    "clocks apart": (
        (
            f"{CONTRACT}/scheduler/test_recovery.py"
            "::test_only_the_databases_clock_decides_however_far_the_others_are_apart"
        ),
    ),
}


def test_every_row_of_the_failure_table_has_its_tests() -> None:
    table = (
        (ROOT / "ARCHITECTURE.md").read_text().partition("## What can go wrong")[2].partition("\n\nThe one oracle")[0]
    )
    rows = {line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")}
    assert rows - {"crash or race", "---"} == set(COVERED)
    for tests in COVERED.values():
        for test in tests:
            path, _, name = test.partition("::")
            assert re.search(rf"^(async )?def {name}\b", (ROOT / path).read_text(), re.MULTILINE), test


async def verdict_on(world: World, by: Hand, *clients: Client, lost_until: datetime | None = None) -> Verdict:
    orders = [*by.orders, *(order for client in clients for order in client.orders)]
    players = list(dict.fromkeys(order.player for order in orders))
    return await judged(world, "directed", players, clients, orders, last=False, lost_until=lost_until)


@asynccontextmanager
async def clients_of(world: World, *players: str) -> AsyncGenerator[list[Client]]:
    """A client for each player, at any gateway."""
    dice = seeded(7)
    gateways = list(world.gateway_urls.items())
    clients = [
        Client(player, player, world.token(player), lambda: dice.choice(gateways), seeded(number))
        for number, player in enumerate(players)
    ]
    tasks = [asyncio.create_task(client.run()) for client in clients]
    try:
        await eventually(lambda: all(client.sessions for client in clients), within_s=30)
        yield clients
    finally:
        for client in clients:
            client.leave()
        await asyncio.wait(tasks, timeout=10)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("point", [crash_points.AFTER_COMMIT, crash_points.AFTER_ARM, crash_points.AFTER_PUBLISH])
async def test_a_command_service_killed_at_any_step_leaves_nothing_undone(world: World, point: str) -> None:
    env = {"STARWAKE_TESTING": "true", "STARWAKE_FAULT": point}
    await world.restart("command", Change(env=env, once=True), copies=1)
    async with hand(world) as by:
        known = len(world.happenings)
        player = unique_player()
        await asyncio.gather(*(by.start(player, "beacon", f"site-{number}") for number in range(5)))
        await eventually(
            lambda: any("command-1 ended (-9)" in each.what for each in world.happenings[known:]), within_s=30
        )
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text
        assert len(verdict.history.rows) == 5


async def test_what_a_frozen_command_service_holds_is_not_carried_out_after_it_was_refused(world: World) -> None:
    async with hand(world) as by:
        busy = await by.start(unique_player(), "yard")
        orders = await by.refused_while_frozen(world, "command-1", busy)
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text
        assert [row.id for row in verdict.history.rows] == [busy["id"]]
        assert (await by.repeat(orders[0])).accepted, "whoever tries again is judged anew"


async def test_a_build_is_not_told_as_completed_before_it_is_told_as_started(world: World) -> None:
    """Its command service is frozen right after the commit, and goes on when all is over."""
    await world.restart("command", copies=1)
    async with hand(world) as by:
        player = unique_player()
        orders = [asyncio.create_task(by.start(player, "spark", f"site-{number}")) for number in range(5)]
        await asyncio.wait(orders, return_when=asyncio.FIRST_COMPLETED)
        world.freeze("command-1")
        await asyncio.sleep(2.5)  # the builds take 0.4 s, and the sweep of the outbox looks after one
        world.release("command-1")
        await asyncio.gather(*orders)
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text


async def test_a_cancel_that_races_the_completion_wins_or_loses_and_never_both(world: World) -> None:
    async with hand(world) as by:
        herd = await by.herd(150, "beacon")

        async def cancel(number: int, build: dict[str, str]) -> None:
            await until(build, 0.25 - 0.35 * number / len(herd))
            await by.order(by.owner(build), "build.cancel", build_id=build["id"])

        await asyncio.gather(*(cancel(number, build) for number, build in enumerate(herd)))
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text
        assert {row.state for row in verdict.history.rows} <= {"completed", "cancelled"}


async def test_with_the_store_lost_under_a_live_stack_sessions_begin_a_new_epoch_and_every_build_ends(
    world: World,
) -> None:
    player = unique_player()
    async with hand(world) as by, clients_of(world, player) as (client,):
        await by.start(player, "beacon", "luna-1")
        await by.start(player, "yard", "luna-2")
        await eventually(lambda: len(client.sessions[-1].heard) >= 2)
        before = client.sessions[-1].epoch
        async with world.down("nats"):
            world.lose_jetstream()
        await eventually(lambda: client.sessions[-1].epoch != before, within_s=60)
        lost_until = datetime.now(UTC)
        await world.calm()
        await by.start(player, "spark", "luna-3")
        verdict = await verdict_on(world, by, client, lost_until=lost_until)
        assert not verdict.violations, verdict.text
        (fresh,) = [session for session in client.sessions if session.resumed_epoch == before != session.epoch]
        assert fresh.recovered is False
        told_before = max(push.seq for session in client.sessions if session.epoch == before for push in session.heard)
        told_since = [push.seq for session in client.sessions if session.epoch != before for push in session.heard]
        assert min(told_since) > told_before, "no sequence comes twice"


async def test_with_postgres_killed_in_a_herd_every_build_ends_once(world: World) -> None:
    async with hand(world) as by:
        herd = await by.herd(100, "dock")
        await until(herd[0], 0.05)
        async with world.down("postgres"):
            await asyncio.sleep(1.0)
        await world.calm()
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text
        assert {row.state for row in verdict.history.rows} == {"completed"}


async def test_a_gateway_that_is_killed_costs_its_players_nothing(world: World) -> None:
    players = [unique_player() for _ in range(6)]
    async with hand(world) as by, clients_of(world, *players) as clients:
        for gateway in (*world.gateway_urls, *world.gateway_urls):
            await asyncio.gather(*(by.start(player, "spark", f"{gateway}-{len(by.orders)}") for player in players))
            world.kill(gateway)
            await asyncio.sleep(0.6)
        await world.calm()
        verdict = await verdict_on(world, by, *clients)
        assert not verdict.violations, verdict.text
        assert any(session.recovered for client in clients for session in client.sessions)


async def test_a_backlog_is_worked_off_oldest_first_while_new_builds_complete_on_time(world: World) -> None:
    async with hand(world) as by:
        async with world.down(*world.services("scheduler")):
            herd = await by.herd(300, "spark")
            await until(herd[-1], -0.5)
        new = await by.start(unique_player(), "beacon")
        verdict = await verdict_on(world, by)
        assert not verdict.violations, verdict.text
        assert any(push.source == new["id"] and push.event == "build.completed" for push in verdict.history.stored)
