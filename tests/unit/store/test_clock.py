"""The database's clock, estimated from a few readings, never ahead of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from starwake.store.clock_estimate import DRIFT, ClockEstimate

TRUE_OFFSET = 1_000_000.0
delays = st.floats(0.0001, 0.2)


@given(st.lists(st.tuples(delays, delays, st.floats(0.01, 5.0)), min_size=1, max_size=40))
def test_the_estimate_is_never_ahead_and_behind_by_the_shortest_way_back_at_most(
    readings: list[tuple[float, float, float]],
) -> None:
    estimate = ClockEstimate()
    at = 0.0
    for out, back, pause in readings:
        at += pause
        assert not estimate.add(at, at + out + TRUE_OFFSET, at + out + back)
        at += out + back
        offset = estimate.offset(at)
        assert offset <= TRUE_OFFSET + 1e-6
    recent = [back for _, back, _ in readings[-16:]]
    age = sum(out + back + pause for out, back, pause in readings[-16:])
    assert estimate.offset(at) >= TRUE_OFFSET - min(recent) - age * DRIFT - 1e-6


def test_a_clock_that_is_set_back_is_followed_at_once() -> None:
    estimate = ClockEstimate()
    estimate.add(0.0, TRUE_OFFSET, 0.001)
    assert estimate.add(1.0, 1.0 + TRUE_OFFSET - 30, 1.001), "said to have stepped"
    assert estimate.offset(1.001) == pytest.approx(TRUE_OFFSET - 30, abs=0.002)


def test_a_clock_that_is_set_ahead_is_followed_at_once() -> None:
    estimate = ClockEstimate()
    estimate.add(0.0, TRUE_OFFSET, 0.001)
    assert estimate.add(1.0, 1.0 + TRUE_OFFSET + 30, 1.001)
    assert estimate.offset(1.001) == pytest.approx(TRUE_OFFSET + 30, abs=0.002)


def test_a_slow_answer_is_no_step() -> None:
    estimate = ClockEstimate()
    estimate.add(0.0, TRUE_OFFSET, 0.001)
    assert not estimate.add(1.0, 1.0 + TRUE_OFFSET, 4.0)
    assert estimate.offset(4.0) == pytest.approx(TRUE_OFFSET, abs=0.01)
