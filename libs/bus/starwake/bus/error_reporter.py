"""What the connection complains of: counted, and logged without flooding the log."""

import re
from collections.abc import Callable

from nats import errors as nats_errors

from starwake.bus.metrics import ERRORS, SLOW_CONSUMERS
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_log = get_logger("bus")
_DENIED = re.compile(r"permissions violation for (publish|subscription)s? to \"(.*?)\"", re.IGNORECASE | re.DOTALL)


class ErrorReporter:
    """The errors of one connection.

    Attributes:
        last: the latest one, in words.
    """

    def __init__(self, on_denied: Callable[[str, str], None]) -> None:
        self.last = ""
        self._on_denied = on_denied
        self._sparing = RateLimitedLogger(_log)

    def from_server(self, text: str) -> None:
        """The server has sent `-ERR`."""
        lowered = text.lower()
        if "permissions violation" in lowered:
            kind = "permissions_violation"
        elif "slow consumer" in lowered:
            kind = "slow_consumer"
            SLOW_CONSUMERS.inc()
        elif "authorization" in lowered or "authentication" in lowered:
            kind = "authorization"
        else:
            kind = "server"
        self._note(kind, text)
        denied = _DENIED.search(text)
        if denied:
            self._on_denied(denied[2], text)

    async def from_client(self, error: Exception) -> None:
        """nats-py has met with `error`: a lost connection, a failed attempt to connect."""
        if isinstance(error, nats_errors.SlowConsumerError):
            kind = "slow_consumer"
            SLOW_CONSUMERS.inc()
        elif "authorization" in str(error).lower():
            kind = "authorization"
        elif isinstance(error, OSError | TimeoutError | nats_errors.StaleConnectionError):
            kind = "connection"
        else:
            kind = "client"
        self._note(kind, str(error) or type(error).__name__)

    def _note(self, kind: str, text: str) -> None:
        ERRORS.labels(kind=kind).inc()
        self.last = text
        self._sparing.warning("bus.trouble", kind=kind, trouble=kind, error=text)
