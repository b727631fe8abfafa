"""`starwake reconcile`: the difference between table and alarms, and mends it."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from starwake.bus.alarms import Alarms
from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.bus.provision import check_streams, provision
from starwake.bus.publish import JetStreamPublisher
from starwake.bus.streams import NOTIFICATIONS, desired_streams
from starwake.cli.connections import connected_bus, connected_database
from starwake.cli.errors import CliError
from starwake.runtime.settings import BusSettings, load_settings
from starwake.scheduler.reconcile.run import Progress as Step
from starwake.scheduler.reconcile.run import Reconciler, Report
from starwake.scheduler.upkeep import revocations
from starwake.store.clock import DatabaseClock
from starwake.store.database import Database
from starwake.store.errors import StoreError
from starwake.store.high_water_mark import read_mark


async def reconcile(data: Path, *, dry_run: bool, console: Console) -> dict[str, Any]:
    """Compare and, unless it is a dry run, mend; what was found, as `--json` prints it. Progress goes to `console`.

    Raises:
        CliError: a server is away, another copy is at it, or a stream cannot be repaired without loss.
    """
    async with connected_database(data) as database, connected_bus(data) as bus:
        streams = await _streams(database, bus, dry_run=dry_run)
        clock = DatabaseClock(database)
        try:
            await clock.measure()
            alarms = Alarms(bus, JetStreamPublisher(bus), now=clock.datetime)
            report = await _with_progress(Reconciler(database, alarms, clock), console, dry_run=dry_run)
        except (BusError, StoreError) as error:
            raise CliError(f"it could not be finished, what was done stays done; try again: {error}") from error
    if report is None:
        raise CliError("a scheduler is reconciling at this moment; try again in a while")
    return {"dry_run": dry_run, "streams": streams, **asdict(report)}


def described(found: dict[str, Any]) -> list[str]:
    """The report for people."""
    would = "would be " if found["dry_run"] else ""
    samples = [f"  {what}: {key}" for what, keys in found["samples"].items() for key in keys]
    return [
        f"{found['rows']} rows and {found['alarms']} alarms compared in {found['seconds']:.1f} s",
        *(f"stream: {line}" for line in found["streams"]),
        f"{found['arm']} alarms {would}set, {found['tombstone']} {would}taken away, {found['failed']} failed",
        f"{found['overdue']} rows are overdue (the scheduler completes them)",
        *samples,
    ]


async def _streams(database: Database, bus: Bus, *, dry_run: bool) -> list[str]:
    try:
        if dry_run:
            names = [spec.name for spec in desired_streams(1)]
            differences = await check_streams(bus, names, consumers=True)
            return [_told(each.stream, each.consumer, each.field, each.was, each.now) for each in differences]
        async with database.connection() as connection:
            mark = await read_mark(connection, NOTIFICATIONS)
            changes = await provision(
                bus,
                load_settings(BusSettings).stream_replicas,
                feed_above=0 if mark is None else mark.last_seq,
                refill=lambda: revocations.refill(connection, bus),
            )
        await revocations.compare(database, bus)
    except (BusError, StoreError) as error:
        raise CliError(str(error)) from error
    return [_told(each.stream, each.consumer, each.field, each.was, each.now) for each in changes]


def _told(stream: str, consumer: str | None, field: str, was: object, now: object) -> str:
    name = stream if consumer is None else f"{stream}'s consumer {consumer}"
    return f"{name} is missing" if was is None and field == "*" else f"{name}: {field} is {was!r}, has to be {now!r}"


async def _with_progress(reconciler: Reconciler, console: Console, *, dry_run: bool) -> Report | None:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("alarms listed", total=None)

        def show(step: Step) -> None:
            progress.update(task, completed=step.listed, total=step.total, description=f"{step.rows} rows compared")

        return await reconciler.run(dry_run=dry_run, on_progress=show)
