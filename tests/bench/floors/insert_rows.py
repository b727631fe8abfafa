"""Bare INSERTs of build rows through asyncpg, fsync on: one a statement, or many; prints its figures as a JSON line.

`python -m tests.bench.floors.insert_rows ROWS_PER_STATEMENT SECONDS CONNECTIONS`
"""

import asyncio
import json
import os
import sys
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
import uvloop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

connect: Final = cast("Callable[[str], Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
_TABLE = """CREATE TABLE IF NOT EXISTS bare_build (id uuid PRIMARY KEY, player text, kind text, site text, state text,
            revision int, started_at timestamptz, due_at timestamptz)"""
_INSERT = """INSERT INTO bare_build SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[],
             $6::int[], $7::timestamptz[], $8::timestamptz[])"""


async def insert(url: str, rows: int, ends: float) -> int:
    """Insert until the time is up; how many rows."""
    connection = await connect(url)
    statement = await connection.prepare(_INSERT)
    done = 0
    while time.perf_counter() < ends:
        now = datetime.now(UTC)
        ids = [uuid.uuid4() for _ in range(rows)]
        await statement.fetch(
            *(ids, ["ada"] * rows, ["dock"] * rows, [f"site-{number}" for number in range(rows)]),
            *(["building"] * rows, [1] * rows, [now] * rows, [now] * rows),
        )
        done += rows
    await connection.close()
    return done


async def main(rows: int, seconds: float, connections: int) -> None:
    """Make the table, insert on all connections, say how many rows."""
    url = os.environ["BENCH_DATABASE_URL"]
    maker = await connect(url)
    await maker.execute(_TABLE)
    await maker.close()
    began = time.perf_counter()
    done = sum(await asyncio.gather(*(insert(url, rows, began + seconds) for _ in range(connections))))
    wall = time.perf_counter() - began
    sys.stdout.write(json.dumps({"answered": done, "per_s": round(done / wall, 1)}) + "\n")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])))
