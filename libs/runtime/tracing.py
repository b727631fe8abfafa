"""OpenTelemetry tracing, off unless an exporter is configured.

The trace context travels in message headers and in the row (W3C Trace Context, `traceparent`), so that one trace
spans a frame that comes in and the push that goes out days later. While tracing is off, `inject` and `extract`
cost one look at a flag.
"""

import os
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind
from opentelemetry.util.types import AttributeValue

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from libs.runtime.settings import TracingSettings

TRACEPARENT: Final = "traceparent"
_STANDARD_VARIABLES: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


class Tracing:
    """Tracing of one process; made by the composition root."""

    def __init__(self, provider: "TracerProvider | None") -> None:
        self._provider = provider
        self._tracer = (provider or trace.NoOpTracerProvider()).get_tracer("starwake")

    @property
    def enabled(self) -> bool:
        """Whether spans are recorded and exported."""
        return self._provider is not None

    @contextmanager
    def span(
        self,
        name: str,
        *,
        parent: Mapping[str, str] | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        attributes: Mapping[str, AttributeValue] | None = None,
    ) -> Generator[Span]:
        """Record what happens inside as one span; `parent` holds headers as `inject` wrote them."""
        if self._provider is None:
            yield trace.INVALID_SPAN
            return
        context = propagate.extract(dict(parent)) if parent else None
        with self._tracer.start_as_current_span(name, context=context, kind=kind, attributes=attributes) as span:
            yield span

    def inject(self, headers: MutableMapping[str, str]) -> None:
        """Write the current span's context into message headers."""
        if self._provider is not None:
            propagate.inject(headers)

    def traceparent(self) -> str | None:
        """The current span's context as one string, for a row; None when there is none."""
        if self._provider is None:
            return None
        headers: dict[str, str] = {}
        propagate.inject(headers)
        return headers.get(TRACEPARENT)

    def shutdown(self) -> None:
        """Export what is still buffered, and stop."""
        if self._provider is not None:
            self._provider.shutdown()


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
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"starwake-{service}"}),
        sampler=ParentBased(TraceIdRatioBased(settings.trace_ratio)),
    )
    # endpoint None: the exporter reads the standard variables itself.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=settings.otlp_endpoint)))
    return Tracing(provider)
