"""Composition root of the command service: settings -> connections -> desk -> micro service, and the orderly end."""

import asyncio
import gc
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Final, NamedTuple

from starwake.bus.alarms import Alarms
from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable
from starwake.bus.options import options_from
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.service import Endpoint, Service
from starwake.bus.streams import NOTIFICATIONS, TIMERS
from starwake.command.aftermath import Aftermath
from starwake.command.desk import Desk
from starwake.command.ops import Operations
from starwake.command.paging import check_catalogue_size
from starwake.command.reads import Reads
from starwake.command.settings import CommandSettings
from starwake.command.tasks import CallTasks
from starwake.command.watch import Watch
from starwake.contracts import subjects
from starwake.contracts.ids import new_id
from starwake.contracts.reasons import ErrorCode, Refusal
from starwake.game.catalogue import Catalogue, load_catalogue
from starwake.game.decide import refused
from starwake.game.errors import GameError
from starwake.game.loading import Game, load_game
from starwake.game.requests import OrderParser
from starwake.game.rules import World
from starwake.outbox import Relay
from starwake.outbox.guard import Guard
from starwake.runtime.errors import StartError
from starwake.runtime.logs import get_logger
from starwake.runtime.service import Runtime, run_service
from starwake.runtime.settings import load_settings
from starwake.store.clock import DatabaseClock
from starwake.store.database import INDEXES_ONLY, Database
from starwake.store.errors import StoreError
from starwake.store.schema import check_schema

log = get_logger("command")

NAME: Final = "command"
_LOOK_S: Final = 1.0
_RETRY_S: Final = 0.25
_TOO_LARGE: Final = refused(Refusal(ErrorCode.INTERNAL, "the answer is larger than the servers take in one message"))
_CONNECT_S: Final = 2.0
_GC_THRESHOLDS: Final = (20_000, 20, 50)
"""An order makes some hundred objects, in no circles: the default, a look at every 700, finds nothing but those of the
batches in hand, and looks at them again and again."""


def run() -> int:
    """Run the service in the foreground until it is asked to stop; the process's exit code.

    Raises:
        SettingsError: a setting is missing or bad.
    """
    settings = load_settings(CommandSettings)
    return run_service(NAME, lambda runtime: serve(runtime, settings), settings)


async def serve(runtime: Runtime, settings: CommandSettings) -> None:
    """Take orders until `runtime.stopping` is set, then finish those in hand.

    Raises:
        StartError: the game's own files do not hold together, or are too large to be told.
    """
    try:
        catalogue = load_catalogue(settings.catalogue, time_scale=settings.time_scale)
        game = load_game(catalogue, settings.orders)
    except GameError as error:
        raise StartError(str(error)) from error
    database = await _pool(settings, "starwake-command", settings.database_pool)
    # Of their own, so that reads never take what orders need.
    reading = await _pool(settings, "starwake-command-reads", settings.read_pool)
    try:
        bus = await _connected_bus(runtime, settings)
        if bus is None:
            return
        try:
            if await _schema_is_usable(runtime, database):
                await _work(runtime, settings, Parts(database, reading, bus, catalogue, game))
        finally:
            await bus.close()
    finally:
        await asyncio.gather(database.close(), reading.close())


async def _pool(settings: CommandSettings, name: str, connections: int) -> Database:
    return await Database.connect(
        settings.database_url.get_secret_value(),
        name=name,
        max_connections=connections,
        command_timeout_s=settings.database_timeout_s,
        planner=INDEXES_ONLY,
    )


class Parts(NamedTuple):
    """What the service is made of before it runs."""

    database: Database
    reading: Database
    bus: Bus
    catalogue: Catalogue
    game: Game


async def _work(runtime: Runtime, settings: CommandSettings, parts: Parts) -> None:
    database, reading, bus, catalogue, game = parts
    clock = DatabaseClock(database)
    relay = Relay(database, bus, clock, tracing=runtime.tracing)
    guard = Guard(database, bus, relay)
    aftermath = Aftermath(Alarms(bus, JetStreamPublisher(bus)), relay)
    desk = Desk(
        database,
        World(catalogue, game.completions, new_id),
        OrderParser(game.orders),
        aftermath,
        tracing=runtime.tracing,
        most=settings.orders_per_batch,
        room=settings.orders_waiting,
        lanes=settings.batches_at_once,
    )
    watch = Watch(bus, database, (TIMERS, NOTIFICATIONS))
    watch.register(runtime.health)
    calls = CallTasks(runtime.tracing)
    reads = Reads(reading, catalogue, game.orders, calls, at_once=settings.read_pool)
    check_catalogue_size(reads.catalogue_bytes, bus.max_payload)
    operations = Operations(database, bus, aftermath)
    with suppress(StoreError):
        await clock.measure()
    publishing = asyncio.create_task(relay.run(), name="relay")
    background = [publishing] + [
        asyncio.create_task(work(), name=name)
        for name, work in {
            "clock": clock.run,
            "guard": guard.run,
            "aftermath": aftermath.run,
            "desk": desk.run,
            "watch": watch.run,
        }.items()
    ]
    try:
        endpoints = _endpoints(game, desk, reads, operations, calls)
        service = await _started_service(runtime, bus, endpoints)
        if service is None:
            return
        # What was made at the start lives as long as the process: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*_GC_THRESHOLDS)
        runtime.health.set_ready(True)
        runtime.log.info("service.ready", orders=len(game.orders), kinds=len(catalogue.kinds))
        await _until_stopping(runtime, background)
        after = _After(aftermath, relay, publishing)
        await _drain(settings.drain_seconds, service, desk, calls, after)
    finally:
        await _cancel(background)


def _endpoints(game: Game, desk: Desk, reads: Reads, operations: Operations, calls: CallTasks) -> list[Endpoint]:
    commands = dict.fromkeys(game.orders, desk.handle) | reads.handlers
    return [
        *(Endpoint(_endpoint_name(name), subjects.command_pattern(name), each) for name, each in commands.items()),
        *(
            Endpoint(_endpoint_name(f"ops.{name}"), subjects.ops(name), calls.handler(f"ops.{name}", answering))
            for name, answering in operations.calls.items()
        ),
    ]


async def _connected_bus(runtime: Runtime, settings: CommandSettings) -> Bus | None:
    """The bus, however long it takes; None where the service was stopped meanwhile."""
    while not runtime.stopping.is_set():
        try:
            return await Bus.connect(options_from(settings, name="starwake-command"), timeout_s=_CONNECT_S)
        except BusUnavailable as error:
            runtime.health.set_ready(False, f"bus: {error}")
            runtime.log.warning("bus.awaited", error=str(error))
            await _pause(runtime)
    return None


async def _started_service(runtime: Runtime, bus: Bus, endpoints: Sequence[Endpoint]) -> Service | None:
    """The service once the server has confirmed it, however long that takes; None where it was stopped meanwhile."""
    while not runtime.stopping.is_set():
        try:
            return await Service.start(
                bus,
                NAME,
                _version(),
                "Judges, commits and answers orders",
                endpoints,
                too_large=(_TOO_LARGE.body, _TOO_LARGE.error),
            )
        except BusUnavailable as error:
            runtime.health.set_ready(False, f"bus: {error}")
            runtime.log.warning("bus.awaited", error=str(error))
            await _pause(runtime)
    return None


async def _schema_is_usable(runtime: Runtime, database: Database) -> bool:
    """Wait for a database whose schema this version knows; False where the service was stopped meanwhile."""
    told = ""
    while not runtime.stopping.is_set():
        try:
            state = await check_schema(database)
        except StoreError as error:
            reason = f"database: {error}"
        else:
            if state.is_usable:
                return True
            reason = f"schema: at {state.current or 'nothing'}, needs {state.head}; run `starwake migrate`"
        runtime.health.set_ready(False, reason)
        if reason != told:
            runtime.log.warning("database.awaited", reason=reason)
            told = reason
        await _pause(runtime)
    return False


async def _until_stopping(runtime: Runtime, background: Sequence["asyncio.Task[None]"]) -> None:
    """Wait for the end; a part that ends by itself is a mistake, and ends the service so that it is started anew."""
    stopping = asyncio.create_task(runtime.stopping.wait())
    try:
        done, _ = await asyncio.wait((stopping, *background), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
    for task in done:
        if task is not stopping:
            task.result()
            raise RuntimeError(f"the part {task.get_name()} has ended")


async def _drain(timeout_s: float, service: Service, desk: Desk, calls: CallTasks, after: "_After") -> None:
    """Take no more, answer what is in hand, then arm and tell what is committed; the rest is the sweep's."""
    try:
        async with asyncio.timeout(timeout_s):
            await service.drain(timeout_s)
            await desk.drain(timeout_s)
            await calls.drain(timeout_s)
            with suppress(TimeoutError):  # the look at the stream may be under way
                await asyncio.wait_for(after.relay.until_resumed(), _LOOK_S)
            if after.relay.paused:  # held back, or the bus is away: what waits stays in the outbox
                await _cancel([after.publishing])
            await after.aftermath.drain(timeout_s)
    except TimeoutError:
        log.warning("drain.incomplete", after_s=timeout_s)


class _After(NamedTuple):
    """What follows the orders, and the task that tells of them."""

    aftermath: Aftermath
    relay: Relay
    publishing: "asyncio.Task[None]"


async def _cancel(tasks: Sequence["asyncio.Task[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _pause(runtime: Runtime) -> None:
    with suppress(TimeoutError):
        await asyncio.wait_for(runtime.stopping.wait(), _RETRY_S)


def _endpoint_name(name: str) -> str:
    return name.replace(".", "-")


def _version() -> str:
    try:
        return version("starwake")
    except PackageNotFoundError:
        return "0.0.0"
