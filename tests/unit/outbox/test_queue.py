"""The order in which rows of the outbox are published."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.events import Notification
from starwake.contracts.ids import PlayerId
from starwake.outbox.queue import OutboxQueue
from starwake.store.outbox import OutboxRow


class Outcomes:
    def __init__(self) -> None:
        self.published: list[bool] = []

    def settle(self, *, published: bool) -> None:
        self.published.append(published)


def row(number: int, source: str = "a", at: float = 0.0) -> OutboxRow:
    moment = datetime.fromtimestamp(at, UTC)
    return OutboxRow(number, Notification(f"{source}.{number}", PlayerId("ada"), b"{}"), moment, source, moment)


def test_a_row_is_not_handed_out_before_its_time() -> None:
    queue = OutboxQueue(10)
    queue.add(row(1, at=5.0))
    assert queue.next_at() == 5.0
    assert queue.take(4.9, 10) == []
    assert [job.row.id for job in queue.take(5.0, 10)] == [1]


def test_the_second_row_of_a_source_follows_only_when_the_first_is_published() -> None:
    queue = OutboxQueue(10)
    queue.add(row(1))
    queue.add(row(2))
    queue.add(row(3, "b"))
    first, other = queue.take(1.0, 10)
    assert [first.row.id, other.row.id] == [1, 3]
    assert queue.take(1.0, 10) == []
    queue.published(first)
    assert [job.row.id for job in queue.take(1.0, 10)] == [2]


def test_what_stands_behind_a_row_that_failed_leaves_the_queue_with_it() -> None:
    queue = OutboxQueue(10)
    outcomes = Outcomes()
    for number in (1, 2):
        queue.add(row(number), outcomes)
    queue.add(row(3, "b"))
    first, _ = queue.take(1.0, 10)
    for job in queue.fail(first):
        job.settle(published=False)
    assert outcomes.published == [False, False]
    assert (1 in queue, 2 in queue, 3 in queue) == (False, False, True)


def test_a_row_that_is_offered_again_waits_once_and_answers_everybody() -> None:
    queue = OutboxQueue(10)
    once, again = Outcomes(), Outcomes()
    queue.add(row(1), once)
    queue.add(row(1), again)
    (job,) = queue.take(1.0, 10)
    queue.published(job)
    job.settle(published=True)
    assert once.published == again.published == [True]
    assert len(queue) == 0


def test_a_full_queue_takes_nothing_more() -> None:
    queue = OutboxQueue(1)
    assert queue.add(row(1))
    assert not queue.add(row(2))
    assert queue.add(row(1)), "this one is in the queue"


def test_an_earlier_row_that_is_found_later_is_still_published_first() -> None:
    queue = OutboxQueue(10)
    queue.add(row(2))
    queue.add(row(1))
    (first,) = queue.take(1.0, 10)
    assert first.row.id == 1
    queue.published(first)
    assert [job.row.id for job in queue.take(1.0, 10)] == [2]
    assert queue.take(1.0, 10) == [], "each row is handed out once"


def test_what_is_due_just_now_goes_before_a_backlog() -> None:
    queue = OutboxQueue(100)
    for number in range(10):
        queue.add(row(number, f"old{number}", at=1.0))
    queue.add(row(99, "new", at=3600.0))
    assert [job.row.id for job in queue.take(3600.0, 5)] == [99]
    assert queue.take(3600.0, 5, late_limit=0) == []
    assert queue.next_at(late=False) is None
    assert queue.next_at() == 0.0
    backlog = queue.take(3600.0, 5, late_limit=3)
    assert [job.row.id for job in backlog] == [0, 1, 2], (
        "fewer at a time, so that what comes due meanwhile soon follows"
    )
    assert all(job.late for job in backlog)
    assert [job.row.id for job in queue.take(3600.0, 2)] == [3, 4]


def test_giving_up_leaves_only_what_is_handed_out() -> None:
    queue = OutboxQueue(10)
    for number, source in ((1, "a"), (2, "a"), (3, "b")):
        queue.add(row(number, source, at=number))
    (busy,) = queue.take(1.0, 1)
    assert [job.row.id for job in queue.give_up()] == [3]
    queue.published(busy)
    assert [job.row.id for job in queue.take(2.0, 9)] == [2]


@given(
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from("abc")), unique_by=lambda each: each[0]),
    st.lists(st.tuples(st.booleans(), st.integers(0, 5))),
)
def test_rows_of_one_source_are_published_in_order_whatever_fails(
    rows: list[tuple[int, str]], steps: list[tuple[bool, int]]
) -> None:
    queue = OutboxQueue(100)
    outcomes = Outcomes()
    for number, source in rows:
        queue.add(row(number, source), outcomes)
    published: dict[str, list[int]] = {}
    busy = queue.take(1.0, 100)
    for ok, which in [*steps, *[(True, 0)] * len(rows)]:
        if not busy:
            break
        job = busy.pop(which % len(busy))
        if ok:
            published.setdefault(job.row.source_id, []).append(job.row.id)
            queue.published(job)
            job.settle(published=True)
        else:
            for left in queue.fail(job):
                left.settle(published=False)
        busy += queue.take(1.0, 100)
    assert all(ids == sorted(ids) for ids in published.values())
    assert len(outcomes.published) == len(rows)
    assert len(queue) == 0
