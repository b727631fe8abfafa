"""Aim early and hold: what is known to come due, until its time."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.ids import Revision
from starwake.contracts.subjects import AlarmKey
from starwake.scheduler.due.hold import Added, Held, Hold


@dataclass(frozen=True)
class Message:
    sequence: int


def key(name: str, revision: int = 1) -> AlarmKey:
    return AlarmKey("build", name, Revision(revision))


def hold(limit: int = 100, ahead_s: float = 0.1, sweep_ahead_s: float = 0.025) -> Hold[str, Message]:
    return Hold(limit=limit, ahead_s=ahead_s, sweep_ahead_s=sweep_ahead_s)


def test_nothing_is_handed_out_before_its_time_less_the_time_ahead() -> None:
    held = hold()
    held.add(key("a"), "ada", 10.0, "row", Message(1))
    assert held.next_at() == 9.9
    assert held.take(9.89, 10) == []
    assert [each.key for each in held.take(9.9, 10)] == [key("a")]


def test_what_only_the_sweep_brought_is_handed_out_later_than_what_an_alarm_brought() -> None:
    held = hold()
    held.add(key("a"), "ada", 10.0, "row")
    assert held.take(9.95, 10) == []
    assert len(held.take(9.975, 10)) == 1


def test_what_the_sweep_brought_in_the_place_of_a_late_alarm_is_handed_out_as_early_as_with_it() -> None:
    held = hold()
    held.add(key("a"), "ada", 10.0, "row", prompt=True)
    assert held.next_at() == 9.9
    assert len(held.take(9.9, 10)) == 1


def test_an_alarm_that_comes_after_the_sweep_joins_the_row_and_brings_its_time_forward() -> None:
    held = hold()
    assert held.add(key("a"), "ada", 10.0, "row") is Added.HELD
    assert held.add(key("a"), "ada", 10.0, "row", Message(7)) is Added.KNOWN
    (taken,) = held.take(9.9, 10)
    assert taken.messages == [Message(7)]
    assert held.take(20.0, 10) == [], "each revision is handed out once"


def test_a_redelivered_alarm_replaces_its_former_delivery() -> None:
    held = hold()
    first, again, other = Message(7), Message(7), Message(8)
    for message in (first, again, other):
        held.add(key("a"), "ada", 10.0, "row", message)
    (taken,) = held.take(10.0, 10)
    assert [id(each) for each in taken.messages] == [id(again), id(other)]


def test_an_alarm_for_a_row_that_is_being_completed_joins_it_and_is_not_handed_out_again() -> None:
    held = hold()
    held.add(key("a"), "ada", 10.0, "row")
    (taken,) = held.take(10.0, 10)
    held.add(key("a"), "ada", 10.0, "row", Message(7))
    assert held.take(11.0, 10) == []
    assert taken.messages == [Message(7)]
    held.finish(taken)
    assert len(held) == 0


def test_each_revision_is_a_row_of_its_own() -> None:
    held = hold()
    held.add(key("a", 1), "ada", 10.0, "row")
    held.add(key("a", 2), "ada", 12.0, "row")
    assert [each.key.revision for each in held.take(11.0, 10)] == [1]


def test_what_is_put_back_comes_again_at_the_time_that_was_said() -> None:
    held = hold()
    held.add(key("a"), "ada", 10.0, "row")
    (taken,) = held.take(10.0, 10)
    held.put_back(taken, 10.5)
    assert held.take(10.4, 10) == []
    assert held.take(10.5, 10) == [taken]


def test_a_full_hold_says_so_and_has_room_again_after_something_is_finished() -> None:
    held = hold(limit=1)
    held.add(key("a"), "ada", 10.0, "row")
    assert held.add(key("b"), "ada", 10.0, "row") is Added.FULL
    (taken,) = held.take(10.0, 10)
    held.finish(taken)
    assert held.add(key("b"), "ada", 10.0, "row") is Added.HELD


def test_a_backlog_takes_at_most_half_of_a_batch_while_fresh_work_waits() -> None:
    held = hold(limit=1000)
    for n in range(100):
        held.add(key(f"late{n}"), "ada", 10.0, "late", now=100.0)
        held.add(key(f"fresh{n}"), "bob", 99.9, "fresh")
    batch = held.take(100.0, 20)
    assert [each.row for each in batch].count("fresh") == 10
    assert batch == sorted(batch, key=lambda each: each.due), "oldest first within the batch"


def test_what_came_in_time_is_no_backlog_however_late_its_turn_comes() -> None:
    held = hold(limit=1000)
    for n in range(10):
        held.add(key(f"late{n}"), "ada", 10.0, "late", now=95.0)
    held.add(key("fresh"), "bob", 95.1, "fresh", now=95.0)
    assert "fresh" in [each.row for each in held.take(100.0, 2)]


def test_a_batch_is_filled_with_what_there_is() -> None:
    held = hold(limit=1000)
    for n in range(100):
        held.add(key(f"late{n}"), "ada", 10.0, "late", now=100.0)
    held.add(key("fresh"), "bob", 99.9, "fresh")
    assert [each.row for each in held.take(100.0, 20)].count("late") == 19
    other = hold(limit=1000)
    for n in range(100):
        other.add(key(f"fresh{n}"), "bob", 99.9, "fresh")
    assert len(other.take(100.0, 20)) == 20


def test_one_players_herd_does_not_delay_anothers_single_build() -> None:
    held = hold(limit=100_000)
    for n in range(50_000):
        held.add(key(f"a{n}"), "ada", 10.0, "row")
    held.add(key("b"), "bob", 10.0, "row")
    assert key("b") in {each.key for each in held.take(10.0, 2)}


def test_release_gives_up_what_nobody_works_on_and_only_that() -> None:
    held = hold()
    held.add(key("a"), "ada", 10.0, "row", Message(1))
    held.add(key("b"), "bob", 10.0, "row", Message(2))
    (busy,) = held.take(10.0, 1)
    (released,) = held.release()
    assert {busy.key, released.key} == {key("a"), key("b")}
    assert held.take(20.0, 10) == []
    assert busy.key in held
    assert released.key not in held


operations = st.lists(
    st.tuples(
        st.sampled_from(["add", "alarm", "take", "finish", "put_back"]),
        st.integers(0, 7),
        st.floats(0.0, 20.0, allow_nan=False),
    ),
    max_size=60,
)


@given(operations)
def test_whatever_happens_no_row_is_handed_out_twice_or_early_and_none_is_forgotten(
    steps: list[tuple[str, int, float]],
) -> None:
    held = hold(ahead_s=0.5, sweep_ahead_s=0.25)
    now = 0.0
    busy: dict[AlarmKey, Held[str, Message]] = {}
    not_before: dict[AlarmKey, float] = {}
    known: set[AlarmKey] = set()
    for number, (what, row, seconds) in enumerate(steps):
        if what in {"add", "alarm"}:
            message = Message(number) if what == "alarm" else None
            if held.add(key(str(row)), f"p{row % 2}", seconds, "row", message) is Added.HELD:
                known.add(key(str(row)))
                not_before[key(str(row))] = seconds - 0.5
        elif what == "take":
            now = max(now, seconds)
            for each in held.take(now, 3):
                assert each.key not in busy
                assert now >= not_before[each.key]
                busy[each.key] = each
        elif busy:
            taken, each = sorted(busy.items())[row % len(busy)]
            del busy[taken]
            if what == "finish":
                held.finish(each)
                known.discard(taken)
            else:
                held.put_back(each, now + seconds)
                not_before[taken] = now + seconds
    while batch := held.take(1000.0, 3):
        for each in batch:
            assert each.key not in busy
            busy[each.key] = each
    assert set(busy) == known
