"""Spans of what comes due: each begins a trace of its own, and links to the order's span, days before.

A span begins before its row is completed, since the push bears its context and is written in the same statement.
One whose row is not completed in the end is never ended, and so never exported.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from starwake.contracts.builds import BuildRecord
from starwake.runtime import tracing as traces
from starwake.runtime.tracing import OFF, Tracing
from starwake.scheduler.rows import Row

if TYPE_CHECKING:
    from opentelemetry.trace import Span

COMPLETE: Final = {True: "complete build", False: "complete world event"}
START: Final = "start queued build"


class Spans:
    """The spans of one transaction; where tracing is off, rows keep the trace that they came with."""

    def __init__(self, tracing: Tracing = OFF) -> None:
        self._tracing = tracing
        self._begun: dict[str, Span] = {}

    def complete(self, rows: Sequence[Row]) -> Sequence[Row]:
        """`rows`, each with the trace that the push of its completion bears."""
        if not self._tracing.enabled:
            return rows
        return [
            row
            if row.trace is None
            else msgspec.structs.replace(row, trace=self._begin(COMPLETE[isinstance(row, BuildRecord)], row, row.trace))
            for row in rows
        ]

    def start(self, build: BuildRecord) -> str | None:
        """The trace that the push bears when a build starts that waited for its site."""
        if build.trace is None or not self._tracing.enabled:
            return build.trace
        return self._begin(START, build, build.trace)

    def end(self, ids: Iterable[str]) -> None:
        """What became of these rows is committed."""
        if self._begun:
            for each in ids:
                span = self._begun.pop(each, None)
                if span is not None:
                    span.end()

    def _begin(self, name: str, row: Row, order: str) -> str | None:
        span = self._begun[row.id] = self._tracing.begin(
            name,
            links=(order,),
            attributes={
                traces.ROW_ID: row.id,
                traces.REVISION: row.revision,
                traces.PLAYER: row.player or traces.EVERYBODY,
            },
        )
        return traces.trace_to_keep(span)
