"""Publishes events into the stream of the players' feeds."""

from collections.abc import Sequence

from starwake.bus.headers import encode_headers
from starwake.bus.message import Outgoing
from starwake.bus.publish import JetStreamPublisher, PublishResult
from starwake.contracts import subjects
from starwake.contracts.events import Notification


class Notifier:
    """Stores notifications in the players' feeds; from there they are republished to the gateways."""

    def __init__(self, publisher: JetStreamPublisher, *, timeout_s: float = 5.0) -> None:
        self._publisher = publisher
        self._timeout_s = timeout_s

    async def publish(self, notifications: Sequence[Notification]) -> list[PublishResult]:
        """Store `notifications` in their order; how each one ended, in the same order.

        Once one has failed, those that were not sent yet fail with it, so that none overtakes another of the same
        player. One that was stored before, within the stream's duplicate window, ends as a duplicate.

        Raises:
            BusUnavailable: too much waits for its turn already.
        """
        items = [Outgoing(subjects.notify(each.player), each.body, _headers(each)) for each in notifications]
        return await self._publisher.publish_many(items, timeout_s=self._timeout_s, ordered=True)


def _headers(notification: Notification) -> bytes:
    if notification.trace is None:
        return encode_headers({"Nats-Msg-Id": notification.message_id})
    return encode_headers({"Nats-Msg-Id": notification.message_id, "traceparent": notification.trace})
