"""Through a real PgBouncer, in either mode: nobody meets another's statements, settings or locks."""

import asyncio
import json
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Literal, cast

import pytest

from starwake.store.database import INDEXES_ONLY, Database
from starwake.store.migrate import migrate
from starwake.store.schema import check_schema
from tests.support.pgbouncer import pgbouncer

pytestmark = pytest.mark.needs("pgbouncer")


@pytest.fixture(params=["transaction", "session"])
async def pooled_url(request: pytest.FixtureRequest, empty_database_url: str) -> AsyncIterator[str]:
    mode = cast("Literal['session', 'transaction']", request.param)
    with tempfile.TemporaryDirectory(prefix="starwake-pgbouncer-") as directory:
        async with pgbouncer(empty_database_url, Path(directory), mode) as url:
            yield url


async def test_a_pooler_is_noticed_with_its_mode(pooled_url: str, request: pytest.FixtureRequest) -> None:
    database = await Database.connect(pooled_url, name="test")
    try:
        assert await database.pooler() == request.node.callspec.params["pooled_url"]
    finally:
        await database.close()


async def test_without_a_pooler_none_is_seen(database_url: str) -> None:
    database = await Database.connect(database_url, name="test")
    try:
        assert await database.pooler() is None
    finally:
        await database.close()


async def test_doctor_names_the_pooler_and_what_it_has_to_hold(pooled_url: str, tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starwake.cli.main", "doctor", "--json", "--data", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ | {"STARWAKE_DATABASE_URL": pooled_url, "STARWAKE_NATS_URL": "nats://127.0.0.1:9"},
    )
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    [finding] = [each for each in json.loads(out)["findings"] if each["name"] == "pooler"]
    assert finding["detail"].endswith((" transaction mode", " session mode"))
    assert "at least 24" in finding["advice"]


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
