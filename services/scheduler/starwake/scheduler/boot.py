"""Boot: streams, epoch and what is overdue first, then ready; the long comparison goes on while serving."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starwake.bus.errors import BusError, StreamRefused
from starwake.runtime.errors import StartError
from starwake.runtime.logs import get_logger
from starwake.scheduler.loops import Loops
from starwake.scheduler.wiring import Parts
from starwake.store.database import Database
from starwake.store.errors import StoreError
from starwake.store.schema import check_schema

log = get_logger("boot")

_RETRY_S = 0.25
PATIENCE_S = 8.0
"""How long a backlog keeps the scheduler from being ready: a big one is worked off while serving."""
_Result = TypeVar("_Result")


async def until_schema(database: Database) -> None:
    """Wait until the database is there and has a schema that this program can work with: its own, or a later one."""
    said = ""
    while True:
        try:
            state = await check_schema(database)
        except StoreError as error:
            reason = str(error)
        else:
            if state.is_usable:
                return
            reason = f"the schema is at {state.current}, and has to be at {state.head}: run `starwake migrate`"
        if reason != said:
            log.info("boot.waits", reason=reason)
            said = reason
        await asyncio.sleep(_RETRY_S)


async def first_look(parts: Parts, loops: Loops) -> None:
    """Bring clock and streams into order; needs nothing that runs.

    Raises:
        StartError: a stream cannot be repaired without loss.
    """
    await _until_it_works(parts.clock.measure)
    loops.watch_connections()
    try:
        await _until_it_works(loops.repair)
    except StreamRefused as error:
        raise StartError(str(error)) from error


async def catch_up(parts: Parts, loops: Loops) -> None:
    """Complete what came due while no scheduler ran, publish the outbox; then ask for the long comparison."""
    await _until_it_works(lambda: parts.sweep.drain_overdue(0.0))
    await _until_it_works(lambda: parts.sweep.publish_outbox(0.0))
    loops.want_reconcile()


async def _until_it_works(work: Callable[[], Awaitable[_Result]]) -> _Result:
    while True:
        try:
            return await work()
        except StreamRefused:
            raise
        except (StoreError, BusError) as error:
            log.warning("boot.waits", reason=str(error))
            await asyncio.sleep(_RETRY_S)
