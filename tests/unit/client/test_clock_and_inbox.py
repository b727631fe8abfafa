"""The server's clock as a client knows it, and the queue between the line and the reader."""

from datetime import UTC, datetime, timedelta

from starwake.client.clock import Clock
from starwake.client.inbox import Entry, Inbox
from starwake.client.values import Connected, Disconnected, Missed, Notice, Push

T0 = datetime(2026, 11, 22, 10, tzinfo=UTC)
UP = Connected(player="ada", session="s", recovered=True)
DOWN = Disconnected(code=None, reason="", retry_in_s=1)
LOST = Missed(reason="gone")


def a_push(seq: int) -> Push:
    return Push(event="a.b", at=T0, data={}, seq=seq)


def filled(*items: Push | Notice) -> Inbox:
    inbox = Inbox()
    for item in items:
        inbox.put(Entry(item, None))
    return inbox


async def drained(inbox: Inbox) -> list[Push | Notice]:
    inbox.end(None)
    items: list[Push | Notice] = []
    while (entry := await inbox.get()) is not None:
        items.append(entry.item)
    return items


def test_before_any_frame_the_machines_own_clock_is_all_there_is() -> None:
    assert abs(Clock().now(0) - datetime.now(UTC)) < timedelta(seconds=1)


def test_a_time_that_came_unasked_is_a_beginning() -> None:
    clock = Clock()
    clock.heard(T0, 100)
    assert clock.now(107) == T0 + timedelta(seconds=7)


def test_a_measured_round_trip_beats_a_time_that_came_unasked() -> None:
    clock = Clock()
    clock.asked(T0, sent=99.9, received=100.1)
    clock.heard(T0 + timedelta(seconds=9), 110)
    assert abs(clock.now(110) - (T0 + timedelta(seconds=10))) < timedelta(milliseconds=1)


def test_the_shortest_round_trip_is_believed() -> None:
    clock = Clock()
    clock.asked(T0, sent=0, received=0.01)
    clock.asked(T0 + timedelta(seconds=2), sent=1, received=2)
    assert abs(clock.now(10) - (T0 + timedelta(seconds=9.995))) < timedelta(milliseconds=1)


def test_a_clock_that_was_set_is_followed_after_a_while() -> None:
    clock = Clock()
    clock.asked(T0, sent=0, received=0.01)
    for moment in range(1, 17):
        clock.heard(T0 + timedelta(hours=1, seconds=moment), moment)
    assert clock.now(16) == T0 + timedelta(hours=1, seconds=16)


async def test_between_two_pushes_only_the_latest_word_on_the_line_is_kept() -> None:
    inbox = filled(a_push(1), *[DOWN, UP] * 1000, a_push(2))
    assert await drained(inbox) == [a_push(1), UP, a_push(2)]


async def test_a_loss_is_never_folded_away_and_kept_once() -> None:
    assert await drained(filled(*[DOWN, LOST, UP] * 1000)) == [LOST, UP]
