"""PURE: how much to ask of a server at once, by how fast it answers (AIMD, as TCP does it: RFC 5681, 3.1)."""


class Pace:
    """A size between two bounds: one step more for each full round of quick answers, half for a slow one or none.

    Attributes:
        size: how much may be asked for now.
    """

    __slots__ = ("_least", "_most", "_patience_s", "_shrunk_at", "_step", "size")

    def __init__(self, least: int, most: int, *, patience_s: float, step: int = 1, begin: int | None = None) -> None:
        """A pace that begins at `begin` (the least without).

        Args:
            least: never below.
            most: never above.
            patience_s: an answer within so many seconds is quick.
            step: by how much it grows.
            begin: where it begins.
        """
        self._least = least
        self._most = most
        self._patience_s = patience_s
        self._step = step
        self._shrunk_at = float("-inf")
        self.size = least if begin is None else begin

    def answered(self, asked_at: float, now: float) -> None:
        """An answer to what was asked at `asked_at` came `now` (monotonic seconds)."""
        if now - asked_at > self._patience_s:
            self.failed(asked_at, now)
        else:
            self.size = min(self._most, self.size + self._step)

    def failed(self, asked_at: float, now: float) -> None:
        """No answer came; what was asked before the last shrinking says nothing about the present size."""
        if asked_at >= self._shrunk_at:
            self._shrunk_at = now
            self.size = max(self._least, self.size // 2)
