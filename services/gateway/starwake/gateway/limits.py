"""PURE: what one connection may ask of this gateway, and the bucket that paces its commands."""

from typing import Final

import msgspec

from starwake.contracts.frames import Command

ROWS_A_TOKEN: Final = 100
"""A command that names a `limit` costs a token for each hundred rows that it asks for."""


class _Paged(msgspec.Struct):
    limit: int = 1


_paged_decoder: Final = msgspec.json.Decoder(_Paged)


def tokens_of(command: Command) -> int:
    """What a command costs: 1, but for lists, whose `limit` says how much is asked for (500 rows: 5)."""
    if not command.command.endswith(".list"):
        return 1
    try:
        limit = _paged_decoder.decode(command.args).limit
    except (msgspec.DecodeError, RecursionError):  # the command service says what is wrong with it
        return 1
    return max(1, -(-limit // ROWS_A_TOKEN))


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

    def take(self, now: float, tokens: int = 1) -> float:
        """Take `tokens`, the whole burst at most, at `now` (monotonic seconds).

        Returns:
            0 if they are there, otherwise the seconds until they will be; none are taken then.
        """
        wanted = min(tokens, self._burst)
        level = self._level + (now - self._filled_at) * self._per_s
        if level >= self._burst:
            level = self._burst
            self.refusals = 0
        self._filled_at = now
        if level >= wanted:
            self._level = level - wanted
            return 0.0
        self._level = level
        self.refusals += 1
        return (wanted - level) / self._per_s
