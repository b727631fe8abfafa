"""PURE: estimates what the database's clock shows from a few readings, never ahead of it.

A reading says that at some moment between `before` and `after` (this host's monotonic clock) the database's clock
showed `shown`. So at `after` the database's clock shows at least `shown`, and at `before` it showed at most that. The
first bound is what is used: a push that waits for it goes out late by the shortest round trip at most, and never early.
"""

from collections import deque

DRIFT = 0.0002
"""How much two clocks may drift apart, in seconds a second: what ntpd allows itself to slew is 0.0005, crystals do a
tenth of that. An old reading counts less by this."""

READINGS = 16


class ClockEstimate:
    """The offset of the database's clock (seconds since the epoch) to this host's monotonic clock."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, float]] = deque(maxlen=READINGS)  # (offset at least, measured at)

    @property
    def measured(self) -> bool:
        """Whether there was any reading."""
        return bool(self._readings)

    def add(self, before: float, shown: float, after: float) -> bool:
        """Take a reading; whether it contradicts the ones before, so that these were dropped: a clock was set."""
        at_least, at_most = shown - after, shown - before
        stepped = bool(self._readings) and not self.offset(after) <= at_most + DRIFT
        # A step ahead shows as a bound that a plain round trip cannot explain.
        if self._readings and at_least > self.offset(after) + 0.5:
            stepped = True
        if stepped:
            self._readings.clear()
        self._readings.append((at_least, after))
        return stepped

    def offset(self, at: float) -> float:
        """The greatest lower bound of the offset, at the monotonic moment `at`.

        Raises:
            ValueError: nothing was measured yet.
        """
        return max(offset - (at - measured) * DRIFT for offset, measured in self._readings)
