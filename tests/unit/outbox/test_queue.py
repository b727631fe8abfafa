"""Who is told next."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.events import Notification
from starwake.contracts.ids import PlayerId
from starwake.outbox.queue import Line
from starwake.store.outbox import OutboxRow


class Outcomes:
    def __init__(self) -> None:
        self.told: list[bool] = []

    def settle(self, *, told: bool) -> None:
        self.told.append(told)


def row(number: int, source: str = "a", at: float = 0.0) -> OutboxRow:
    moment = datetime.fromtimestamp(at, UTC)
    return OutboxRow(number, Notification(f"{source}.{number}", PlayerId("ada"), b"{}"), moment, source, moment)


def test_a_row_is_not_handed_out_before_its_time() -> None:
    line = Line(10)
    line.add(row(1, at=5.0))
    assert line.next_at() == 5.0
    assert line.take(4.9, 10) == []
    assert [job.row.id for job in line.take(5.0, 10)] == [1]


def test_the_second_row_of_a_source_follows_only_when_the_first_is_told() -> None:
    line = Line(10)
    line.add(row(1))
    line.add(row(2))
    line.add(row(3, "b"))
    first, other = line.take(1.0, 10)
    assert [first.row.id, other.row.id] == [1, 3]
    assert line.take(1.0, 10) == []
    line.told(first)
    assert [job.row.id for job in line.take(1.0, 10)] == [2]


def test_what_stands_behind_a_row_that_failed_leaves_the_line_with_it() -> None:
    line = Line(10)
    outcomes = Outcomes()
    for number in (1, 2):
        line.add(row(number), outcomes)
    line.add(row(3, "b"))
    first, _ = line.take(1.0, 10)
    for job in line.fail(first):
        job.settle(told=False)
    assert outcomes.told == [False, False]
    assert (1 in line, 2 in line, 3 in line) == (False, False, True)


def test_a_row_that_is_offered_again_waits_once_and_answers_everybody() -> None:
    line = Line(10)
    once, again = Outcomes(), Outcomes()
    line.add(row(1), once)
    line.add(row(1), again)
    (job,) = line.take(1.0, 10)
    line.told(job)
    job.settle(told=True)
    assert once.told == again.told == [True]
    assert len(line) == 0


def test_a_full_line_takes_nothing_more() -> None:
    line = Line(1)
    assert line.add(row(1))
    assert not line.add(row(2))
    assert line.add(row(1)), "this one is in the line"


def test_an_earlier_row_that_is_found_later_is_still_told_first() -> None:
    line = Line(10)
    line.add(row(2))
    line.add(row(1))
    (first,) = line.take(1.0, 10)
    assert first.row.id == 1
    line.told(first)
    assert [job.row.id for job in line.take(1.0, 10)] == [2]
    assert line.take(1.0, 10) == [], "each row is handed out once"


def test_what_is_due_just_now_goes_before_a_backlog() -> None:
    line = Line(100)
    for number in range(10):
        line.add(row(number, f"old{number}", at=1.0))
    line.add(row(99, "new", at=3600.0))
    assert [job.row.id for job in line.take(3600.0, 5)] == [99]
    assert line.take(3600.0, 5, late_limit=0) == []
    assert line.next_at(late=False) is None
    assert line.next_at() == 0.0
    backlog = line.take(3600.0, 5, late_limit=3)
    assert [job.row.id for job in backlog] == [0, 1, 2], (
        "fewer at a time, so that what comes due meanwhile soon follows"
    )
    assert all(job.late for job in backlog)
    assert [job.row.id for job in line.take(3600.0, 2)] == [3, 4]


def test_giving_up_leaves_only_what_is_handed_out() -> None:
    line = Line(10)
    for number, source in ((1, "a"), (2, "a"), (3, "b")):
        line.add(row(number, source, at=number))
    (busy,) = line.take(1.0, 1)
    assert [job.row.id for job in line.give_up()] == [3]
    line.told(busy)
    assert [job.row.id for job in line.take(2.0, 9)] == [2]


@given(
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from("abc")), unique_by=lambda each: each[0]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5))),
)
def test_rows_of_one_source_are_told_in_order_whatever_fails(
    rows: list[tuple[int, str]], steps: list[tuple[bool, int]]
) -> None:
    line = Line(100)
    outcomes = Outcomes()
    for number, source in rows:
        line.add(row(number, source), outcomes)
    told: dict[str, list[int]] = {}
    busy = line.take(1.0, 100)
    for ok, which in [*steps, *[(True, 0)] * len(rows)]:
        if not busy:
            break
        job = busy.pop(which % len(busy))
        if ok:
            told.setdefault(job.row.source_id, []).append(job.row.id)
            line.told(job)
            job.settle(told=True)
        else:
            for left in line.fail(job):
                left.settle(told=False)
        busy += line.take(1.0, 100)
    assert all(ids == sorted(ids) for ids in told.values())
    assert len(outcomes.told) == len(rows)
    assert len(line) == 0
