"""Tracing: off unless an exporter is configured, and one trace across processes when it is on."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.runtime.settings import TracingSettings, load_settings
from libs.runtime.tracing import OFF, TRACEPARENT, Tracing, configure_tracing


def test_without_an_endpoint_nothing_is_traced_and_no_header_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "STARWAKE_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    tracing = configure_tracing("demo", load_settings(TracingSettings))
    headers: dict[str, str] = {}
    with tracing.span("work"):
        tracing.inject(headers)
        assert tracing.traceparent() is None
    assert tracing is OFF
    assert headers == {}


def test_an_endpoint_switches_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_OTLP_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    tracing = configure_tracing("demo", load_settings(TracingSettings))
    assert tracing.enabled
    tracing.shutdown()


def test_a_span_continues_the_trace_whose_headers_it_is_given() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    here, there = Tracing(provider), Tracing(provider)
    headers: dict[str, str] = {}
    with here.span("frame in"):
        here.inject(headers)
        row = here.traceparent()
    assert row is not None
    assert row == headers[TRACEPARENT]
    with there.span("push out", parent={TRACEPARENT: row}):
        pass
    pushed, received = sorted(exporter.get_finished_spans(), key=lambda span: span.name, reverse=True)
    assert pushed.parent is not None
    assert received.context is not None
    assert pushed.parent.span_id == received.context.span_id
    assert pushed.parent.trace_id == received.context.trace_id
