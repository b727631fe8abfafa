"""Whether to come back after a close, and when. Pure but for the dice, which are an argument."""

from collections.abc import Callable

from starwake.client.errors import NotAuthenticated, SessionEnded, SessionError
from starwake.client.frames import Bye
from starwake.contracts.frames import Position
from starwake.contracts.reasons import CloseCode

SHORTEST_S = 0.5
LONGEST_S = 20.0
FIRST_CEILING_S = 2.0
"""The ceiling of the first delay; it doubles with each failure in a row."""

STEADY_S = 10.0
"""A session that lasted this long ends the row of failures."""

PUNISHED_S = 5.0
"""The least wait after having been closed for too many commands."""

OUR_FAULT = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
"""Close codes (RFC 6455, 7.4.1) by which a server refuses what this client sends: repeating it would not help."""

Dice = Callable[[float, float], float]
"""Returns a number between two bounds, evenly spread: `random.uniform`."""


class Backoff:
    """Full jitter: a random delay below a ceiling that doubles, so that many clients do not come back at once."""

    def __init__(self, dice: Dice) -> None:
        self._dice = dice
        self._failures = 0
        self._resynced_at: Position | None = None

    def delay_s(self, *, punished: bool = False) -> float:
        """Seconds until the next try; counts a failure."""
        least_s = PUNISHED_S if punished else SHORTEST_S
        # The exponent is bounded: 2.0 ** 1100 would overflow after a night without a server.
        ceiling = min(LONGEST_S, FIRST_CEILING_S * 2.0 ** min(self._failures, 10))
        self._failures += 1
        return self._dice(least_s, max(ceiling, least_s))

    def lasted(self, seconds: float) -> None:
        """A session stood for so long."""
        if seconds >= STEADY_S:
            self._failures = 0

    def after_resync(self, position: Position | None) -> float:
        """Seconds to wait after this side hung up to resume from `position`.

        None the first time; later ones are spread, but grow only where the one before brought nothing on.
        """
        progress, self._resynced_at = position != self._resynced_at, position
        if not self._failures:
            self._failures = 1
            return 0.0
        return self._dice(SHORTEST_S, FIRST_CEILING_S) if progress else self.delay_s()

    def after_refusal(self, after_s: float | None) -> float:
        """Seconds to wait after no connection came about; `after_s` is the server's wish, in whole seconds: spread."""
        return self.delay_s() if after_s is None else after_s + self._dice(0.0, max(1.0, after_s / 2))

    def after_close(self, code: int | None, bye: Bye | None) -> float:
        """Seconds to wait after a close that asks to come back. The server's own wish counts, it is spread already."""
        if bye is not None and bye.reconnect_after_ms is not None:
            self._failures += 1
            return bye.reconnect_after_ms / 1000
        return self.delay_s(punished=code == CloseCode.TOO_MANY_COMMANDS)


def final_error(code: int | None, reason: str, bye: Bye | None) -> SessionError | None:
    """The error that a close means, or None where the client should come back."""
    if code is None:
        return None
    if code == CloseCode.INVALID_TOKEN:
        return NotAuthenticated(reason or "the server does not accept the token")
    applications_final = 4500 <= code < 5000  # noqa: PLR2004 - the range is the protocol's, section 5
    told_to_stop = bye is not None and not bye.reconnect
    if applications_final or told_to_stop or code in OUR_FAULT:
        return SessionEnded(code, reason)
    return None
