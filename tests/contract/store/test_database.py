"""The pool: errors in our words, nothing left behind by what was broken off, waits that end."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from urllib.parse import urlsplit

import asyncpg
import pytest

from starwake.store.database import Connection, Database
from starwake.store.errors import StoreConflict, StoreError, StoreUnavailable
from tests.support.eventually import eventually
from tests.support.postgres import LocalPostgres, connect


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    pool = await Database.connect(database_url, name="test", max_connections=2, command_timeout_s=2)
    yield pool
    await pool.close()


async def count_marks(database: Database) -> int:
    async with database.connection() as connection:
        return await connection.fetchval("SELECT count(*) FROM feed_mark")


INSERT = "INSERT INTO feed_mark (stream, epoch, last_seq) VALUES ($1, 'e', 1)"


async def test_a_transaction_commits_at_its_end(database: Database) -> None:
    async with database.transaction() as connection:
        await connection.execute(INSERT, "a")
    assert await count_marks(database) == 1


async def test_a_transaction_that_fails_leaves_nothing(database: Database) -> None:
    async def failing() -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, "a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await failing()
    assert await count_marks(database) == 0


async def test_a_transaction_that_is_cancelled_leaves_nothing_and_holds_nothing(database: Database) -> None:
    begun = asyncio.Event()

    async def slow() -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, "a")
            begun.set()
            await connection.execute("SELECT pg_sleep(30)")

    tasks = [asyncio.create_task(slow())]
    await begun.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    async with database.transaction() as connection:
        await connection.execute(INSERT, "a")
    assert await count_marks(database) == 1


async def test_a_refused_statement_is_an_error_of_the_store(database: Database) -> None:
    with pytest.raises(StoreError) as caught:
        async with database.transaction() as connection:
            await connection.execute("SELECT nothing")
    assert not isinstance(caught.value, StoreUnavailable)
    with pytest.raises(StoreError):
        async with database.connection() as connection:
            await connection.fetchval("SELECT $1::int", "no number")


async def test_a_swallowed_failure_is_not_taken_for_a_commit(database: Database) -> None:
    async def swallowing() -> None:
        async with database.transaction() as connection:
            await connection.execute(INSERT, "a")
            with pytest.raises(Exception, match="nothing"):
                await connection.execute("SELECT nothing")

    with pytest.raises(StoreConflict):
        await swallowing()


async def test_a_slow_statement_ends_in_time(database: Database) -> None:
    before = time.monotonic()
    with pytest.raises(StoreUnavailable):
        async with database.connection() as connection:
            await connection.execute("SELECT pg_sleep(30)")
    assert time.monotonic() - before < 10
    await database.now()


async def test_nobody_waits_for_a_connection_for_ever(database_url: str) -> None:
    pool = await Database.connect(database_url, name="test", max_connections=1, acquire_timeout_s=0.1)
    try:
        async with pool.connection():
            with pytest.raises(StoreUnavailable):
                await pool.now()
        await pool.now()
    finally:
        await pool.close()


async def test_a_deadlock_is_tried_again(database: Database) -> None:
    async with database.transaction() as connection:
        for name in ("a", "b"):
            await connection.execute(INSERT, name)
    both = asyncio.Barrier(2)

    async def raise_marks(first: str, second: str) -> int:
        attempts = 0

        async def attempt() -> None:
            nonlocal attempts
            attempts += 1
            async with database.transaction() as connection:
                update = "UPDATE feed_mark SET last_seq = last_seq + 1 WHERE stream = $1"
                await connection.execute(update, first)
                if attempts == 1:
                    await both.wait()
                await connection.execute(update, second)

        await database.retrying(attempt)
        return attempts

    async with asyncio.timeout(20):
        attempts = await asyncio.gather(raise_marks("a", "b"), raise_marks("b", "a"))
    assert sorted(attempts) == [1, 2]
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT sum(last_seq) FROM feed_mark") == 6


async def test_what_always_conflicts_is_given_up(database: Database) -> None:
    attempts = 0

    async def attempt() -> None:
        nonlocal attempts
        attempts += 1
        raise StoreConflict

    with pytest.raises(StoreConflict):
        await database.retrying(attempt)
    assert 1 < attempts < 10


async def test_a_database_that_is_away_is_unavailable_until_it_is_back(
    database: Database, postgres_server: LocalPostgres
) -> None:
    await database.now()
    await postgres_server.stop()
    try:
        with pytest.raises(StoreUnavailable):
            async with database.transaction() as connection:
                await connection.execute(INSERT, "a")
    finally:
        await postgres_server.start()
    async with database.transaction() as connection:
        await connection.execute(INSERT, "a")


async def test_a_connection_that_the_server_ends_is_replaced(database: Database, database_url: str) -> None:
    async with database.connection() as connection:
        victim = await connection.fetchval("SELECT pg_backend_pid()")
    operator = await connect(database_url)
    await operator.fetchval("SELECT pg_terminate_backend($1)", victim)
    await operator.close()
    for _ in range(3):
        try:
            await database.now()
        except StoreUnavailable:
            continue
        break
    else:
        pytest.fail("the pool did not heal")


async def test_a_connection_that_is_lost_in_a_transaction_and_taken_back_by_the_pool_is_unavailable(
    database: Database, database_url: str
) -> None:
    operator = await connect(database_url)

    async def lose(connection: Connection) -> None:
        await operator.fetchval("SELECT pg_terminate_backend($1)", await connection.fetchval("SELECT pg_backend_pid()"))
        # Without any statement in between: the pool learns of the loss by itself, and takes the connection back.
        await eventually(lambda: _is_taken_back(connection))

    async def use_it() -> None:
        async with database.transaction() as connection:
            await lose(connection)
            await connection.execute(INSERT, "a")

    async def notice_it() -> None:
        async with database.transaction() as connection:
            await lose(connection)
            raise ConnectionResetError

    for work in (use_it, notice_it):
        with pytest.raises(StoreUnavailable):
            await work()
    await operator.close()
    assert await count_marks(database) == 0


def _is_taken_back(connection: Connection) -> bool:
    try:
        connection.is_closed()
    except asyncpg.InterfaceError:
        return True
    return False


async def test_the_clock_is_the_databases(database: Database) -> None:
    shown, at = await database.clock()
    assert abs(time.monotonic() - at) < 5
    assert shown.tzinfo is not None


async def test_a_lock_is_held_by_one_until_its_block_ends(database: Database) -> None:
    async with database.holding(7) as first, database.holding(7) as second:
        assert (first, second) == (True, False)

    async def free_again() -> bool:
        async with database.holding(7) as held:
            return held

    await eventually(free_again)


@pytest.fixture
async def read_only_for_others(database_url: str) -> AsyncIterator[Callable[[bool], Awaitable[None]]]:
    """Makes the database take no writes of sessions that begin from now on."""
    operator = await connect(database_url)
    name = urlsplit(database_url).path[1:]

    async def switch(on: bool) -> None:  # noqa: FBT001 - a switch
        await operator.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = {"on" if on else "off"}')

    yield switch
    await operator.close()


async def test_a_pool_gives_up_a_server_that_takes_no_writes_any_more(
    database: Database, read_only_for_others: Callable[[bool], Awaitable[None]]
) -> None:
    async with database.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")  # as seen from inside of a session
        victim = await connection.fetchval("SELECT pg_backend_pid()")
    await read_only_for_others(True)

    async def insert() -> None:
        async with database.connection() as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") == victim
            await connection.execute(INSERT, "a")

    with pytest.raises(StoreUnavailable):
        await insert()
    with pytest.raises(StoreUnavailable):
        await database.now()
    await read_only_for_others(False)
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT pg_backend_pid()") != victim
        await connection.execute(INSERT, "a")


async def test_readiness_notices_that_the_database_takes_no_writes(database: Database) -> None:
    async with database.connection() as connection:
        await connection.execute("SET default_transaction_read_only = on")
    with pytest.raises(StoreUnavailable, match="read-only"):
        await database.now()
    await database.now()


async def test_the_end_of_a_connection_is_told_whoever_ended_it(database: Database, database_url: str) -> None:
    told = asyncio.Event()
    database.on_loss(told.set)
    await database.now()
    assert not told.is_set()
    administrator = await connect(database_url)
    try:
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    finally:
        await administrator.close()
    await asyncio.wait_for(told.wait(), 10)
