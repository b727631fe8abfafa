"""Tracing: off unless an exporter is configured, and one trace across processes and days when it is on."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from starwake.runtime.sampling import sampler
from starwake.runtime.settings import TracingSettings, load_settings
from starwake.runtime.tracing import OFF, Tracing, add_link, configure_tracing, trace_to_keep, traceparent_of

REMOTE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"


def tracing(ratio: float = 1.0) -> tuple[Tracing, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider(sampler=sampler(ratio))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Tracing(provider), exporter


def test_without_an_endpoint_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "STARWAKE_OTLP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    assert configure_tracing("demo", load_settings(TracingSettings)) is OFF
    assert not OFF.enabled


def test_an_endpoint_switches_it_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARWAKE_OTLP_ENDPOINT", "http://127.0.0.1:9/v1/traces")
    configured = configure_tracing("demo", load_settings(TracingSettings))
    assert configured.enabled
    configured.shutdown()


def test_a_span_continues_the_trace_whose_context_it_is_given() -> None:
    here, received = tracing()
    there, pushed = tracing()
    frame = here.begin("frame in")
    there.begin("push out", parent=traceparent_of(frame)).end()
    frame.end()
    (first,), (second,) = received.get_finished_spans(), pushed.get_finished_spans()
    assert first.context is not None
    assert second.parent is not None
    assert (second.parent.span_id, second.parent.trace_id) == (first.context.span_id, first.context.trace_id)


def test_a_span_that_follows_days_later_begins_a_trace_and_links_to_the_one_before() -> None:
    here, exporter = tracing()
    here.begin("complete", links=[f"{REMOTE}-01"]).end()
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert span.parent is None
    assert f"{span.links[0].context.trace_id:032x}" == REMOTE[3:35]
    assert f"{span.context.trace_id:032x}" != REMOTE[3:35]


@pytest.mark.parametrize("flags", ["00", "01"])
def test_what_follows_from_a_sampled_span_is_sampled_whatever_the_share(flags: str) -> None:
    here, exporter = tracing(0.0)
    for span in (here.begin("child", parent=f"{REMOTE}-{flags}"), here.begin("later", links=[f"{REMOTE}-{flags}"])):
        assert (trace_to_keep(span) is not None) is (flags == "01")
        span.end()
    assert len(exporter.get_finished_spans()) == (2 if flags == "01" else 0)


def test_a_trace_that_is_not_sampled_goes_on_unsampled_and_into_no_row() -> None:
    here, exporter = tracing(0.0)
    span = here.begin("frame in")
    assert trace_to_keep(span) is None
    assert not int(traceparent_of(span)[-2:], 16) & 1  # bit 0 is "sampled"
    span.end()
    assert exporter.get_finished_spans() == ()


def test_what_is_no_trace_context_is_no_parent_and_no_link() -> None:
    here, exporter = tracing()
    span = here.begin("push out", parent="nonsense", links=["00-0-0-01"])
    add_link(span, "more nonsense")
    span.end()
    (ended,) = exporter.get_finished_spans()
    assert (ended.parent, list(ended.links)) == (None, [])
