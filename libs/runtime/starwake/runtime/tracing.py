"""OpenTelemetry tracing, off unless an exporter is configured.

The trace context (W3C Trace Context, `traceparent`) travels in message headers, in the rows and in the alarms, so that
a frame that comes in leads to the push that goes out days later. What happens at once continues a trace; what happens
days later begins a new one and links to the one before, since no backend keeps a trace open so long.

While tracing is off, whoever could begin a span looks at `enabled` and does nothing else.
"""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanContext, SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from starwake.runtime.settings import TracingSettings

TRACEPARENT: Final = "traceparent"

PLAYER: Final = "starwake.player"
"""A player's id; EVERYBODY where it is about the feed that everybody has."""
EVERYBODY: Final = "*"
COMMAND: Final = "starwake.command"
COMMAND_ID: Final = "starwake.command_id"
OUTCOME: Final = "starwake.outcome"
"""How a command ended: `accepted`, `repeated`, `ok` or an error code."""
ROW_ID: Final = "starwake.row_id"
"""A build's or a world event's id: by it all spans of one row are found, however long its life."""
REVISION: Final = "starwake.revision"
MESSAGE_ID: Final = "starwake.message_id"
SEQ: Final = "starwake.seq"
SOCKETS: Final = "starwake.sockets"

_STANDARD_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_propagator: Final = TraceContextTextMapPropagator()


class Tracing:
    """Tracing of one process; made by the composition root."""

    def __init__(self, provider: "TracerProvider | None") -> None:
        self._provider = provider
        self._tracer = (provider or trace.NoOpTracerProvider()).get_tracer("starwake")
        self.enabled: Final = provider is not None
        """Whether spans are recorded and exported."""

    def begin(
        self,
        name: str,
        *,
        parent: str | None = None,
        links: Iterable[str] = (),
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Span:
        """Begin a span; whoever began it ends it. One that is never ended is never exported.

        Args:
            name: what happens, of a small set of names.
            parent: the `traceparent` of the span that this one belongs to; without one a new trace begins.
            links: those of spans that it follows from, of other traces. What links to a sampled span is sampled.
            kind: whether it serves or sends a message.
            attributes: ids, and nothing else about players.
        """
        context = Context() if parent is None else _propagator.extract({TRACEPARENT: parent}, Context())
        return self._tracer.start_span(name, context, kind, attributes, _links(links))

    def shutdown(self) -> None:
        """Export what is still buffered, and stop."""
        if self._provider is not None:
            self._provider.shutdown()


def traceparent_of(span: Span) -> str:
    """A span's context for a message's header, sampled or not: who gets it does not begin a trace of its own then."""
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def trace_to_keep(span: Span) -> str | None:
    """The same for a row; None where the span is not sampled, so that nothing is kept of what nobody will see."""
    return traceparent_of(span) if span.get_span_context().trace_flags.sampled else None


def current_trace() -> str | None:
    """That of the span in whose `use_span` this is called; None where there is none, or it is not sampled."""
    return trace_to_keep(trace.get_current_span())


def add_link(span: Span, traceparent: str) -> None:
    """Link `span` to one that it follows from."""
    for link in _links((traceparent,)):
        span.add_link(link.context)


def _links(traceparents: Iterable[str]) -> list[Link]:
    contexts = [_context_of(each) for each in traceparents]
    return [Link(context) for context in contexts if context.is_valid]


def _context_of(traceparent: str) -> SpanContext:
    return trace.get_current_span(_propagator.extract({TRACEPARENT: traceparent}, Context())).get_span_context()


OFF: Final = Tracing(None)


def configure_tracing(service: str, settings: "TracingSettings") -> Tracing:
    """Start exporting spans over OTLP/HTTP where an endpoint is configured; otherwise tracing stays off."""
    if settings.otlp_endpoint is None and not any(os.environ.get(name) for name in _STANDARD_VARIABLES):
        return OFF
    # The SDK and the exporter take half a second to import; a process that does not trace does not pay for them.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from starwake.runtime.sampling import sampler  # noqa: PLC0415 - it builds on the SDK

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"starwake-{service}"}), sampler=sampler(settings.trace_ratio)
    )
    # endpoint None: the exporter reads the standard variables itself.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_endpoint)))
    return Tracing(provider)
