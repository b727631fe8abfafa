"""A model of the row's life: orders, alarms, sweeps, crashes between any two steps, redeliveries and losses.

What decides is the real thing: the command service's rules, the scheduler's hold, its line of what is told, its diff.
What is modelled is the world around: the table (a conditional update), the outbox, the stream with its schedules,
its redeliveries and its memory for message ids. Time only moves when a step says so.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.contracts.builds import BuildRecord, BuildState
from libs.contracts.events import build_event, completion_events
from libs.contracts.ids import PlayerId
from libs.contracts.queued import QueuedOrder
from libs.contracts.reasons import Refusal
from libs.contracts.subjects import AlarmKey
from libs.store.outbox import OutboxRow
from libs.telling.line import Job, Line
from services.command.catalogue import load_catalogue
from services.command.rules import Outcome, Player, Transition, World
from services.scheduler.hold import Held, Hold
from services.scheduler.reconcile import PendingRow, diff
from services.scheduler.rows import alarm_of, key_of, parse_alarm

BEGINNING = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LEAD = timedelta(milliseconds=500)
AHEAD = timedelta(milliseconds=100)
PLAYER = PlayerId("ada")

CATALOGUE = load_catalogue()
KINDS = tuple(CATALOGUE.kinds)
FLEXIBLE = [kind.name for kind in CATALOGUE.kinds.values() if kind.reschedule is not None]
_ENOUGH = 1000


@dataclass(frozen=True)
class Message:
    """A delivery of a due alarm."""

    sequence: int
    key: AlarmKey
    body: bytes


@dataclass
class Rows:
    """The table, as the rules see it."""

    builds: int = 0
    busy: dict[str, Any] = field(default_factory=dict[str, Any])
    by_id: dict[str, BuildRecord] = field(default_factory=dict[str, BuildRecord])
    standing: set[str] = field(default_factory=lambda: set(KINDS))
    queues: dict[str, list[QueuedOrder]] = field(default_factory=dict[str, list[QueuedOrder]])


class LifeOfARow(RuleBasedStateMachine):
    """The world; each rule is one step, and anything may come between two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.ids = (f"00000000-0000-7000-8000-{number:012d}" for number in range(1, 10**6))
        self.places = iter(range(1, 10**6))
        self.table: dict[str, BuildRecord] = {}
        self.outbox: dict[int, OutboxRow] = {}
        self.schedules: dict[AlarmKey, tuple[datetime, bytes]] = {}
        self.due: dict[int, Message] = {}
        self.delivered: set[int] = set()
        self.feed: list[tuple[str, datetime]] = []
        self.confirmed_cancels: set[str] = set()
        self.aftermath: list[tuple[str, object]] = []
        self.boot()

    # --- the scheduler -----------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """A scheduler with nothing in memory; what the one before held is delivered again."""
        self.hold: Hold[BuildRecord, Message] = Hold(limit=50, ahead_s=0.1, sweep_ahead_s=0.025)
        self.line = Line(50)
        self.batch: list[Held[BuildRecord, Message]] = []
        self.telling: list[Job] = []
        self.told: list[Job] = []
        self.delivered.clear()

    # --- orders ------------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(FLEXIBLE), site=st.sampled_from(["luna-1", "luna-2", "mars-1"]))
    def start(self, kind: str, site: str) -> None:
        self._order(lambda player: player.start(kind, site))

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        build = data.draw(st.sampled_from(sorted(self.table)))
        if self._order(lambda player: player.cancel(build)):
            self.confirmed_cancels.add(build)

    @precondition(lambda self: self.table)
    @rule(data=st.data(), factor=st.sampled_from([0.0, 0.5, 1.5]))
    def reschedule(self, data: st.DataObject, factor: float) -> None:
        build = data.draw(st.sampled_from(sorted(self.table)))
        self._order(lambda player: player.reschedule(build, None, factor))

    def _order(self, judge: Callable[[Player], Outcome]) -> bool:
        rows = Rows()
        for build in self.table.values():
            rows.by_id[build.id] = build
            if build.state is BuildState.BUILDING or (
                build.state is BuildState.COMPLETED and build.due_at > self.now  # completed ahead: still busy
            ):
                rows.busy[build.site] = build
                rows.builds += 1
        world = World(CATALOGUE, {}, lambda: next(self.ids))
        try:
            outcome = judge(Player(PLAYER, self.now, rows, world))
        except Refusal:
            return False
        for transition in outcome.transitions:
            self._commit(transition)
        return True

    def _commit(self, transition: Transition) -> None:
        """One transaction: the row and its outbox row. What follows may never happen: the service may be killed."""
        build, event, at = transition
        before = self.table.get(build.id)
        assert before is None or before.state is BuildState.BUILDING, "both ends are final"
        assert build.revision == (1 if before is None else before.revision + 1)
        self.table[build.id] = build
        self._write(build_event(event, at, build), build.id, at)
        if before is not None:
            self.aftermath.append(("disarm", key_of(before)))
        if build.state is BuildState.BUILDING:
            self.aftermath.append(("arm", build))

    def _write(self, notification: Any, source: str, tell_at: datetime) -> OutboxRow:  # noqa: ANN401 - a Notification
        place = next(self.places)
        self.outbox[place] = OutboxRow(place, notification, tell_at, source, self.now)
        return self.outbox[place]

    @precondition(lambda self: self.aftermath)
    @rule()
    def command_goes_on(self) -> None:
        what, which = self.aftermath.pop(0)
        if what == "arm":
            assert isinstance(which, BuildRecord)
            self._arm(which)
        else:
            assert isinstance(which, AlarmKey)
            self.schedules.pop(which, None)

    @rule()
    def command_is_killed(self) -> None:
        self.aftermath.clear()

    # --- the stream --------------------------------------------------------------------------------------------------

    def _arm(self, build: BuildRecord) -> None:
        alarm = alarm_of(build)
        if alarm.key not in self.schedules:  # create once
            self.schedules[alarm.key] = (alarm.due_at - LEAD, alarm.body)

    def _fire(self, key: AlarmKey, body: bytes) -> None:
        sequence = next(self.places)
        self.due[sequence] = Message(sequence, key, body)

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 60.0, 3600.0, 86400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for key, (at, body) in list(self.schedules.items()):
            if at <= self.now:
                del self.schedules[key]
                self._fire(key, body)

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def an_alarm_fires_early(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.schedules)))
        self._fire(key, self.schedules.pop(key)[1])

    @precondition(lambda self: self.table)
    @rule(data=st.data())
    def a_ghost_fires(self, data: st.DataObject) -> None:
        """An alarm of any revision, although it was taken back or has fired before."""
        build = self.table[data.draw(st.sampled_from(sorted(self.table)))]
        revision = data.draw(st.integers(1, build.revision))
        alarm = alarm_of(build)
        self._fire(alarm.key._replace(revision=revision), alarm.body)  # type: ignore[arg-type]

    @rule()
    def the_stream_of_alarms_is_lost(self) -> None:
        self.schedules.clear()
        self.due.clear()
        self.delivered.clear()

    @precondition(lambda self: set(self.due) - self.delivered)
    @rule()
    def an_alarm_is_delivered(self) -> None:
        sequence = min(set(self.due) - self.delivered)
        self.delivered.add(sequence)
        message = self.due[sequence]
        row = parse_alarm(message.key, message.body)
        assert isinstance(row, BuildRecord)
        self.hold.add(message.key, row.player, row.due_at.timestamp(), row, message)

    @precondition(lambda self: self.delivered)
    @rule()
    def an_acknowledgement_takes_too_long(self) -> None:
        self.delivered.clear()

    # --- the scheduler's steps ---------------------------------------------------------------------------------------

    @rule()
    def the_sweep_looks(self) -> None:
        for build in sorted(self.table.values(), key=lambda each: each.due_at):
            if build.state is BuildState.BUILDING and build.due_at <= self.now + timedelta(seconds=1):
                self.hold.add(key_of(build), build.player, build.due_at.timestamp(), build)

    @rule()
    def the_outbox_is_swept(self) -> None:
        for row in self.outbox.values():
            if row.tell_at <= self.now:
                self.line.add(row)

    @rule()
    def table_and_alarms_are_reconciled(self) -> None:
        waiting = [
            PendingRow(key_of(build), build.due_at, build.started_at)
            for build in self.table.values()
            if build.state is BuildState.BUILDING
        ]
        plan = diff(waiting, self.schedules, started=self.now, now=self.now)
        for key in plan.arm:
            self._arm(self.table[key.id])
        for key in plan.tombstone:
            del self.schedules[key]

    @precondition(lambda self: not self.batch)
    @rule()
    def a_batch_is_completed(self) -> None:
        """One transaction: the conditional update, with its outbox rows; then they stand in the line."""
        for held in self.hold.take(self.now.timestamp(), 3):
            row = self.table.get(held.key.id)
            stands = row is not None and row.state is BuildState.BUILDING and row.revision == held.key.revision
            stands = stands and row == held.row
            if stands and row is not None and row.due_at > self.now + AHEAD:
                self.hold.put_back(held, row.due_at.timestamp())
                continue
            self.batch.append(held)
            if stands and row is not None:
                completed = row.completed()
                self.table[row.id] = completed
                for place in [each for each in self.outbox.values() if each.source_id == row.id]:
                    self.line.add(place)
                for notification in completion_events(completed):
                    self.line.add(self._write(notification, row.id, row.due_at))

    @precondition(lambda self: not self.telling)
    @rule()
    def pushes_are_sent(self) -> None:
        self.telling = self.line.take(self.now.timestamp(), 3)

    @precondition(lambda self: self.telling)
    @rule(stored=st.booleans(), acknowledged=st.booleans())
    def a_push_is_answered(self, *, stored: bool, acknowledged: bool) -> None:
        """Stored or not, and the word of it may get lost."""
        job = self.telling.pop(0)
        if stored:
            self._store(job.row)
        if stored and acknowledged:
            self.line.told(job)
            self.told.append(job)
        else:
            self.line.fail(job)

    def _store(self, row: OutboxRow) -> None:
        if row.notification.message_id not in {message for message, _ in self.feed}:  # the duplicate window
            self.feed.append((row.notification.message_id, self.now))

    @precondition(lambda self: self.told)
    @rule()
    def what_was_told_is_deleted(self) -> None:
        for job in self.told:
            self.outbox.pop(job.row.id, None)
        self.told.clear()

    @precondition(lambda self: self.batch)
    @rule()
    def the_batch_is_acknowledged(self) -> None:
        for held in self.batch:
            self.hold.finish(held)
            for message in held.messages:
                self.due.pop(message.sequence, None)
                self.delivered.discard(message.sequence)
        self.batch.clear()

    @rule()
    def the_scheduler_is_killed(self) -> None:
        self.boot()

    # --- what always holds -------------------------------------------------------------------------------------------

    @invariant()
    def each_push_is_stored_once_and_those_of_a_build_in_their_order(self) -> None:
        messages = [message for message, _ in self.feed]
        assert len(messages) == len(set(messages))
        for build in self.table:
            revisions = [int(message.split(".")[1]) for message in messages if message.startswith(build)]
            assert revisions == sorted(revisions), "completed never overtakes started"

    @invariant()
    def nothing_is_completed_early_or_after_a_confirmed_cancel(self) -> None:
        for build in self.table.values():
            if build.state is BuildState.COMPLETED:
                assert build.id not in self.confirmed_cancels
                assert build.completed_at == build.due_at
                assert build.due_at <= self.now + AHEAD
        for message, stored_at in self.feed:
            build_id, revision = message.split(".")[:2]
            build = self.table[build_id]
            if build.state is BuildState.COMPLETED and int(revision) == build.revision:
                assert stored_at >= build.due_at, "nobody hears of it before its time"

    def teardown(self) -> None:
        """Left in peace, the scheduler brings everything to its end."""
        self.command_is_killed()
        self.boot()
        for _ in self._days_in_peace():
            self.the_sweep_looks()
            self.a_batch_is_completed()
            self.the_outbox_is_swept()
            while True:
                self.pushes_are_sent()
                if not self.telling:
                    break
                while self.telling:
                    self.a_push_is_answered(stored=True, acknowledged=True)
            self.what_was_told_is_deleted()
            self.the_batch_is_acknowledged()
            self.each_push_is_stored_once_and_those_of_a_build_in_their_order()
            self.nothing_is_completed_early_or_after_a_confirmed_cancel()
        assert all(build.state is not BuildState.BUILDING for build in self.table.values())
        assert not self.outbox
        told = [message for message, _ in self.feed]
        for build in self.table.values():
            own = sorted(int(message.split(".")[1]) for message in told if message.startswith(build.id))
            assert own == list(range(1, build.revision + 1)), "each transition was told, once"

    def _days_in_peace(self) -> Iterator[None]:
        for _ in range(_ENOUGH):
            if not self.outbox and all(build.state is not BuildState.BUILDING for build in self.table.values()):
                return
            pending = [build.due_at for build in self.table.values() if build.state is BuildState.BUILDING]
            later = [row.tell_at for row in self.outbox.values() if row.tell_at > self.now]
            if pending and min(pending) > self.now:
                self.now = min(pending)
            elif later:
                self.now = min(later)
            yield


LifeOfARow.TestCase.settings = settings(
    max_examples=200, stateful_step_count=60, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestLifeOfARow = LifeOfARow.TestCase
