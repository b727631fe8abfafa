"""Prometheus conventions of the house: units in the name, buckets that fit what is measured."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from typing import Final, Protocol, cast

import prometheus_client
from prometheus_client.samples import Sample

# Lateness and delays: from half a millisecond, where the goals lie, to a minute, where an outage shows.
LATENESS_SECONDS: Final = (
    *(0.0005, 0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0),
)
# Requests and commands: seconds from frame to answer.
REQUEST_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
# Sizes of batches, in items.
BATCH_ITEMS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

_GATHERED: Final = 1000


class _Value(Protocol):
    def inc(self, amount: float) -> None: ...


class Histogram(prometheus_client.Histogram):
    """prometheus_client's, for what is observed with every message: gathered, and counted by the thousand or when read.

    To append costs a sixth of counting at once. For one thread.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self._gathered: list[float] = []

    def observe(self, amount: float, exemplar: dict[str, str] | None = None) -> None:
        """Note a value."""
        del exemplar  # nobody here has one
        self._gathered.append(amount)
        if len(self._gathered) >= _GATHERED:
            self._count()

    def _child_samples(self) -> Iterable[Sample]:
        self._count()
        return super()._child_samples()

    def _count(self) -> None:
        gathered, self._gathered = self._gathered, []
        if not gathered:
            return
        bounds = self._upper_bounds
        buckets, total = cast("list[_Value]", self._buckets), cast("_Value", self._sum)
        for place, times in Counter([bisect_left(bounds, amount) for amount in gathered]).items():
            buckets[place].inc(times)
        total.inc(sum(gathered))
