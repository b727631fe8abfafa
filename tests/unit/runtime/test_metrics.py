"""What is gathered before it is counted is told as if it were counted at once."""

import prometheus_client
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from starwake.runtime.metrics import REQUEST_SECONDS, Histogram

_values = st.one_of(st.sampled_from((0.0, *REQUEST_SECONDS)), st.floats(0, 20))


def told(kind: type[prometheus_client.Histogram], values: list[float]) -> dict[str, float]:
    registry = CollectorRegistry()
    histogram = kind("some_seconds", "Some", buckets=REQUEST_SECONDS, registry=registry)
    for value in values:
        histogram.observe(value)
    lines = [line.rpartition(" ") for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    return {name: float(value) for name, _, value in lines if "_created" not in name}


@given(st.lists(_values, max_size=50))
def test_it_tells_what_the_librarys_own_tells(values: list[float]) -> None:
    assert told(Histogram, values) == pytest.approx(told(prometheus_client.Histogram, values))


def test_it_holds_no_more_than_it_is_allowed_to_between_two_readings() -> None:
    values = [number / 1000 for number in range(5_000)]
    assert told(Histogram, values) == pytest.approx(told(prometheus_client.Histogram, values))


def test_what_is_read_twice_is_counted_once() -> None:
    registry = CollectorRegistry()
    histogram = Histogram("some_seconds", "Some", registry=registry)
    histogram.observe(1.5)
    assert [registry.get_sample_value("some_seconds_count") for _ in range(2)] == [1.0, 1.0]
