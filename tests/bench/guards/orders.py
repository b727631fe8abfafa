"""An order's whole life, counted by the servers themselves: SQL statements, rows written, NATS messages.

One order after the other, so that nothing is gathered into batches and the figures do not depend on timing; what the
stack does while nobody plays is measured first and taken off.
"""

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import asyncpg
import httpx

from tests.bench.contestants.base import Running
from tests.bench.contestants.starwake import BUILD_SECONDS
from tests.bench.harness.measure import flat, spec
from tests.bench.harness.processes import load

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_ORDERS: Final = 100
_IDLE_S: Final = 6.0
_PER_S: Final = 10
_REPORTED_S: Final = 3.0
"""A server process of Postgres reports what it wrote once a second at most, and when it is idle."""
_connect: Final = cast("Callable[[str], Awaitable[Any]]", asyncpg.connect)  # pyright: ignore[reportUnknownMemberType]
_ROWS: Final = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables"


async def measure(running: Running) -> dict[str, float]:
    """Figures for one order, from `build.start` to the completion on the player's socket."""
    connection = await _connect(running.addresses["postgres"])
    try:
        # Each statement becomes a line of the log from here on, in every session.
        await connection.execute("ALTER SYSTEM SET log_statement = 'all'")
        await connection.execute("SELECT pg_reload_conf()")
        await asyncio.sleep(_REPORTED_S)
        idle_began, idle = time.monotonic(), await _counts(running, connection)
        await asyncio.sleep(_IDLE_S)
        before, began = await _counts(running, connection), time.monotonic()
        options: dict[str, float | str] = {"per_s": _PER_S, "kind": "quick", "build_seconds": BUILD_SECONDS}
        what = spec(running, "completions", 10, _ORDERS / _PER_S, **options)
        async with load(what) as client:
            figures = flat(await client.figures())
        await asyncio.sleep(_REPORTED_S)
        after, ended = await _counts(running, connection), time.monotonic()
    finally:
        await connection.close()
    assert figures["orders"] == _ORDERS
    assert not figures["lost"] + figures["doubled"] + figures["refused"]
    quiet = {name: (before[name] - idle[name]) / (began - idle_began) for name in before}
    return {
        f"{name}_an_order": max(0.0, after[name] - before[name] - quiet[name] * (ended - began)) / _ORDERS
        for name in before
    }


async def _counts(running: Running, connection: Any) -> dict[str, float]:  # noqa: ANN401 - asyncpg brings no types
    # The log is where it is told by the server itself; the extension that counts is not everywhere.
    log = Path(running.addresses["data"]) / "logs" / "postgres.log"
    statements = await asyncio.to_thread(_statements, log)
    rows = await connection.fetchval(_ROWS)
    async with httpx.AsyncClient() as client:
        varz = (await client.get(f"{running.addresses['monitor']}/varz")).json()
    return {
        "sql_statements": float(statements),
        "rows_written": float(rows),
        "nats_messages": float(varz["in_msgs"] + varz["out_msgs"]),
    }


def _statements(log: Path) -> int:
    text = log.read_text(errors="replace")
    return text.count("LOG:  execute ") + text.count("LOG:  statement: ")
