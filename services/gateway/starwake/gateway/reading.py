"""PURE: whether many players' histories are read one by one or in one go, and how long that will take.

What one player's history costs the server is not the pushes in it: to find the next message on one subject nats-server
looks at every message in between (filestore, `firstMatching`). Where many players come back at once, reading the whole
stretch of the stream once, everybody's pushes, costs far less than as many searches through it.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

MAX_TOGETHER: Final = 8192
"""Players whose histories are read in one go: what is read for them is held until it is whole."""

_READ: Final = 80
"""What a message that is read and sent costs beside one that is only looked at."""
_REQUEST: Final = 2_000
"""What a request costs on the same scale."""
_FAR: Final = 1 << 21
"""Messages that are looked at for one history at most: blocks without the subject are skipped."""
_NEAR: Final = 4_096
"""Messages after a position that are looked at within a fraction of a millisecond."""


def together_from(lows: Sequence[int], end: int) -> int | None:
    """From which sequence on the stream is read for everybody who stands there or later; None: all one by one.

    Args:
        lows: from where each player's history is needed, in ascending order.
        end: up to where.
    """
    alone = [_alone(low, end) for low in lows]
    best = sum(alone)
    begin: int | None = None
    before = 0
    for low, own in zip(lows, alone, strict=True):
        cost = before + _together(low, end)
        if cost < best:
            best, begin = cost, low
        before += own
    return begin


def pays(lows: Iterable[int], begin: int, end: int) -> bool:
    """Whether reading from `begin` to `end` once costs less than one history for each of `lows`, up to `end`."""
    return _together(begin, end) < sum(_alone(low, end) for low in lows)


def is_near(low: int, end: int) -> bool:
    """Whether one history from `low` on costs so little that it does not have to wait for others."""
    return end - low <= _NEAR


def _alone(low: int, end: int) -> int:
    return min(max(end - low, 0), _FAR) + _REQUEST


def _together(begin: int, end: int) -> int:
    return _READ * max(end - begin, 0) + _REQUEST


def expected_wait_s(*, left: int, waiting: int, span: int, per_s: float, alone_s: float) -> float:
    """Seconds until one more history will be there.

    Args:
        left: sequences that the reading under way has yet to go.
        waiting: players who wait for the next one.
        span: sequences over which theirs lie.
        per_s: sequences that are read in a second.
        alone_s: what reading theirs one by one takes for each, at the present pace.
    """
    together = math.ceil(waiting / MAX_TOGETHER) * span / per_s
    return left / per_s + min(together, waiting * alone_s)
