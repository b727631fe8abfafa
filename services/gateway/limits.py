"""PURE: what one connection may ask of this gateway, and the bucket that paces its commands."""

import msgspec


class ConnectionLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Every bound on one connection; each is a setting of the gateway (`settings.py` has the meanings and defaults).

    Times are in seconds.
    """

    max_frame_bytes: int = 65_536
    commands_per_s: float = 10.0
    burst: int = 20
    abuse_refusals: int = 100
    max_in_flight: int = 64
    max_bad_frames: int = 20
    authentication_s: float = 10.0
    token_grace_s: float = 25.0
    ping_interval_s: float = 25.0
    max_outbox_bytes: int = 1_048_576
    max_outbox_pushes: int = 512
    stuck_write_s: float = 5.0


class TokenBucket:
    """Lets `burst` commands through at once and `per_s` over time.

    Attributes:
        refusals: how many were refused since the bucket was last full, that is, since the client last calmed down.
    """

    __slots__ = ("_burst", "_filled_at", "_level", "_per_s", "refusals")

    def __init__(self, per_s: float, burst: int, now: float) -> None:
        self._per_s = per_s
        self._burst = float(burst)
        self._level = float(burst)
        self._filled_at = now
        self.refusals = 0

    def take(self, now: float) -> float:
        """Take one at `now` (monotonic seconds): 0 if there is one, otherwise the seconds until there will be."""
        level = self._level + (now - self._filled_at) * self._per_s
        if level >= self._burst:
            level = self._burst
            self.refusals = 0
        self._filled_at = now
        if level >= 1:
            self._level = level - 1
            return 0.0
        self._level = level
        self.refusals += 1
        return (1 - level) / self._per_s
