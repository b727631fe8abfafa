"""Which traces are exported: a share of those that begin, and all that follows from one of those."""

from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, Sampler, SamplingResult, TraceIdRatioBased
from opentelemetry.trace import Link, SpanKind
from opentelemetry.trace.span import TraceState
from opentelemetry.util.types import Attributes
from typing_extensions import override


class FollowsLinks(Sampler):
    """Samples what links to a sampled span, and of the rest what `otherwise` says.

    A completion begins a trace of its own, days after the order; with a ratio for each by itself, one order in 10,000
    would be seen from end to end where one in 100 is meant.
    """

    def __init__(self, otherwise: Sampler) -> None:
        self._otherwise = otherwise

    @override
    def should_sample(
        self,
        parent_context: Context | None,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Attributes = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """As OpenTelemetry asks."""
        follows = any(link.context.trace_flags.sampled for link in links or ())
        chosen = ALWAYS_ON if follows else self._otherwise
        return chosen.should_sample(parent_context, trace_id, name, kind, attributes, links, trace_state)

    @override
    def get_description(self) -> str:
        """As OpenTelemetry asks."""
        return f"FollowsLinks({self._otherwise.get_description()})"


def sampler(ratio: float) -> Sampler:
    """Samples the share `ratio` of the traces that begin here, and whatever belongs to a sampled one or links to it."""
    return ParentBased(FollowsLinks(TraceIdRatioBased(ratio)))
