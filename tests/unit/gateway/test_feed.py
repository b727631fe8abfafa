"""Live pushes joined with history: each once, in order, without holes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.retention import KEPT_PUSHES
from starwake.contracts.times import to_rfc3339
from starwake.gateway.feed import MAX_HELD, Chain, Push, Verdict, is_recent, missed

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)


def push(seq: int, prev: int = 0) -> Push:
    return Push(seq, prev, b"{}")


def stored(*seqs: int) -> list[Push]:
    return [push(seq) for seq in seqs]


def live_chain(last: int) -> Chain:
    chain = Chain()
    settled = chain.settle(last, None)
    chain.move(settled.end)
    chain.go_live()
    return chain


def seqs(pushes: list[Push] | None) -> list[int] | None:
    return None if pushes is None else [each.seq for each in pushes]


# --- the live chain ----------------------------------------------------------------------------------------------


def test_live_pushes_that_follow_one_another_are_handed_out() -> None:
    chain = live_chain(10)
    assert [chain.offer(push(12, 10)), chain.offer(push(15, 12))] == [Verdict.DELIVER, Verdict.DELIVER]
    assert chain.last == 15


def test_the_first_push_of_a_feed_has_none_before_it() -> None:
    chain = live_chain(0)
    assert chain.offer(push(7)) is Verdict.DELIVER


def test_a_push_whose_predecessors_have_expired_is_no_hole() -> None:
    chain = live_chain(10)
    assert chain.offer(push(99, 0)) is Verdict.DELIVER


def test_a_push_that_came_already_is_not_handed_out_again() -> None:
    chain = live_chain(10)
    chain.offer(push(12, 10))
    assert chain.offer(push(12, 10)) is Verdict.REPEATED
    assert chain.offer(push(10, 0)) is Verdict.REPEATED


def test_a_hole_shows_by_prev_and_is_filled_from_history() -> None:
    chain = live_chain(10)
    assert chain.offer(push(14, 12)) is Verdict.HOLE
    chain.catching_up = True
    settled = chain.settle(14, stored(10, 12, 14))
    assert seqs(settled.pushes) == [10, 12, 14]
    assert (settled.end, settled.whole) == (14, True)


def test_what_comes_live_while_history_is_read_is_joined_once() -> None:
    chain = live_chain(10)
    chain.catching_up = True
    chain.offer(push(12, 10))
    chain.offer(push(14, 12))
    chain.offer(push(16, 14))
    settled = chain.settle(12, stored(10, 12, 14))
    assert [(each.seq, each.prev) for each in settled.pushes] == [(10, 0), (12, 10), (14, 12), (16, 14)]


def test_a_hole_behind_what_was_read_asks_for_another_reading_and_keeps_what_came() -> None:
    chain = live_chain(10)
    chain.catching_up = True
    chain.offer(push(16, 14))
    settled = chain.settle(12, stored(10, 12))
    assert (seqs(settled.pushes), settled.end, settled.whole) == ([10, 12], 12, False)
    chain.move(settled.end)
    settled = chain.settle(16, stored(12, 14))
    assert (seqs(settled.pushes), settled.end, settled.whole) == ([12, 14, 16], 16, True)


def test_a_replica_that_lags_behind_what_was_handed_out_changes_nothing() -> None:
    chain = live_chain(10)
    chain.catching_up = True
    settled = chain.settle(8, stored(4, 8))
    assert settled.whole is False
    chain.move(settled.end)
    assert chain.last == 10


def test_too_many_pushes_during_one_reading_ask_for_another() -> None:
    chain = live_chain(0)
    chain.catching_up = True
    for seq in range(1, MAX_HELD + 2):
        chain.offer(push(seq, seq - 1))
    assert chain.settle(0, None).whole is False


# --- positions ---------------------------------------------------------------------------------------------------


def test_a_client_that_saw_everything_has_missed_nothing() -> None:
    assert missed(12, known_recent=False, pushes=[], end=12) == []


def test_what_lies_after_a_position_that_is_still_kept_was_missed() -> None:
    assert seqs(missed(10, known_recent=False, pushes=stored(10, 12, 14), end=14)) == [12, 14]


def test_a_position_that_was_trimmed_cannot_be_resumed() -> None:
    assert missed(10, known_recent=False, pushes=stored(12, 14), end=14) is None


def test_a_position_that_expired_on_a_quiet_feed_can_be_resumed() -> None:
    assert seqs(missed(10, known_recent=True, pushes=stored(12, 14), end=14)) == [12, 14]


def test_a_position_that_expired_on_a_busy_feed_cannot_be_resumed() -> None:
    full = stored(*range(100, 100 + KEPT_PUSHES))
    assert missed(10, known_recent=True, pushes=full, end=full[-1].seq) is None


def test_exactly_256_pushes_after_an_expired_position_are_whole() -> None:
    kept = stored(*range(100, 100 + KEPT_PUSHES - 1))
    assert len(missed(10, known_recent=True, pushes=kept, end=kept[-1].seq) or []) == 256


def test_a_feed_that_expired_altogether_since_is_whole_for_whoever_was_there_recently() -> None:
    assert missed(10, known_recent=True, pushes=[], end=0) == []
    assert missed(10, known_recent=False, pushes=[], end=0) is None


def test_a_position_beyond_the_feed_was_never_handed_out() -> None:
    assert missed(20, known_recent=True, pushes=stored(10), end=10) is None


def test_a_player_without_any_push_yet_can_resume() -> None:
    assert missed(0, known_recent=is_recent(0, None, NOW), pushes=stored(5), end=5) == stored(5)


@pytest.mark.parametrize(
    ("seq", "at", "recent"),
    [
        (5, to_rfc3339(NOW), True),
        (5, to_rfc3339(NOW - timedelta(days=13)), True),
        (5, to_rfc3339(NOW - timedelta(days=14)), False),
        (5, None, False),
        (0, None, True),
        (0, to_rfc3339(NOW - timedelta(days=15)), False),
        (5, "yesterday", False),
        (5, "2026-11-22T10:00:00", False),
    ],
)
def test_a_position_is_recent_while_nothing_after_it_can_have_expired(seq: int, at: str | None, recent: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_recent(seq, at, NOW) is recent


# --- a feed under faults -----------------------------------------------------------------------------------------

Step = tuple[str, int]
steps = st.lists(
    st.tuples(st.sampled_from(["store", "lose", "late", "read", "settle", "other"]), st.integers(1, 3)), max_size=60
)


@given(steps)
def test_whatever_is_lost_late_or_doubled_each_push_is_handed_out_once_and_in_order(  # noqa: C901 - one model
    events: list[Step],
) -> None:
    """A stream with other players' pushes in between, a live path that loses, delays and repeats, and slow reads."""
    chain = live_chain(0)
    kept: list[int] = []
    handed: list[int] = []
    late: list[Push] = []
    clock = 0
    reading: tuple[int, list[Push]] | None = None

    def offer(each: Push) -> None:
        nonlocal reading
        match chain.offer(each):
            case Verdict.DELIVER:
                handed.append(each.seq)
            case Verdict.HOLE:
                chain.catching_up = True
            case Verdict.HELD | Verdict.REPEATED:
                pass

    def read() -> tuple[int, list[Push]]:
        last = chain.last or 0
        return (kept[-1] if kept else 0), stored(*[seq for seq in kept if seq >= last])

    def settle(result: tuple[int, list[Push]]) -> None:
        last = chain.last or 0
        settled = chain.settle(*result)
        handed.extend(each.seq for each in settled.pushes if each.seq > last)
        chain.move(settled.end)
        if settled.whole:
            chain.go_live()

    for kind, count in events:
        for _ in range(count):
            clock += 1
            match kind:
                case "store" | "lose" | "late":
                    each = push(clock, kept[-1] if kept else 0)
                    kept.append(clock)
                    if kind == "store":
                        offer(each)
                    elif kind == "late":
                        late.append(each)
                case "read":
                    chain.catching_up = True
                    reading = read()
                case "settle":
                    for each in late:
                        offer(each)
                    late.clear()
                    if reading is not None:
                        settle(reading)
                        reading = None
                case _:
                    pass
    for each in late:
        offer(each)
    chain.catching_up = True
    while chain.catching_up:
        settle(read())
    assert handed == kept
