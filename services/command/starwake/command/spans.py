"""Spans of what the command service does for a caller, as parts of the caller's trace."""

from collections.abc import Iterable

from opentelemetry.trace import Span, SpanKind

from starwake.bus.message import Message
from starwake.game.requests import Request
from starwake.runtime import tracing as traces
from starwake.runtime.tracing import TRACEPARENT, Tracing


def trace_of(call: Message) -> str | None:
    """The trace that a call says it belongs to; anybody may have written it."""
    return call.headers.get(TRACEPARENT) if call.raw_headers else None


def begin(tracing: Tracing, call: Message, name: str) -> Span:
    """The span in which `call` is answered."""
    return tracing.begin(name, parent=trace_of(call), kind=SpanKind.SERVER)


def describe(span: Span, request: Request) -> None:
    """Say what `span` is about, now that it is known: by ids alone."""
    span.update_name(f"order {request.order.command}")
    span.set_attribute(traces.PLAYER, request.player)
    span.set_attribute(traces.COMMAND, request.order.command)
    span.set_attribute(traces.COMMAND_ID, request.command_id)


def end(span: Span, outcome: str, follows: Iterable[str] = ()) -> None:
    """It is answered.

    Args:
        span: of the call.
        outcome: how it ended.
        follows: the traces of earlier orders whose builds this one changed or started.
    """
    span.set_attribute(traces.OUTCOME, outcome)
    for trace in follows:
        traces.add_link(span, trace)
    span.end()
