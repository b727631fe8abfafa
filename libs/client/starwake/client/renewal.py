"""When a token is to be renewed. Pure.

Renewed ahead of time, a session outlives its tokens without a break. A renewal that fails is tried again; when the
token expires all the same, the server closes with 4005, and the next connection asks for a token anyway.
"""

AHEAD_S = 60.0
SHARE = 0.25
"""A token is renewed 60 s before it expires, or when a quarter of its life is left if that is shorter."""

LEAST_S = 1.0
"""The least between two renewals: a provider that hands out the same token again is not asked in a tight loop."""

AGAIN_S = 5.0
"""The wait after a renewal that failed."""

PATIENCE_S = 20.0
"""How long provider and server together may take over one renewal before it counts as failed."""


class Renewal:
    """The timing of one connection's renewals; all times are monotonic seconds.

    Attributes:
        at: when the next renewal begins; None where there is none to come.
        id: the id of the `auth.refresh` that is under way, or None.
    """

    def __init__(self, *, possible: bool) -> None:
        """Renewals are `possible` where there is a provider to ask."""
        self._possible = possible
        self.at: float | None = None
        self.id: str | None = None

    def plan(self, left_s: float | None, now: float, *, again: bool) -> None:
        """The present token holds for `left_s` more seconds (None: for ever); `again` where it was renewed just now."""
        self.id = None
        if left_s is None or not self._possible:
            self.at = None
            return
        wait_s = left_s - min(AHEAD_S, left_s * SHARE)
        self.at = now + max(LEAST_S if again else 0.0, wait_s)

    def due(self, now: float) -> bool:
        """Whether to ask for a token now; the next call to do so comes only after this one had its time."""
        if self.at is None or now < self.at:
            return False
        self.at = now + PATIENCE_S
        return True

    def failed(self, now: float) -> None:
        """No token, or one that the server refused."""
        self.id = None
        self.at = now + AGAIN_S

    def stop(self) -> None:
        """The connection ends."""
        self.at = self.id = None
