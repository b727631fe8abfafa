"""A subscription of this process."""

from collections.abc import Callable

from starwake.bus.message import Message
from starwake.bus.metrics import ERRORS
from starwake.bus.wire import WireClient
from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_sparing = RateLimitedLogger(get_logger("bus"))


class Subscription:
    """A subject's messages, handed to a synchronous handler straight from the read loop; survives reconnects.

    Attributes:
        subject: what is listened to, wildcards included.
    """

    __slots__ = ("_client", "_handler", "_sid", "subject")

    def __init__(self, client: WireClient, subject: str, queue: str, handler: Callable[[Message], None]) -> None:
        self.subject = subject
        self._client = client
        self._handler = handler
        self._sid = client.add_subscription(subject, queue, self).sid

    def deliver(self, message: Message) -> None:
        """Hand `message` to the handler; what it raises is logged and counted, for the read loop has to go on."""
        try:
            self._handler(message)
        except Exception:  # noqa: BLE001 - one handler's fault must not end everybody's read loop
            ERRORS.labels(kind="handler").inc()
            _sparing.exception(
                "bus.handler_failed", kind=self.subject, subject=message.subject, subscription=self.subject
            )

    def unsubscribe(self) -> None:
        """End it: nothing is delivered after this; idempotent, does not block."""
        self._client.remove_subscription(self._sid)
