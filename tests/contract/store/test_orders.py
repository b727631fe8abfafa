"""A batch's transaction: what it reads, what it refuses to overwrite."""

import asyncio
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import uuid4

import msgspec
import pytest

from starwake.contracts.batches import Ask, Busy, InboxEntry, Loaded, Remembered, Told, Writes
from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.events import BUILD_STARTED, build_event
from starwake.contracts.ids import BuildId, CommandId, PlayerId, Revision, new_id
from starwake.contracts.queued import QueuedOrder
from starwake.store import sql
from starwake.store.builds import list_builds, list_queued
from starwake.store.database import INDEXES_ONLY, Database
from starwake.store.errors import StoreConflict, StoreError
from starwake.store.orders import COUNTED_EACH_TIME, load_batch, note_held, write_batch
from starwake.store.outbox import read_earlier, read_unpublished

ADA = PlayerId("ada")
BOB = PlayerId("bob")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    pool = await Database.connect(database_url, name="test", planner=INDEXES_ONLY)
    yield pool
    await pool.close()


async def load(database: Database, *asks: Ask, count_up_to: int = 100) -> Loaded:
    async with database.transaction() as connection:
        return await load_batch(connection, asks, count_up_to=count_up_to)


async def write(database: Database, writes: Writes) -> list[int]:
    async with database.transaction() as connection:
        return await write_batch(connection, writes)


def a_build(now: datetime, player: PlayerId = ADA, site: str = "luna-1", **changes: object) -> BuildRecord:
    build = BuildRecord(
        id=BuildId(new_id()),
        player=player,
        kind="dock",
        site=site,
        state=BuildState.BUILDING,
        revision=Revision(1),
        started_at=now,
        due_at=now + timedelta(hours=1),
    )
    return msgspec.structs.replace(build, **changes)


def starting(*builds: BuildRecord) -> Writes:
    writes = Writes()
    for build in builds:
        writes.started[build.id] = build
        writes.inbox.append(InboxEntry(build.player, CommandId(uuid4().hex), "build.start", b"f", b'{"result":{}}'))
        writes.outbox.append(Told(build_event(BUILD_STARTED, build.started_at, build), build.id, 1, build.started_at))
    return writes


async def test_what_is_written_is_read_back_as_it_was(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    build = a_build(now, follow_ups=(FollowUp("stars.discovered", {"näme": "Bél-dra ✦"}),), trace="00-a-b-01")
    writes = starting(build)
    (row,) = await write(database, writes)
    assert row > 0
    builds, following = await list_builds(database, ADA, state=None, limit=10, after=None)
    assert (builds, following) == ([build], None)
    loaded = await load(database, Ask(ADA, writes.inbox[0].command_id, "luna-1", build.id))
    player = loaded.players[ADA]
    assert (player.builds, player.busy, player.by_id) == (1, {"luna-1": Busy("dock")}, {build.id: build})
    remembered = loaded.remembered[ADA, writes.inbox[0].command_id]
    assert remembered == Remembered("build.start", b"f", b'{"result":{}}')


async def test_whatever_characters_players_and_their_ids_are_made_of_they_are_kept(database: Database) -> None:
    odd, command_id = PlayerId("ada\x1f\x1e,\"'{}\\ ✦"), CommandId("\x1f,{}\x01")
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    writes = starting(a_build(now), a_build(now, odd, "luna, {1}"))
    writes.inbox[1] = msgspec.structs.replace(writes.inbox[1], command_id=command_id)
    await write(database, writes)
    loaded = await load(database, Ask(odd, command_id, "luna, {1}"))
    assert loaded.players[odd].busy == {"luna, {1}": Busy("dock")}
    assert (odd, command_id) in loaded.remembered


async def test_what_would_be_taken_for_two_values_is_refused(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    with pytest.raises(StoreError):
        await write(database, starting(a_build(now, site="luna\x1f1"), a_build(now, BOB)))
    assert await list_builds(database, BOB, state=None, limit=10, after=None) == ([], None)


async def test_what_was_not_told_is_read_back_with_its_trace(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    traced, plain = a_build(now, site="luna-1"), a_build(now, site="luna-2")
    writes = starting(traced, plain)
    told = writes.outbox[0]
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    writes.outbox[0] = msgspec.structs.replace(
        told, notification=msgspec.structs.replace(told.notification, trace=trace)
    )
    await write(database, writes)
    await write(database, starting(a_build(now, site="luna-3")))
    async with database.connection() as connection:
        rows = await read_unpublished(connection, 0, 0.0, 10)
        earlier = await read_earlier(connection, [(traced.id, 2)])
    assert [row.notification.trace for row in rows] == [trace, None, None]
    assert earlier == rows[:1]


async def test_refusals_are_counted_by_player_and_id_until_the_order_is_carried_out(database: Database) -> None:
    one, two = CommandId("one"), CommandId("two")
    assert (await load(database, Ask(ADA, one))).refusals == {}
    assert await write(database, Writes(refusals={(ADA, one): 1, (ADA, two): 1})) == []
    assert await write(database, Writes(refusals={(ADA, one): 2})) == []
    loaded = await load(database, Ask(ADA, one), Ask(ADA, two), Ask(BOB, one))
    assert loaded.refusals == {(ADA, one): 2, (ADA, two): 1}
    writes = starting(a_build(loaded.now))
    writes.inbox = [msgspec.structs.replace(writes.inbox[0], command_id=one)]
    await write(database, writes)
    loaded = await load(database, Ask(ADA, one), Ask(ADA, two))
    assert loaded.refusals == {(ADA, two): 1}
    assert loaded.remembered.keys() == {(ADA, one)}


async def test_another_players_rows_are_not_shown(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    build = a_build(now)
    writes = starting(build)
    await write(database, writes)
    loaded = await load(database, Ask(BOB, writes.inbox[0].command_id, "luna-1", build.id, ("dock",), queue=True))
    assert loaded.players[BOB].by_id == loaded.players[BOB].busy == loaded.remembered == {}
    assert await list_builds(database, BOB, state=None, limit=10, after=None) == ([], None)


async def test_a_row_completed_ahead_of_its_time_is_building_to_readers(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    ahead = a_build(now)
    await write(database, starting(ahead))
    async with database.connection() as connection:
        await connection.execute(
            "UPDATE build SET state = 'completed', completed_at = due_at, revision = 2 WHERE id = $1", ahead.id
        )
    for state, expected in ((None, [ahead]), ("building", [ahead]), ("completed", [])):
        assert (await list_builds(database, ADA, state=state, limit=10, after=None))[0] == expected
    loaded = await load(database, Ask(ADA, CommandId("b"), "luna-1", ahead.id, ("dock",)))
    player = loaded.players[ADA]
    assert player.builds == 1
    assert player.busy["luna-1"] == Busy("dock", ahead.due_at)
    assert player.by_id[ahead.id].state is BuildState.COMPLETED
    assert player.standing == set()


async def test_what_stands_is_known_by_kind(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    past = now - timedelta(hours=2)
    await write(database, starting(a_build(past)))
    async with database.connection() as connection:
        await connection.execute("UPDATE build SET state = 'completed', completed_at = due_at, revision = 2")
    loaded = await load(
        database, Ask(ADA, CommandId("b"), kinds=("dock", "mine")), Ask(BOB, CommandId("b"), kinds=("dock",))
    )
    assert loaded.players[ADA].standing == {"dock"}
    assert loaded.players[BOB].standing == set()


async def test_builds_are_counted_up_to_a_bound(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    await write(database, starting(*(a_build(now, site=f"s{number}") for number in range(5))))
    assert (await load(database, Ask(ADA, CommandId("b")), count_up_to=3)).players[ADA].builds == 3
    assert (await load(database, Ask(ADA, CommandId("b")), count_up_to=9)).players[ADA].builds == 5


async def test_many_builds_are_counted_once_and_then_noted(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    await write(database, starting(*(a_build(now, site=f"s{number}") for number in range(COUNTED_EACH_TIME + 1))))

    async def held(*, limit: int = 10_000, more: int = 0) -> tuple[int, bool]:
        async with database.transaction() as connection:
            loaded = await load_batch(connection, [Ask(ADA, CommandId("b"))] * 2, count_up_to=limit)
            rows = loaded.players[ADA]
            seen = rows.builds, rows.noted
            rows.builds += more
            await note_held(connection, loaded.players)
        return seen

    many = COUNTED_EACH_TIME + 1
    assert await held() == (many, False)
    assert await held(more=2) == (many, True)
    assert await held() == (many + 2, True)
    # Reached by what is noted, the limit is held, and what is noted a while ago is looked after.
    assert await held(limit=many + 1) == (many + 2, True)
    await age(database, "2 seconds")
    assert await held() == (many + 2, True)
    assert await held(limit=many + 1) == (many, False)
    await age(database, "6 minutes")
    assert await held() == (many, False)


async def age(database: Database, by: str) -> None:
    async with database.connection() as connection:
        await connection.execute("UPDATE held_builds SET counted_at = counted_at - $1::text::interval", by)


async def test_a_site_that_was_taken_meanwhile_is_a_conflict(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    await write(database, starting(a_build(now)))
    with pytest.raises(StoreConflict):
        await write(database, starting(a_build(now, site="mars"), a_build(now)))
    builds, _ = await list_builds(database, ADA, state=None, limit=10, after=None)
    assert len(builds) == 1


async def test_a_build_that_moved_on_meanwhile_is_a_conflict(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    build = a_build(now)
    await write(database, starting(build))
    late = Writes()
    late.changed[build.id] = msgspec.structs.replace(
        build, state=BuildState.CANCELLED, revision=Revision(3), cancelled_at=now
    )
    late.expected[build.id] = 2
    with pytest.raises(StoreConflict):
        await write(database, late)


async def test_a_freed_site_can_be_built_on_in_the_same_batch(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    old, new = a_build(now), a_build(now)
    await write(database, starting(old))
    writes = starting(new)
    writes.changed[old.id] = msgspec.structs.replace(
        old, state=BuildState.CANCELLED, revision=Revision(2), cancelled_at=now
    )
    writes.expected[old.id] = 1
    await write(database, writes)
    assert (await list_builds(database, ADA, state="building", limit=10, after=None))[0] == [new]


def waiting(now: datetime, site: str = "luna-1") -> QueuedOrder:
    return QueuedOrder(id=BuildId(new_id()), player=ADA, site=site, kind="dock", duration_ms=5, created_at=now)


async def test_waiting_orders_come_back_in_the_order_in_which_they_were_given(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    orders = [waiting(now) for _ in range(5)][::-1]  # against the order of their ids
    writes = starting(a_build(now))
    writes.queued = {order.id: order for order in orders}
    await write(database, writes)
    listed, more = await list_queued(database, ADA, limit=4)
    assert ([order for _, order in listed], more) == (orders[:4], True)
    rest, more = await list_queued(database, ADA, limit=4, after=listed[-1][0])
    assert ([order for _, order in rest], more) == (orders[4:], False)
    loaded = await load(database, Ask(ADA, CommandId("b"), "luna-1", queue=True))
    assert loaded.players[ADA].queues == {"luna-1": orders}


async def test_an_order_that_was_started_meanwhile_cannot_be_withdrawn(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    writes = starting(a_build(now))
    writes.unqueued = [waiting(now).id]
    with pytest.raises(StoreConflict):
        await write(database, writes)


async def test_queueing_waits_for_the_completion_that_is_under_way_and_then_sees_it(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    build = a_build(now - timedelta(hours=2))
    await write(database, starting(build))
    async with database.transaction() as scheduler:
        await scheduler.execute(
            "UPDATE build SET state = 'completed', completed_at = due_at, revision = 2 WHERE id = $1", build.id
        )
        queueing = asyncio.create_task(load(database, Ask(ADA, CommandId("b"), "luna-1", queue=True)))
        done, _ = await asyncio.wait({queueing}, timeout=0.3)
        assert not done
    assert (await queueing).players[ADA].busy == {}


async def test_a_long_history_is_paged_newest_first(database: Database) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    builds = [a_build(now, site=f"s{number}") for number in range(25)]
    await write(database, starting(*builds))
    seen: list[BuildRecord] = []
    after = None
    for _ in range(3):
        page, after = await list_builds(database, ADA, state="building", limit=10, after=after)
        seen += page
    assert after is None
    assert seen == sorted(builds, key=lambda build: build.id, reverse=True)


ID = "'00000000-0000-7000-8000-000000000000'::uuid"
LOOKUPS = {
    "orders.load_orders": (
        "ARRAY['a'], ARRAY['c'], ARRAY['s'], 5, ARRAY[true]",
        ["held_builds_pkey", "inbox_pkey", "refusal_pkey", "build_site_busy", "build_recent"],
    ),
    "orders.lock_builds": (f"ARRAY[{ID}], ARRAY['a'], ARRAY['s']", ["build_pkey", "build_site_busy"]),
    "orders.load_standing": ("ARRAY['a'], ARRAY['dock']", ["build_standing"]),
    "orders.load_queues": ("ARRAY['a']", ["queued_order_next"]),
    "orders.change_builds": (
        f"ARRAY[{ID}], ARRAY[1], ARRAY['x'], ARRAY[2], ARRAY[now()], ARRAY[now()], ARRAY[1]",
        ["build_pkey"],
    ),
    "orders.delete_queued": (f"ARRAY[{ID}]", ["queued_order_pkey"]),
    "builds.list_all": ("'a', NULL, 10", ["build_by_state"]),
    "builds.list_state": ("'a', NULL, 10, 'completed'", ["build_by_state"]),
    "builds.list_building": ("'a', NULL, 10", ["build_by_state", "build_recent"]),
    "builds.list_queued": ("'a', 0, 10", ["queued_order_next"]),
    "announcements.find_events": (ID, ["world_event_series", "world_event_pkey"]),
    "announcements.cancel_events": (ID, ["world_event_series", "world_event_pkey"]),
}


@pytest.mark.parametrize("name", LOOKUPS)
async def test_every_lookup_goes_by_its_index(database: Database, name: str) -> None:
    """On a table that is still empty too: the plan is cached, and the table grows faster than statistics are made."""
    arguments, indexes = LOOKUPS[name]
    topic, _, query = name.partition(".")
    async with database.connection() as connection:
        await connection.execute(f"PREPARE lookup AS {getattr(sql.load(topic), query)}")
        plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE lookup ({arguments})"))
        await connection.execute("DEALLOCATE lookup")
    assert "Seq Scan" not in plan, plan
    used = set(re.findall(r"(?:using|Index Scan on|Backward using) (\w+)", plan))
    assert used == set(indexes), plan


@pytest.mark.parametrize("state", [None, "building", "completed"])
async def test_pages_behind_a_build_hold_only_older_ones(database: Database, state: str | None) -> None:
    now = (await load(database, Ask(ADA, CommandId("a")))).now
    builds = [a_build(now, site=f"s{number}") for number in range(4)]
    await write(database, starting(*builds))
    if state == "completed":
        async with database.connection() as connection:
            await connection.execute(
                "UPDATE build SET state = 'completed', revision = 2, started_at = now() - interval '2h',"
                " due_at = now() - interval '1h', completed_at = now() - interval '1h'"
            )
    page, following = await list_builds(database, ADA, state=state, limit=2, after=builds[2].id)
    assert ([build.id for build in page], following) == ([builds[1].id, builds[0].id], None)
