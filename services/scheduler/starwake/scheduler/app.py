"""The scheduler's composition root: settings -> connections -> parts -> what runs -> an orderly end."""

import asyncio
import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable
from starwake.bus.options import options_from
from starwake.runtime.logs import get_logger
from starwake.runtime.service import Runtime, run_service
from starwake.runtime.settings import load_settings
from starwake.scheduler import boot
from starwake.scheduler.loops import Loops
from starwake.scheduler.settings import SchedulerSettings
from starwake.scheduler.wiring import Parts, wire
from starwake.store.database import Database

log = get_logger("scheduler")

_CONNECT_SECONDS = 10.0
_DRAIN_SECONDS = 1.0
_GC_THRESHOLDS = (5_000, 10, 20)
"""Rarer than the default's (700, 10, 10). A collection holds up whatever is due meanwhile."""
_Result = TypeVar("_Result")


def run() -> int:
    """Run the scheduler until it is asked to stop; the process's exit code.

    Raises:
        SettingsError: a setting is missing or bad.
    """
    settings = load_settings(SchedulerSettings)

    async def main(runtime: Runtime) -> None:
        await serve(runtime, settings)

    return run_service("scheduler", main, settings)


async def serve(runtime: Runtime, settings: SchedulerSettings) -> None:
    """Everything between the settings and the end.

    Raises:
        StartError: a stream cannot be repaired without loss.
    """
    database = await Database.connect(
        settings.database_url.get_secret_value(), name="starwake-scheduler", max_connections=settings.database_pool
    )
    try:
        bus = await _unless_stopping(runtime, _connected(settings))
        if bus is None:
            return
        try:
            await _serve(runtime, wire(settings, database, bus, runtime.tracing), settings)
        finally:
            await bus.close()
    finally:
        await database.close()


async def _serve(runtime: Runtime, parts: Parts, settings: SchedulerSettings) -> None:
    loops = Loops(parts, settings, runtime.health)
    # What is there by now lives as long as the process. Before the backlog: going through it took 60 ms each time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)
    if await _unless_stopping(runtime, _first_look(parts, loops)) is None:
        return
    # The end has an order: first nothing new is taken, then what is under way ends, then what it needed.
    clock, relay, worker = _start(
        {"clock": parts.clock.run(), "relay": parts.relay.run(), "worker": parts.worker.run()}
    )
    above = _start({**loops.all(), "boot": _boot(runtime, parts, loops)})
    stopping = asyncio.create_task(runtime.stopping.wait(), name="stopping")
    try:
        await _until_first_end(stopping, clock, relay, worker, *above)
    finally:
        await _cancel([stopping, *above, worker])
        if parts.relay.paused:
            await _cancel([relay])  # the bus is away: what waits stays in the outbox
        await parts.worker.stop()
        await parts.sweep.stop()
        await parts.relay.drain(_DRAIN_SECONDS)
        await _cancel([relay, clock])


async def _first_look(parts: Parts, loops: Loops) -> bool:
    await boot.until_schema(parts.database)
    await boot.first_look(parts, loops)
    return True


async def _boot(runtime: Runtime, parts: Parts, loops: Loops) -> None:
    catching_up = asyncio.create_task(boot.catch_up(parts, loops), name="catch-up")
    try:
        await asyncio.wait((catching_up,), timeout=boot.PATIENCE_S)
        if not runtime.stopping.is_set():
            runtime.health.set_ready(True)
            log.info("scheduler.ready")
        await catching_up
    finally:
        await _cancel([catching_up])


async def _connected(settings: SchedulerSettings) -> Bus:
    while True:
        try:
            return await Bus.connect(options_from(settings, name="starwake-scheduler"), timeout_s=_CONNECT_SECONDS)
        except BusUnavailable as error:
            log.info("boot.waits", reason=str(error))


async def _unless_stopping(runtime: Runtime, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """What `work` returns; None where the service was asked to stop before."""
    task = asyncio.create_task(work)
    stopping = asyncio.create_task(runtime.stopping.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        return await task if task.done() else None
    finally:
        await _cancel([task, stopping])


def _start(work: dict[str, Coroutine[Any, Any, None]]) -> list[asyncio.Task[None]]:
    return [asyncio.create_task(each, name=name) for name, each in work.items()]


async def _until_first_end(stopping: asyncio.Task[Any], *parts: asyncio.Task[None]) -> None:
    """Wait until the service is asked to stop, or one of its parts ends, which none but boot may.

    Raises:
        Whatever ended that part: the process ends with it, and is started again.
    """
    tasks: set[asyncio.Task[Any]] = {stopping, *parts}
    while not stopping.done():
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            await task


async def _cancel(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("part.failed", error=repr(outcome))
