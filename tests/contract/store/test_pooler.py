"""Through a real PgBouncer, in either mode: nobody meets another's statements, settings or locks."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, cast

import pytest

from libs.store.database import INDEXES_ONLY, Database
from libs.store.migrate import migrate
from libs.store.schema import check_schema
from tests.support.pgbouncer import pgbouncer

pytestmark = pytest.mark.needs("pgbouncer")


@pytest.fixture(params=["transaction", "session"])
async def pooled_url(request: pytest.FixtureRequest, empty_database_url: str) -> AsyncIterator[str]:
    mode = cast("Literal['session', 'transaction']", request.param)
    with tempfile.TemporaryDirectory(prefix="starwake-pgbouncer-") as directory:
        async with pgbouncer(empty_database_url, Path(directory), mode) as url:
            yield url


async def test_two_services_work_side_by_side(pooled_url: str) -> None:
    assert (await asyncio.to_thread(migrate, pooled_url)).is_current
    one = await Database.connect(pooled_url, name="one", planner=INDEXES_ONLY)
    two = await Database.connect(pooled_url, name="two")

    async def work(database: Database, number: int) -> None:
        for step in range(20):
            await database.now()
            async with database.transaction() as connection:
                assert await connection.fetchval("SELECT $1::int + $2::int", number, step) == number + step
                assert await connection.fetchval("SHOW statement_timeout") == "10s"
                expected = "off" if database is one else "on"
                assert await connection.fetchval("SHOW enable_seqscan") == expected
            async with database.connection() as connection:
                assert await connection.fetchval("SELECT $1::text", f"{number}") == f"{number}"

    try:
        await asyncio.gather(*(work(each, number) for number in range(3) for each in (one, two)))
        async with one.holding(7) as first, two.holding(7) as second:
            assert (first, second) == (True, False)
        async with two.holding(7) as again:
            assert again
        assert (await check_schema(two)).is_current
    finally:
        await one.close()
        await two.close()
