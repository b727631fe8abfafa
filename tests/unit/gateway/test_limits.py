"""The token bucket, the crowd of one player's connections, the timer wheel."""

from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.contracts.frames import Command
from starwake.gateway.crowd import ROLL_CALL_S, Crowd, Present
from starwake.gateway.limits import TokenBucket, tokens_of
from starwake.gateway.timers import RESOLUTION_S, TimerWheel


def test_a_bucket_lets_a_burst_through_and_then_its_rate() -> None:
    bucket = TokenBucket(10, 3, 0.0)
    assert [bucket.take(0.0) for _ in range(3)] == [0, 0, 0]
    assert bucket.take(0.0) == 0.1
    assert bucket.take(0.1) == 0
    assert bucket.take(0.1) > 0


@given(st.lists(st.floats(0, 2), max_size=100), st.floats(0.5, 50), st.integers(1, 20))
def test_a_bucket_never_lets_more_through_than_burst_and_rate_allow(
    pauses: list[float], per_s: float, burst: int
) -> None:
    bucket, now, granted = TokenBucket(per_s, burst, 0.0), 0.0, 0
    for pause in pauses:
        now += pause
        granted += bucket.take(now) == 0
    assert granted <= burst + now * per_s + 1e-6


@pytest.mark.parametrize(
    ("command", "args", "tokens"),
    [
        ("build.list", b"{}", 1),
        ("build.list", b'{"limit":100}', 1),
        ("build.list", b'{"limit":101}', 2),
        ("build.list", b'{"state":"building","limit":500}', 5),
        ("build.list", b'{"limit":"many"}', 1),
        ("build.list", b'{"limit":-7}', 1),
        ("build.start", b'{"limit":500}', 1),
    ],
)
def test_a_list_costs_a_token_for_each_hundred_rows_that_it_asks_for(command: str, args: bytes, tokens: int) -> None:
    assert tokens_of(Command(command, "c1", msgspec.Raw(args))) == tokens


def test_what_costs_more_waits_until_all_of_it_is_there() -> None:
    bucket = TokenBucket(10, 6, 0.0)
    assert bucket.take(0.0, 5) == 0
    assert bucket.take(0.0, 5) == 0.4
    assert bucket.take(0.0) == 0
    assert bucket.take(10.0, 1000) == 0


def test_refusals_are_forgotten_once_the_bucket_is_full_again() -> None:
    bucket = TokenBucket(1, 1, 0.0)
    bucket.take(0.0)
    bucket.take(0.0)
    assert bucket.refusals == 1
    bucket.take(10.0)
    assert bucket.refusals == 0


def test_the_oldest_of_all_gateways_connections_are_one_too_many() -> None:
    crowd = Crowd()
    crowd.hear(Present("other", ("01", "04")), now=0.0)
    assert crowd.to_evict(["02", "03"], limit=3, now=0.1) == []
    assert crowd.to_evict(["00", "02", "03"], limit=4, now=0.1) == ["00"]


def test_every_gateway_ends_its_own_and_together_they_end_just_enough() -> None:
    here, there = Crowd(), Crowd()
    mine, theirs = ["01", "04", "05"], ["02", "03", "06"]
    here.hear(Present("there", tuple(theirs)), now=0.0)
    there.hear(Present("here", tuple(mine)), now=0.0)
    assert here.to_evict(mine, 3, 0.0) == ["01"]
    assert there.to_evict(theirs, 3, 0.0) == ["02", "03"]


def test_a_gateway_that_has_gone_silent_does_not_count() -> None:
    crowd = Crowd()
    crowd.hear(Present("dead", ("03", "04", "05")), now=0.0)
    assert crowd.to_evict(["01", "02"], limit=2, now=ROLL_CALL_S + 0.1) == []


@dataclass(eq=False)
class Item:
    slot: int | None = None
    ticks: list[float] = field(default_factory=list[float])

    def tick(self, now: float) -> None:
        self.ticks.append(now)


def test_an_item_is_ticked_once_its_moment_has_passed_and_never_early() -> None:
    wheel, item = TimerWheel(0.0), Item()
    wheel.put(item, 1.0)
    wheel.advance(0.99)
    assert item.ticks == []
    wheel.advance(1.0 + RESOLUTION_S)
    assert len(item.ticks) == 1
    wheel.advance(10.0)
    assert len(item.ticks) == 1


def test_a_newer_wish_replaces_an_older_one() -> None:
    wheel, item = TimerWheel(0.0), Item()
    wheel.put(item, 1.0)
    wheel.put(item, 5.0)
    wheel.advance(4.0)
    assert item.ticks == []
    wheel.put(item, 4.5)
    wheel.advance(4.9)
    assert item.ticks == [4.9]


def test_an_item_that_was_removed_is_not_ticked() -> None:
    wheel, item = TimerWheel(0.0), Item()
    wheel.put(item, 1.0)
    wheel.remove(item)
    wheel.advance(5.0)
    assert item.ticks == []


def test_a_moment_in_the_past_comes_with_the_next_turn() -> None:
    wheel, item = TimerWheel(100.0), Item()
    wheel.put(item, 1.0)
    wheel.advance(100.0 + RESOLUTION_S)
    assert len(item.ticks) == 1
