"""Publishes with a span for each push that belongs to a trace."""

from collections.abc import Sequence

import msgspec
from opentelemetry.trace import SpanKind, Status, StatusCode
from typing_extensions import override

from starwake.bus.errors import BusError
from starwake.bus.notifications import Notifier
from starwake.bus.publish import JetStreamPublisher, PublishResult
from starwake.contracts.events import Notification, event_name
from starwake.runtime import tracing as traces
from starwake.runtime.tracing import Tracing


class TracedNotifier(Notifier):
    """A `Notifier` whose pushes bear the context of the span in which they were stored."""

    def __init__(self, publisher: JetStreamPublisher, tracing: Tracing) -> None:
        super().__init__(publisher)
        self._tracing = tracing

    @override
    async def publish(self, notifications: Sequence[Notification]) -> list[PublishResult]:
        """As `Notifier.publish`."""
        spans = {
            place: self._tracing.begin(
                f"publish {event_name(each.body)}",
                parent=each.trace,
                kind=SpanKind.PRODUCER,
                attributes={
                    traces.MESSAGE_ID: each.message_id,
                    traces.ROW_ID: each.message_id.partition(".")[0],
                    traces.PLAYER: each.player or traces.EVERYBODY,
                },
            )
            for place, each in enumerate(notifications)
            if each.trace is not None
        }
        if not spans:
            return await super().publish(notifications)
        marked = list(notifications)
        for place, span in spans.items():
            marked[place] = msgspec.structs.replace(marked[place], trace=traces.traceparent_of(span))
        try:
            results = await super().publish(marked)
            for place, span in spans.items():
                result = results[place]
                if isinstance(result, BusError):
                    span.set_status(Status(StatusCode.ERROR, str(result)))
                else:
                    span.set_attribute(traces.SEQ, result.seq)
        finally:
            for span in spans.values():
                span.end()
        return results
