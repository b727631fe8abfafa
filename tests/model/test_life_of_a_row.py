"""A model of the row's life: orders, alarms, sweeps, crashes between any two steps, redeliveries and losses.

What decides is the real thing: the command service's rules, the scheduler's hold, its line of what is told, its diff.
What is modelled is the world around: the tables (table.py), the stream with its schedules, its redeliveries and its
memory for message ids. Time only moves when a step says so.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from starwake.contracts.builds import BuildRecord, BuildState
from starwake.contracts.ids import BuildId, push_place
from starwake.contracts.subjects import AlarmKey
from starwake.outbox.queue import Job, OutboxQueue
from starwake.scheduler.due.hold import Held, Hold
from starwake.scheduler.reconcile.diff import PendingRow, diff
from starwake.scheduler.rows import alarm_of, key_of, parse_alarm
from starwake.store.outbox import OutboxRow
from tests.model.table import CATALOGUE, Message, Table, overlaps

BEGINNING = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
LEAD = timedelta(milliseconds=500)
AHEAD = timedelta(milliseconds=100)
STRANDED = timedelta(seconds=2)
SITES = ["luna-1", "luna-2", "mars-1"]
FLEXIBLE = [
    kind.name for kind in CATALOGUE.kinds.values() if kind.reschedule is not None and kind.command == "build.start"
]
_ENOUGH = 1000


class LifeOfARow(RuleBasedStateMachine):
    """The world; each rule is one step, and anything may come between two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.now = BEGINNING
        self.table = Table()
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
        self.line = OutboxQueue(50)
        self.batch: list[Held[BuildRecord, Message]] = []
        self.telling: list[Job] = []
        self.told: list[Job] = []
        self.left_behind: list[BuildRecord] = []
        self.began: list[BuildRecord] = []
        self.delivered.clear()

    # --- orders ------------------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(FLEXIBLE), site=st.sampled_from(SITES))
    def start(self, kind: str, site: str) -> None:
        self._order("build.start", kind=kind, site=site)

    @rule(kind=st.sampled_from(FLEXIBLE), site=st.sampled_from(SITES))
    def queue(self, kind: str, site: str) -> None:
        self._order("build.queue", kind=kind, site=site)

    @precondition(lambda self: self.table.were_queued)
    @rule(data=st.data())
    def unqueue(self, data: st.DataObject) -> None:
        waited = data.draw(st.sampled_from(sorted(self.table.were_queued)))
        waits = any(order.id == waited for order in self.table.waiting)
        assert self._order("build.unqueue", build_id=waited) == waits

    @precondition(lambda self: self.table.builds)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.cancel_build(data.draw(st.sampled_from(sorted(self.table.builds))))

    def cancel_build(self, build: str) -> None:
        if self._order("build.cancel", build_id=build):
            self.confirmed_cancels.add(build)

    @precondition(lambda self: self.table.builds)
    @rule(data=st.data(), factor=st.sampled_from([0.0, 0.5, 1.5]))
    def reschedule(self, data: st.DataObject, factor: float) -> None:
        build = data.draw(st.sampled_from(sorted(self.table.builds)))
        self._order("build.reschedule", build_id=build, factor=factor)

    def _order(self, command: str, **args: object) -> bool:
        """One transaction. What follows may never happen: the service may be killed."""
        decision = self.table.order(command, self.now, **args)
        if decision is None:
            return False
        self.aftermath += [("disarm", key) for key in decision.outdated()]
        self.aftermath += [("arm", self.table.builds[alarm.key.id]) for alarm in decision.alarms()]
        return True

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
        sequence = next(self.table.places)
        self.due[sequence] = Message(sequence, key, body)

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.0, 60.0, 3600.0, 86400.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        for key, (at, body) in list(self.schedules.items()):
            if at <= self.now:
                del self.schedules[key]
                self._fire(key, body)

    @precondition(lambda self: self.table.pending)
    @rule()
    def the_next_end_is_near(self) -> None:
        """Within the time in which a row may be completed ahead."""
        left = min(build.due_at for build in self.table.pending) - AHEAD / 2 - self.now
        if left > timedelta():
            self.time_passes(left.total_seconds())

    @precondition(lambda self: self.schedules)
    @rule(data=st.data())
    def an_alarm_fires_early(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.schedules)))
        self._fire(key, self.schedules.pop(key)[1])

    @precondition(lambda self: self.table.builds)
    @rule(data=st.data())
    def a_ghost_fires(self, data: st.DataObject) -> None:
        """An alarm of any revision, although it was taken back or has fired before."""
        build = self.table.builds[data.draw(st.sampled_from(sorted(self.table.builds)))]
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

    @rule(prompt=st.booleans())
    def the_sweep_looks(self, *, prompt: bool) -> None:
        for build in sorted(self.table.pending, key=lambda each: each.due_at):
            if build.due_at <= self.now + timedelta(seconds=1):
                self.hold.add(key_of(build), build.player, build.due_at.timestamp(), build, prompt=prompt)

    @rule()
    def the_outbox_is_swept(self) -> None:
        for row in self.table.outbox.values():
            if row.tell_at <= self.now:
                self.line.add(row)

    @rule()
    def table_and_alarms_are_reconciled(self) -> None:
        waiting = [PendingRow(key_of(build), build.due_at, build.started_at) for build in self.table.pending]
        plan = diff(waiting, self.schedules, started=self.now, now=self.now)
        for key in plan.arm:
            self._arm(self.table.builds[key.id])
        for key in plan.tombstone:
            del self.schedules[key]

    @precondition(lambda self: not self.batch)
    @rule(with_next=st.booleans())
    def a_batch_is_completed(self, *, with_next: bool) -> None:
        """One transaction: the conditional update, with its outbox rows; then they stand in the line.

        What waits behind them begins in the same one, or, where nothing was known to wait, in the next.
        """
        completed: list[BuildRecord] = []
        for held in self.hold.take(self.now.timestamp(), 3):
            row = self.table.builds.get(held.key.id)
            stands = row is not None and row.state is BuildState.BUILDING and row.revision == held.key.revision
            stands = stands and row == held.row
            if stands and row is not None and row.due_at > self.now + AHEAD:
                self.hold.put_back(held, row.due_at.timestamp())
                continue
            self.batch.append(held)
            if stands and row is not None:
                for told in self.table.complete(row, self.now):
                    self.line.add(told)
                completed.append(row)
        if with_next:
            self._start_behind(completed)
        else:
            self.left_behind += completed

    def _start_behind(self, completed: Sequence[BuildRecord]) -> None:
        for build in completed:
            following = self.table.start_next(build, self.now)
            if following is not None:
                assert following.started_at == build.due_at, "no moment is lost between the two"
                self._begun(following)

    def _begun(self, build: BuildRecord) -> None:
        for told in self.table.outbox.values():
            if told.source_id == build.id:
                self.line.add(told)
        self.began.append(build)

    @precondition(lambda self: self.left_behind)
    @rule()
    def what_waits_behind_the_batch_begins(self) -> None:
        self._start_behind(self.left_behind)
        self.left_behind.clear()

    @precondition(lambda self: self.began)
    @rule()
    def what_began_is_armed(self) -> None:
        self._arm(self.began.pop(0))

    @rule()
    def what_was_stranded_begins(self) -> None:
        for build in self.table.start_stranded(STRANDED, self.now):
            self._begun(build)

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
            self.line.published(job)
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
            self.table.outbox.pop(job.row.id, None)
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
        messages = [message.partition("~")[0] for message, _ in self.feed]
        assert len(messages) == len(set(messages))
        for source in {message.partition(".")[0] for message in messages}:
            places = [list(map(int, message.split(".")[1:])) for message in messages if message.startswith(source)]
            assert places == sorted(places), "completed never overtakes started, nor started queued"

    @invariant()
    def nothing_is_completed_early_or_after_a_confirmed_cancel(self) -> None:
        for build in self.table.builds.values():
            if build.state is BuildState.COMPLETED:
                assert build.id not in self.confirmed_cancels
                assert build.completed_at == build.due_at
                assert build.due_at <= self.now + AHEAD
        for message, stored_at in self.feed:
            place = push_place(message)
            assert place is not None
            build_id, revision = place
            build = self.table.builds.get(BuildId(build_id))
            if build is not None and build.state is BuildState.COMPLETED and revision == build.revision:
                assert stored_at >= build.due_at, "nobody hears of it before its time"

    @invariant()
    def one_build_stands_on_a_site_at_a_time(self) -> None:
        assert overlaps(list(self.table.builds.values())) == []

    @invariant()
    def what_was_queued_waits_or_was_withdrawn_or_became_a_build(self) -> None:
        assert self.table.fates() == sorted(self.table.were_queued)

    def teardown(self) -> None:
        """Left in peace, the scheduler brings everything to its end."""
        self.command_is_killed()
        self.boot()
        for _ in self._days_in_peace():
            self.the_sweep_looks(prompt=False)
            self.a_batch_is_completed(with_next=True)
            self.what_was_stranded_begins()
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
            self.one_build_stands_on_a_site_at_a_time()
        assert not self.table.pending
        assert not self.table.waiting
        assert not self.table.outbox
        told = [message.partition("~")[0] for message, _ in self.feed]
        for source in self.table.builds.keys() | self.table.were_queued:
            own = sorted(message.partition(".")[2] for message in told if message.startswith(source))
            assert own == self.table.transitions_of(source), "each transition was told, once"

    def _days_in_peace(self) -> Iterator[None]:
        for _ in range(_ENOUGH):
            pending = [build.due_at for build in self.table.pending]
            if not self.table.outbox and not pending and not self.table.waiting:
                return
            later = [row.tell_at for row in self.table.outbox.values() if row.tell_at > self.now]
            if pending and min(pending) > self.now:
                self.now = min(pending)
            elif later:
                self.now = min(later)
            elif self.table.waiting and not pending:
                self.now += STRANDED
            yield


LifeOfARow.TestCase.settings = settings(max_examples=200, stateful_step_count=60)
TestLifeOfARow = LifeOfARow.TestCase


def test_the_cancel_of_what_begins_a_moment_from_now_lets_nothing_begin_before_the_one_before_has_ended() -> None:
    """Too rare to be met by chance: a build completed ahead of its time, the next one cancelled within that moment."""
    world = LifeOfARow()
    for _ in range(3):
        world.queue(FLEXIBLE[0], "luna-1")
    world.the_next_end_is_near()
    world.the_sweep_looks(prompt=True)
    world.a_batch_is_completed(with_next=True)
    (following,) = world.table.pending
    assert following.started_at > world.now
    world.cancel_build(following.id)
    assert [build.started_at for build in world.table.pending] == [following.started_at]
    world.one_build_stands_on_a_site_at_a_time()
    world.teardown()
