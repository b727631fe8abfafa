"""What a statement costs does not grow with what is over: a table full of ended builds, and what each one touches."""

# ruff: noqa: E501, S608 - statements' arguments, a line each; nothing comes from outside
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import pytest

from starwake.store import sql
from starwake.store.database import INDEXES_ONLY
from starwake.store.tables import metadata
from tests.support.postgres import Connection, LocalPostgres, connect

ENDED = 8_000
"""Ended builds of one player, and half as much of everything else that a player or a universe leaves behind."""
CROWD = 3_000
"""Builds of another player that are under way."""
MOST_ROWS = 1_000
MOST_BUFFERS = 1_000
TOPICS = sorted(path.stem for path in (Path(sql.__file__).parent / "sql").glob("*.sql"))
EVERY = [f"{topic}.{name}" for topic in TOPICS for name in sql.load(topic)]
OF_COMMAND = ("announcements", "builds", "orders")

DUE = "2026-01-01T00:00:00Z"
FILL = f"""
INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, completed_at, cancelled_at)
SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid, 'ada', 'dock', 'luna-' || number % 500,
    CASE WHEN gone THEN 'cancelled' ELSE 'completed' END, 2, at, at + interval '1 hour',
    CASE WHEN NOT gone THEN at + interval '1 hour' END, CASE WHEN gone THEN at + interval '1 minute' END
FROM (
    -- Cancelled ones first, completed ones last: a page of either looks for its rows among all of the other.
    SELECT number, number <= {ENDED // 4} AS gone,
        date_trunc('second', now()) - interval '1 day' - interval '1 minute' * ({ENDED} - number) AS at
    FROM generate_series(1, {ENDED}) AS number
) AS history;
INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, completed_at)
SELECT gen_random_uuid(), 'player-' || number % 2000, 'dock', 'luna-1', 'completed', 2, at, at, at
FROM generate_series(1, {ENDED // 2}) AS number, (SELECT now() - interval '1 day' AS at) AS ended;
INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at)
SELECT ('01900000-0000-7000-8000-0000f' || lpad(to_hex(number), 7, '0'))::uuid, 'ada', 'dock', 'luna-' || number,
    'building', 1, '{DUE}', timestamptz '{DUE}' + interval '365 days' * (number - 1)
FROM generate_series(1, 10) AS number;
INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at, completed_at)
SELECT ('01900000-0000-7000-8000-0001f' || lpad(to_hex(number), 7, '0'))::uuid, 'ada', 'dock', 'ahead-' || number,
    'completed', 2, now(), now() + interval '1 hour', now() + interval '1 hour'
FROM generate_series(1, 5) AS number;
INSERT INTO build (id, player, kind, site, state, revision, started_at, due_at)
SELECT gen_random_uuid(), 'crowded', 'dock', 'luna-' || number, 'building', 1, now(), now() + interval '1 year'
FROM generate_series(1, {CROWD}) AS number;
INSERT INTO held_builds VALUES ('crowded', {CROWD}, now());
INSERT INTO queued_order (id, player, site, kind, duration_ms, created_at)
SELECT ('01900000-0000-7000-8000-0002f' || lpad(to_hex(number), 7, '0'))::uuid, 'ada', 'luna-' || number, 'dock', 1000,
    now() - interval '1 minute'
FROM generate_series(1, 20) AS number;
INSERT INTO inbox (player, command_id, command, fingerprint, outcome, created_at)
SELECT 'ada', 'order-' || number, 'build.start', 'f', '{{}}', now() - interval '1 minute' * number
FROM generate_series(1, {ENDED // 2}) AS number;
INSERT INTO refusal (player, command_id, times, refused_at)
SELECT 'ada', 'order-' || number, 1, now() - interval '1 minute' * number
FROM generate_series(1, {ENDED // 2}) AS number;
INSERT INTO world_event (id, series, player, event, data, due_at, state, revision, told_at)
SELECT id, id, 'ada', 'dragons.near', '{{}}', at, 'told', 2, at
FROM (
    SELECT ('01900000-0000-7000-8000-' || lpad(to_hex(number), 12, '0'))::uuid AS id,
        date_trunc('second', now()) - interval '1 minute' * ({ENDED // 2} - number) AS at
    FROM generate_series(1, {ENDED // 2}) AS number
) AS history;
INSERT INTO world_event (id, series, event, data, due_at, state, revision)
SELECT gen_random_uuid(), gen_random_uuid(), 'dragons.near', '{{}}', now() + interval '1 hour' * (number - 5), 'scheduled', 1
FROM generate_series(1, 10) AS number;
INSERT INTO feed_mark VALUES ('NOTIFICATIONS', 'e', 5);
INSERT INTO outbox (message_id, source_kind, source_id, revision, player, payload, tell_at)
SELECT 'm' || number, 'build', '01900000-0000-7000-8000-0000f0000001', 1, 'ada', '{{}}', now() - interval '1 minute'
FROM generate_series(1, 10) AS number;
"""

ID = "'01900000-0000-7000-8000-0000f0000001'::uuid"
NEW = "'01900000-0000-7000-8000-0009f0000001'"
FIRST = "'00000000-0000-0000-0000-000000000000'"
OLDEST = "'01900000-0000-7000-8000-000000000000'"
NOTHING = "NULL::text"
ARGUMENTS = {
    "announcements.insert_events": f"{ID}, 'ada', ARRAY[{NEW}]::uuid[], ARRAY['e'], ARRAY['{{}}']::jsonb[], ARRAY[now()], NULL",
    "announcements.remembered": "'order-7'",
    "announcements.remember": "'new', 'announce', 'f', '{}'",
    "announcements.find_events": ID,
    "announcements.cancel_events": ID,
    "announcements.list_upcoming": f"'ada', now(), {FIRST}, 10",
    "builds.list_all": "'ada', NULL, 10",
    "builds.list_state": "'ada', NULL, 10, 'cancelled'",
    "builds.list_building": "'ada', NULL, 10",
    "builds.list_queued": "'ada', 0, 10",
    "due.soon_builds": f"now() - interval '1 year', {FIRST}, now() + interval '2 years', 10",
    "due.soon_events": f"now() - interval '1 year', {FIRST}, now() + interval '1 minute', 10",
    "due.building": f"ARRAY[{ID}]",
    "due.scheduled": f"ARRAY[{ID}]",
    "due.claim_builds": "now() + interval '2 years', '{}', 10",
    "due.claim_events": "now(), 10",
    "due.complete_builds": (
        f"ARRAY[{ID}], ARRAY[1], ARRAY[timestamptz '{DUE}'], ARRAY['ada'], interval '0',"
        f" ARRAY[{ID}], ARRAY['told'], ARRAY['{{}}'], NULL"
    ),
    "due.complete_events": f"ARRAY[{ID}], ARRAY[1], ARRAY[now()], interval '0', ARRAY[{ID}], ARRAY['t'], ARRAY['{{}}'], NULL",
    "due.any_queued": "",
    "due.next_queued": f"ARRAY[{ID}]",
    "due.stranded_queued": "interval '5 seconds', 10",
    "due.start_queued": f"ARRAY[{ID}], ARRAY[now()], ARRAY[now()], ARRAY['m'], ARRAY['{{}}'], NULL",
    "high_water_mark.read": "'NOTIFICATIONS'",
    "high_water_mark.went_back": f"ARRAY[{ID}], ARRAY[1], ARRAY[true], ARRAY[9], ARRAY['m'], 'NOTIFICATIONS'",
    "high_water_mark.lift": "'NOTIFICATIONS', 6",
    "high_water_mark.begin_epoch": "'NOTIFICATIONS', 'e', 7",
    "gather.build_keys": f"{OLDEST}, {ID}, 10",
    "gather.event_keys": f"{OLDEST}, {ID}, 10",
    "gather.lock": "1",
    "orders.lock_players": "ARRAY[1, 2]",
    "orders.lock_builds": f"ARRAY[{ID}], ARRAY['ada'], ARRAY['luna-2']",
    "orders.load_orders": (
        "ARRAY['ada', 'ada', 'crowded'], ARRAY['order-7', 'x', 'x'], ARRAY['luna-2', 'free', 'luna-7'], 6000,"
        " ARRAY[true, false, true]"
    ),
    "orders.note_held": "ARRAY['ada'], ARRAY[700], ARRAY[true]",
    "orders.load_standing": "ARRAY['ada', 'ada'], ARRAY['dock', 'mine']",
    "orders.load_queues": "ARRAY['ada']",
    "orders.change_builds": f"ARRAY[{ID}], ARRAY[1], ARRAY['building'], ARRAY[2], ARRAY[now()], ARRAY[NULL]::timestamptz[], ARRAY[5]",
    "orders.insert_orders": (
        f"{NEW}, ARRAY['ada'], 'dock', 'new', 'building', '1', now()::text, now()::text, '', '', '', ARRAY['ada'],"
        f" ARRAY['new'], 'build.start', ARRAY['f'::bytea], '{{}}', 'new', {NEW}, '1', ARRAY['ada'], '{{}}', now()::text,"
        f" NULL, ','"
    ),
    "orders.count_refusals": "ARRAY['ada'], ARRAY['order-7'], ARRAY[2]",
    "orders.insert_queued": (
        f"ARRAY[{NEW}]::uuid[], ARRAY['ada'], ARRAY['luna-2'], ARRAY['dock'], ARRAY[5], ARRAY['[]']::jsonb[],"
        " ARRAY['t'], ARRAY[now()]"
    ),
    "orders.delete_queued": f"ARRAY[{ID}]",
    "outbox.earlier": f"ARRAY[{ID}], ARRAY[2]",
    "outbox.unpublished": "0, interval '1 second', 10",
    "outbox.delete_published": "ARRAY[1, 2], 'NOTIFICATIONS', 9",
    "outbox.backlog": "",
    "outbox.set_aside": "ARRAY[1], ARRAY['too large']",
    "outbox.list_set_aside": "10",
    "outbox.lock_set_aside": "ARRAY[1]",
    "outbox.retry_set_aside": "ARRAY[1]",
    "outbox.drop_set_aside": "ARRAY[1]",
    "revocations.note": "'ada', now()",
    "revocations.note_found": "ARRAY['ada'], ARRAY[now()], interval '30 days'",
    "revocations.locked": "'ada'",
    "revocations.page": "'', interval '30 days', 10",
    "revocations.forget": "interval '30 days', 10",
    "schema.has_version_table": "",
    "schema.current_version": "",
}
"""What each statement is run with. One that is new is added here, or to the exceptions with the reason."""

EXCEPTIONS = {
    "due.pending": "counts all that waits, by design: what waits is no history. A metric, every half minute",
    "due.overdue": "counts all that is overdue, which is no history either",
    "gather.forget_inbox": "housekeeping, seldom, over what is kept for 7 days",
    "gather.forget_refusals": "the same",
    "gather.forget_events": "housekeeping, seldom, over at most 30 days of world events",
}


@pytest.fixture(scope="module")
async def old_universe(postgres_server: LocalPostgres) -> AsyncIterator[Connection]:
    """A database that has lived long."""
    async with postgres_server.database() as url:
        connection = await connect(url)
        # Indexes are made at the end: four times as quick.
        indexes = await connection.fetch(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'build' AND indexname NOT LIKE '%_pkey'"
        )
        for index in indexes:
            await connection.execute(f"DROP INDEX {index['indexname']}")
        await connection.execute(FILL)
        for index in indexes:
            await connection.execute(str(index["indexdef"]))
        await connection.execute(f"ANALYZE {', '.join(metadata.tables)}")
        yield connection
        await connection.close()


def test_no_statement_is_left_out() -> None:
    assert set(EVERY) == set(ARGUMENTS) | set(EXCEPTIONS)


async def test_what_a_statement_touches_does_not_grow_with_history(old_universe: Connection) -> None:
    """As the service that runs it has it planned: for its arguments, or once for all."""
    too_much: list[str] = []
    for name in ARGUMENTS:
        topic, _, _ = name.partition(".")
        modes = [{"plan_cache_mode": "force_custom_plan"}, {"plan_cache_mode": "force_generic_plan"}]
        for settings in [INDEXES_ONLY] if topic in OF_COMMAND else modes:
            plan = await explained(old_universe, name, settings)
            rows, buffers = cost(plan)
            if rows > MOST_ROWS or buffers > MOST_BUFFERS:
                too_much.append(f"{name}: {rows} rows, {buffers} pages under {settings}\n{json.dumps(plan, indent=1)}")
    assert not too_much, "\n".join(too_much)


async def explained(connection: Connection, name: str, settings: Any) -> dict[str, Any]:  # noqa: ANN401 - a mapping
    """The plan that was run, with what it met; what it changed is undone."""
    topic, _, query = name.partition(".")
    statement = f"statement_{uuid4().hex}"
    arguments = f"({ARGUMENTS[name]})" if ARGUMENTS[name] else ""
    await connection.execute("BEGIN")
    try:
        for setting, value in settings.items():
            await connection.execute(f"SET LOCAL {setting} = {value}")
        await connection.execute(f"PREPARE {statement} AS {getattr(sql.load(topic), query)}")
        explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE {statement} {arguments}"
        (document,) = json.loads(cast("str", await connection.fetchval(explain)))
    finally:
        await connection.execute("ROLLBACK")
    return cast("dict[str, Any]", document["Plan"])


def cost(plan: dict[str, Any]) -> tuple[int, int]:
    """How many rows were looked at, and how many pages."""
    rows = sum(
        node["Actual Loops"]
        * (node["Actual Rows"] + sum(value for key, value in node.items() if key.startswith("Rows Removed by")))
        for node in nodes(plan)
        if "Relation Name" in node or "Index Name" in node
    )
    return round(rows), plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The plan's node and all below it."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)
