"""Log lines that players, strangers or a game's own code can cause at will: a few of each kind, then a count.

What is left out is not lost: whoever causes such lines is counted in a metric too.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from structlog.typing import FilteringBoundLogger

BURST: Final = 5
EVERY_S: Final = 60.0
_MOST_KINDS: Final = 256


class RateLimitedLogger:
    """A logger that writes `burst` lines of a kind and then one each `every_s` seconds, with the number left out.

    A kind is the event's name and, where one event has several, `kind`: a command, say, and never what a stranger may
    choose freely. There are 256 kinds at most; the ones not seen for longest are forgotten.

    Args:
        logger: writes the lines.
        burst: how many lines of a kind are written at once.
        every_s: after how many seconds another one is.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        logger: "FilteringBoundLogger",
        *,
        burst: int = BURST,
        every_s: float = EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger = logger
        self._burst = burst
        self._every_s = every_s
        self._clock = clock
        self._kinds: OrderedDict[tuple[str, str], _Kind] = OrderedDict()

    def info(self, event: str, *, kind: str = "", **fields: object) -> None:
        """As the logger's own, sparingly."""
        if (more := self._admitted(event, kind)) is not None:
            self._logger.info(event, **fields, **more)

    def warning(self, event: str, *, kind: str = "", **fields: object) -> None:
        """As the logger's own, sparingly."""
        if (more := self._admitted(event, kind)) is not None:
            self._logger.warning(event, **fields, **more)

    def error(self, event: str, *, kind: str = "", **fields: object) -> None:
        """As the logger's own, sparingly; an exception's traceback goes into `exc_info`."""
        if (more := self._admitted(event, kind)) is not None:
            self._logger.error(event, **fields, **more)

    def exception(self, event: str, *, kind: str = "", **fields: object) -> None:
        """An error with the traceback of the exception that is being handled, sparingly."""
        self.error(event, kind=kind, **{"exc_info": True, **fields})

    def _admitted(self, event: str, kind: str) -> dict[str, int] | None:
        """What the line says besides, or None where it is left out."""
        now = self._clock()
        key = (event, kind)
        seen = self._kinds.get(key)
        if seen is None:
            seen = self._kinds[key] = _Kind(float(self._burst), now)
            if len(self._kinds) > _MOST_KINDS:
                self._kinds.popitem(last=False)
        self._kinds.move_to_end(key)
        seen.tokens = min(float(self._burst), seen.tokens + (now - seen.at) / self._every_s)
        seen.at = now
        if seen.tokens < 1:
            seen.left_out += 1
            return None
        seen.tokens -= 1
        left_out, seen.left_out = seen.left_out, 0
        return {"left_out": left_out} if left_out else {}


class _Kind:
    __slots__ = ("at", "left_out", "tokens")

    def __init__(self, tokens: float, at: float) -> None:
        self.tokens = tokens
        self.at = at
        self.left_out = 0
