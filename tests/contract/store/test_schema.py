"""The schema's history ends in the model, and can be run by anyone at any time."""

import asyncio

from alembic.script import ScriptDirectory

from starwake.store.database import Database
from starwake.store.migrate import differences, main, migrate
from starwake.store.schema import MIGRATIONS, check_schema, head, known_revisions
from starwake.store.sql import load
from tests.support.postgres import connect
from tests.unit.store.test_sql import TOPICS


def test_the_history_ends_in_the_model(empty_database_url: str) -> None:
    migrate(empty_database_url)
    assert differences(empty_database_url) == []
    assert main(["--url", empty_database_url, "--check"]) == 0


def test_a_difference_between_history_and_model_is_found(empty_database_url: str) -> None:
    assert main(["--url", empty_database_url, "--check"]) == 1


def test_the_revisions_are_read_as_alembic_reads_them() -> None:
    scripts = ScriptDirectory(str(MIGRATIONS))
    assert head() == scripts.get_current_head()
    assert known_revisions() == {each.revision: each.down_revision for each in scripts.walk_revisions()}


async def test_migrating_again_changes_nothing(empty_database_url: str) -> None:
    steps: list[str] = []
    for _ in range(2):
        state = migrate(empty_database_url, progress=steps.append)
        assert state.is_current
    assert len(steps) == len({step.partition(":")[0] for step in steps}) >= 1


async def test_several_may_migrate_at_once(empty_database_url: str) -> None:
    states = await asyncio.gather(*(asyncio.to_thread(migrate, empty_database_url) for _ in range(3)))
    assert {state.current for state in states} == {head()}


async def test_a_service_sees_where_the_schema_stands(empty_database_url: str) -> None:
    database = await Database.connect(empty_database_url, name="test")
    try:
        before = await check_schema(database)
        assert (before.current, before.is_usable) == (None, False)
        await asyncio.to_thread(migrate, empty_database_url)
        assert (await check_schema(database)).is_current
    finally:
        await database.close()


async def test_a_newer_schema_is_worked_with_and_left_as_it_is(database_url: str) -> None:
    connection = await connect(database_url)
    await connection.execute("UPDATE alembic_version SET version_num = '9999'")
    await connection.close()
    database = await Database.connect(database_url, name="test")
    try:
        state = await check_schema(database)
        assert (state.is_current, state.is_newer, state.is_usable) == (False, True, True)
    finally:
        await database.close()
    state = await asyncio.to_thread(migrate, database_url)
    assert (state.current, state.is_usable) == ("9999", True)
    assert "newer" in state.described
    assert main(["--url", database_url]) == 0


async def test_each_query_fits_the_schema(database_url: str) -> None:
    connection = await connect(database_url)
    try:
        for topic in TOPICS:
            queries = load(topic)
            for name in queries:
                await connection.execute(f"PREPARE {topic}_{name} AS {getattr(queries, name)}")
    finally:
        await connection.close()
