"""How table and alarms differ, and when the feed needs a new epoch."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from starwake.bus.feed import FeedState
from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey
from starwake.outbox.guard import why_new_epoch
from starwake.scheduler.reconcile.diff import PendingRow, diff, split_at
from starwake.store.high_water_mark import HighWaterMark

STARTED = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)
NOW = STARTED + timedelta(seconds=30)


def key(name: str, revision: int = 1) -> AlarmKey:
    return AlarmKey("build", name, Revision(revision))


def row(name: str, revision: int = 1, *, due_in_s: float = 3600, age_s: float = 60) -> PendingRow:
    return PendingRow(key(name, revision), NOW + timedelta(seconds=due_in_s), STARTED - timedelta(seconds=age_s))


def test_a_row_without_an_alarm_is_armed_the_soonest_first() -> None:
    plan = diff([row("a", due_in_s=20), row("b", due_in_s=10), row("c")], [key("c")], started=STARTED, now=NOW)
    assert plan.arm == [key("b"), key("a")]
    assert plan.tombstone == []


def test_an_alarm_without_a_row_is_tombstoned() -> None:
    plan = diff([row("b")], [key("a"), key("b")], started=STARTED, now=NOW)
    assert (plan.arm, plan.tombstone) == ([], [key("a")])


def test_an_alarm_of_an_old_revision_is_tombstoned_and_the_new_one_armed() -> None:
    plan = diff([row("a", 3)], [key("a", 2)], started=STARTED, now=NOW)
    assert (plan.arm, plan.tombstone) == ([key("a", 3)], [key("a", 2)])


def test_an_overdue_row_is_counted_and_needs_no_alarm() -> None:
    plan = diff([row("a", due_in_s=0)], [], started=STARTED, now=NOW)
    assert (plan.arm, plan.overdue) == ([], 1)


def test_a_row_that_came_to_be_after_the_listing_began_is_left_alone() -> None:
    plan = diff([row("a", age_s=-1)], [], started=STARTED, now=NOW)
    assert plan.arm == []


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.tuples(st.integers(1, 3), st.booleans())),
    st.sets(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3))),
)
def test_what_the_plan_leaves_is_one_alarm_for_each_row_that_is_not_due_and_none_else(
    rows: dict[str, tuple[int, bool]], alarms: set[tuple[str, int]]
) -> None:
    waiting = [row(name, revision, due_in_s=-1 if due else 60) for name, (revision, due) in rows.items()]
    plan = diff(waiting, [key(*each) for each in alarms], started=STARTED, now=NOW)
    after = {key(*each) for each in alarms} - set(plan.tombstone) | set(plan.arm)
    assert after >= {each.key for each in waiting if each.due_at > NOW}
    assert after <= {each.key for each in waiting}
    again = diff(waiting, after, started=STARTED, now=NOW)
    assert (again.arm, again.tombstone) == ([], []), "once mended nothing is left to mend"


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(1, 3)), unique=True), st.sampled_from("abcdef"))
def test_a_range_holds_every_revision_of_its_last_id(alarms: list[tuple[str, int]], last: str) -> None:
    keys = sorted(key(*each) for each in alarms)
    inside, outside = split_at(keys, key(last))
    assert inside + outside == keys
    assert all(each.id <= last for each in inside)
    assert all(each.id > last for each in outside)


def test_the_epoch_goes_on_while_the_stream_stands_at_or_above_its_mark() -> None:
    assert why_new_epoch(FeedState("e1", 1, 100), HighWaterMark("e1", 100)) is None
    assert why_new_epoch(FeedState("e1", 1, 101), HighWaterMark("e1", 100)) is None
    assert why_new_epoch(FeedState("e1", 1, 5), None) is None


def test_a_stream_without_an_epoch_below_its_mark_or_of_another_epoch_gets_a_new_one() -> None:
    assert why_new_epoch(FeedState(None, 0, 0), None)
    assert why_new_epoch(FeedState("e1", 1, 99), HighWaterMark("e1", 100))
    assert why_new_epoch(FeedState("e0", 1, 200), HighWaterMark("e1", 100))
