"""The server's clock, as far as it can be known from here. Pure.

Countdowns that run on it are right however wrong the machine's own clock is: only differences of the local
monotonic clock are used.
"""

from collections import deque
from datetime import UTC, datetime
from typing import NamedTuple

WINDOW = 16
"""Samples kept. The best of few recent ones, so that drift and a changed route are followed."""

ONE_WAY_ERROR_S = 1.0
"""Taken as the error of a time that came without a question: its way's length is not known, only that it is
rarely worse than this. Any measured round trip beats it."""


class _Sample(NamedTuple):
    error_s: float
    offset_s: float


class Clock:
    """Estimates the server's time from what frames say, preferring the sample with the shortest round trip.

    The estimate is Cristian's (1989): the server read its clock halfway between question and answer, and is off by
    half the round trip at most.
    """

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=WINDOW)
        self.round_trip_s: float | None = None

    def heard(self, server_time: datetime, received: float) -> None:
        """A time that came unasked, at `received` (monotonic seconds)."""
        self._samples.append(_Sample(ONE_WAY_ERROR_S, server_time.timestamp() - received))

    def asked(self, server_time: datetime, sent: float, received: float) -> None:
        """A time that answers a question sent at `sent` (monotonic seconds)."""
        self.round_trip_s = received - sent
        offset = server_time.timestamp() - (sent + received) / 2
        self._samples.append(_Sample(self.round_trip_s / 2, offset))

    def now(self, monotonic: float) -> datetime:
        """The server's time at `monotonic`; the machine's own before any frame has told a time."""
        if not self._samples:
            return datetime.now(UTC)
        best = min(self._samples, key=lambda sample: sample.error_s)
        same = [sample.offset_s for sample in self._samples if sample.error_s == best.error_s]
        # Of times that came unasked the largest offset travelled fastest, so it is nearest to the truth.
        return datetime.fromtimestamp(monotonic + max(same), UTC)
