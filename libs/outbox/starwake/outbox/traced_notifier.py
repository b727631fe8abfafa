"""Telling with a span for each push that belongs to a trace."""

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
    async def tell(self, notifications: Sequence[Notification]) -> list[PublishResult]:
        """As `Notifier.tell`."""
        spans = {
            place: self._tracing.begin(
                f"tell {event_name(told.body)}",
                parent=told.trace,
                kind=SpanKind.PRODUCER,
                attributes={
                    traces.MESSAGE_ID: told.message_id,
                    traces.ROW_ID: told.message_id.partition(".")[0],
                    traces.PLAYER: told.player or traces.EVERYBODY,
                },
            )
            for place, told in enumerate(notifications)
            if told.trace is not None
        }
        if not spans:
            return await super().tell(notifications)
        marked = list(notifications)
        for place, span in spans.items():
            marked[place] = msgspec.structs.replace(marked[place], trace=traces.traceparent_of(span))
        try:
            results = await super().tell(marked)
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
