"""How many pushes the listener can take, and when to fetch those that it could not. Pure.

Pushes beyond the capacity stay with the server: they are dropped here, and a resume brings them again once three
quarters of what waited are handled. Whoever only gives commands never listens, and is never disturbed for it.
"""

PATIENCE_S = 2.0
"""How long answers that are under way may put the resume off: it costs a connection, and they would be asked again."""


class Room:
    """The room in the listener's inbox.

    Attributes:
        lagging: whether pushes were left with the server since the connection began.
        resume_at: when to resume at the latest (monotonic seconds), None where there is no reason to.
    """

    def __init__(self, capacity: int) -> None:
        """Room for `capacity` pushes (at least 1)."""
        self._capacity = capacity
        self._waiting = 0
        self.lagging = False
        self.resume_at: float | None = None

    def take(self) -> bool:
        """One more push wants in; whether there is room, and if not, all that follow are left out, too."""
        if self.lagging or self._waiting >= self._capacity:
            self.lagging = True
            return False
        self._waiting += 1
        return True

    def handled(self, now: float) -> None:
        """One was taken out."""
        self._waiting -= 1
        if self.lagging and self.resume_at is None and self._waiting <= self._capacity // 4:
            self.resume_at = now + PATIENCE_S

    def due(self, now: float, *, idle: bool) -> bool:
        """Whether to resume now; `idle` where no answer is under way."""
        return self.resume_at is not None and (idle or now >= self.resume_at)

    def connect(self) -> None:
        """A connection ends or begins: what was left out comes by its resume."""
        self.lagging = False
        self.resume_at = None
