"""Spans of live pushes: from their coming from the bus to their being written to the sockets."""

from collections.abc import Callable, Sized

from opentelemetry.trace import SpanKind

from starwake.bus.feed import LivePush
from starwake.contracts.events import event_name
from starwake.contracts.ids import PlayerId
from starwake.runtime import tracing as traces
from starwake.runtime.tracing import Tracing


def traced(
    tracing: Tracing, player: PlayerId | None, listeners: Sized, handler: Callable[[LivePush], None]
) -> Callable[[LivePush], None]:
    """`handler`, with a span around it for each push that belongs to a trace.

    Args:
        tracing: where spans go.
        player: whose feed; None is everybody's.
        listeners: whom a push is written to.
        handler: what is done with a push.
    """

    def handle(live: LivePush) -> None:
        if live.trace is None:
            handler(live)
            return
        span = tracing.begin(
            f"push {event_name(live.body)}",
            parent=live.trace,
            kind=SpanKind.CONSUMER,
            attributes={
                traces.MESSAGE_ID: live.message_id,
                traces.ROW_ID: live.message_id.partition(".")[0],
                traces.PLAYER: player or traces.EVERYBODY,
                traces.SEQ: live.seq,
                traces.SOCKETS: len(listeners),
            },
        )
        try:
            handler(live)
        finally:
            span.end()

    return handle
