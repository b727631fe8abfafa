"""Gather -> diff -> apply: what waits in the table compared with what is set in the stream, and mended."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from starwake.bus.alarms import Alarms, PendingAlarms
from starwake.bus.errors import BusError, is_final
from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey
from starwake.runtime.logs import get_logger
from starwake.scheduler import metrics
from starwake.scheduler.reconcile.diff import PendingRow, Plan, diff, split_at
from starwake.scheduler.rows import Row, alarm_of
from starwake.store import due, gather
from starwake.store.clock import DatabaseClock
from starwake.store.database import Database
from starwake.store.gather import FIRST_ID, LAST_ID, RECONCILE_LOCK, WaitingKey

log = get_logger("reconcile")

Kind = Literal["build", "event"]
PAGE = 2_000
"""Rows compared in one go. More of them hold up what is due meanwhile by more than a few milliseconds."""
_ARM_AT_ONCE = 500
SAMPLES = 20


@dataclass
class Report:
    """What a reconcile found, and did unless it was a dry run.

    Attributes:
        rows: how many rows wait.
        alarms: how many alarms are set.
        arm: rows that had no alarm.
        tombstone: alarms that had no row, or an old revision's.
        overdue: rows that were due already.
        failed: alarms that could not be set; the sweep completes their rows all the same.
        seconds: how long it took.
        samples: some of the keys concerned, by `arm` and `tombstone`.
    """

    rows: int = 0
    alarms: int = 0
    arm: int = 0
    tombstone: int = 0
    overdue: int = 0
    failed: int = 0
    seconds: float = 0.0
    samples: dict[str, list[str]] = field(default_factory=lambda: {"arm": [], "tombstone": []})


@dataclass(frozen=True)
class Progress:
    """How far it has come: alarms listed of how many, rows compared."""

    listed: int
    total: int
    rows: int


OnProgress = Callable[[Progress], None]


class Reconciler:
    """Compares and mends; idempotent, one copy at a time."""

    def __init__(self, database: Database, alarms: Alarms, clock: DatabaseClock) -> None:
        self._database = database
        self._alarms = alarms
        self._clock = clock

    async def run(self, *, dry_run: bool = False, on_progress: OnProgress | None = None) -> Report | None:
        """The whole comparison, range by range; None where another copy is at it.

        Raises:
            BusError, StoreError: as far as it had come, differences are mended.
        """
        began = time.perf_counter()
        async with self._database.holding(RECONCILE_LOCK) as held:
            if not held:
                return None
            report = Report()
            started = self._clock.datetime()
            async with aclosing(_Listing(self._alarms)) as listing:
                for kind in ("build", "event"):
                    comparison = _Comparison(kind, listing, report, started, on_progress)
                    await self._compare(comparison, dry_run=dry_run)
        report.seconds = time.perf_counter() - began
        if not dry_run:
            metrics.RECONCILE_SECONDS.set(report.seconds)
        return report

    async def _compare(self, this: "_Comparison", *, dry_run: bool) -> None:
        kind, listing, report = this.kind, this.listing, this.report
        after = FIRST_ID
        while True:
            # The alarms of a range are listed before its rows are read: a row that is read has had its alarm set
            # by then, or is younger than `started`.
            until = await listing.reach(kind)
            rows = await self._read(kind, after, until)
            if len(rows) == PAGE:
                until = rows[-1].id
            alarms = listing.take(kind, until)
            waiting = [_pending_row(kind, row) for row in rows]
            plan = diff(waiting, alarms, started=this.started, now=self._clock.datetime())
            report.rows += len(rows)
            report.alarms += len(alarms)
            await self._apply(kind, plan, report, dry_run=dry_run)
            if this.on_progress is not None:
                this.on_progress(Progress(listing.listed, listing.total, report.rows))
            if until == LAST_ID and len(rows) < PAGE:
                return
            after = until

    async def _read(self, kind: Kind, after: str, until: str) -> list[WaitingKey]:
        read = gather.read_build_keys if kind == "build" else gather.read_event_keys
        async with self._database.connection() as connection:
            return await read(connection, after, until, PAGE)

    async def _apply(self, kind: Kind, plan: Plan, report: Report, *, dry_run: bool) -> None:
        report.overdue += plan.overdue
        _sample(report.samples["arm"], plan.arm)
        _sample(report.samples["tombstone"], plan.tombstone)
        report.tombstone += len(plan.tombstone)
        if dry_run:
            report.arm += len(plan.arm)
            return
        parts = [plan.arm[start : start + _ARM_AT_ONCE] for start in range(0, len(plan.arm), _ARM_AT_ONCE)]
        # All at once: while the alarms of one part are on their way, the rows of the next are read.
        ends = await asyncio.gather(*(self._arm(kind, part, report) for part in parts), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        if plan.tombstone:
            await self._alarms.disarm(plan.tombstone)
        metrics.CHANGES.labels("tombstone").inc(len(plan.tombstone))

    async def _arm(self, kind: Kind, keys: Sequence[AlarmKey], report: Report) -> None:
        ids = [key.id for key in keys]
        async with self._database.connection() as connection:
            rows: Sequence[Row] = (
                await due.read_building(connection, ids)
                if kind == "build"
                else await due.read_scheduled(connection, ids)
            )
        answers = await self._alarms.arm([alarm_of(row) for row in rows])
        armed = answers.count("armed")  # "already": it was set between the listing and now
        failures = [answer for answer in answers if isinstance(answer, BusError)]
        report.arm += armed
        report.failed += len(failures)
        metrics.CHANGES.labels("arm").inc(armed)
        # One that can never be set (too large, say) must not end the comparison each time: its row is swept.
        passing = [failure for failure in failures if not is_final(failure)]
        if len(passing) < len(failures):
            log.error("alarm.never", kind=kind, rows=len(failures) - len(passing))
        if passing:
            raise passing[0]


@dataclass(frozen=True)
class _Comparison:
    kind: Kind
    listing: "_Listing"
    report: Report
    started: datetime
    on_progress: OnProgress | None


class _Listing:
    """The alarms that are set, in the order of their subjects, read as far ahead as is needed."""

    def __init__(self, alarms: Alarms) -> None:
        self._pages: AsyncIterator[PendingAlarms] = alarms.pending()
        self._keys: list[AlarmKey] = []
        self._exhausted = False
        self.listed = 0
        self.total = 0

    async def reach(self, kind: Kind) -> str:
        """List on until a range is known; the last id of `kind` in it, the greatest there is at the end."""
        while not self._exhausted and len(self._keys) < PAGE:
            try:
                page = await anext(self._pages)
            except StopAsyncIteration:
                self._exhausted = True
                break
            if page.foreign:
                log.warning("alarm.foreign", subjects=page.foreign[:SAMPLES], count=len(page.foreign))
            self._keys += page.keys
            self.listed, self.total = page.listed, page.total
        if self._keys and not self._exhausted and self._keys[-1].kind == kind:
            return self._keys[-1].id
        return LAST_ID

    def take(self, kind: Kind, until: str) -> Sequence[AlarmKey]:
        """Those of `kind` up to the id `until`."""
        taken, self._keys = split_at(self._keys, AlarmKey(kind, until, Revision(1)))
        return taken

    async def aclose(self) -> None:
        """End the listing where it stands."""
        close = getattr(self._pages, "aclose", None)
        if close is not None:
            await close()


def _pending_row(kind: Kind, row: WaitingKey) -> PendingRow:
    return PendingRow(AlarmKey(kind, row.id, Revision(row.revision)), row.due_at, row.since)


def _sample(samples: list[str], keys: Sequence[AlarmKey]) -> None:
    samples += [f"{key.kind} {key.id} r{key.revision}" for key in keys[: SAMPLES - len(samples)]]
