"""Wiring: all parts of a scheduler, made from its connections."""

from dataclasses import dataclass

from starwake.bus.alarms import Alarms
from starwake.bus.connection import Bus
from starwake.bus.publish import JetStreamPublisher
from starwake.outbox import Relay
from starwake.runtime.tracing import OFF, Tracing
from starwake.scheduler import metrics
from starwake.scheduler.due.completion import Completer
from starwake.scheduler.due.hold import Hold
from starwake.scheduler.due.intake import Intake
from starwake.scheduler.due.worker import AlarmHold, CompletionWorker
from starwake.scheduler.reconcile.run import Reconciler
from starwake.scheduler.settings import SchedulerSettings
from starwake.scheduler.sweep.run import Sweep
from starwake.scheduler.upkeep.streams import StreamRepair
from starwake.store.clock import DatabaseClock
from starwake.store.database import Database
from starwake.store.outbox import OutboxRow

_GATHER_SHARE = 0.4
_SWEEP_SHARE = 0.25
"""Of the time that rows may be completed ahead: how long a batch gathers, and how far ahead rows
are due that only the sweep found (later than those that an alarm brought: the scheduler with the alarm goes first)."""
_ALARMS_IN_FLIGHT = 512


@dataclass(frozen=True)
class Parts:
    """All parts of one scheduler; none of them runs yet."""

    database: Database
    bus: Bus
    clock: DatabaseClock
    alarms: Alarms
    relay: Relay
    completer: Completer
    worker: CompletionWorker
    intake: Intake
    sweep: Sweep
    streams: StreamRepair
    reconciler: Reconciler


def wire(settings: SchedulerSettings, database: Database, bus: Bus, tracing: Tracing = OFF) -> Parts:
    """The parts of a scheduler on these connections."""
    ahead_s = settings.commit_ahead_ms / 1000
    clock = DatabaseClock(database)
    relay = Relay(database, bus, clock, on_published=_observe, tracing=tracing)
    alarms = Alarms(bus, JetStreamPublisher(bus, max_in_flight=_ALARMS_IN_FLIGHT), now=clock.datetime)
    completer = Completer(database, alarms, relay, clock, ahead_s=ahead_s, tracing=tracing)
    gather_s = ahead_s * _GATHER_SHARE
    hold: AlarmHold = Hold(limit=settings.hold_limit, ahead_s=ahead_s - gather_s, sweep_ahead_s=ahead_s * _SWEEP_SHARE)
    worker = CompletionWorker(
        hold,
        completer,
        clock,
        batch_size=settings.batch_size,
        concurrency=settings.lanes,
        gather_s=gather_s,
    )
    sweep = Sweep(
        database=database,
        completer=completer,
        relay=relay,
        worker=worker,
        clock=clock,
        batch_size=settings.batch_size,
    )
    return Parts(
        database=database,
        bus=bus,
        clock=clock,
        alarms=alarms,
        relay=relay,
        completer=completer,
        worker=worker,
        intake=Intake(worker, completer.recently_completed, clock, lambda: sweep.draining),
        sweep=sweep,
        streams=StreamRepair(database, bus, settings.stream_replicas),
        reconciler=Reconciler(database, alarms, clock),
    )


def _observe(row: OutboxRow, at: float) -> None:
    metrics.LATENESS.observe(max(0.0, at - row.tell_at.timestamp()))
