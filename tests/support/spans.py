"""What finished spans say: who did what, and what came of what."""

from collections.abc import Iterable
from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan


class Seen(NamedTuple):
    """What is asserted of a span: which service, and what it did."""

    service: str
    name: str


def has(span: ReadableSpan, attribute: str, value: object) -> bool:
    """Whether it has this attribute with this value."""
    return (span.attributes or {}).get(f"starwake.{attribute}") == value


def seen(span: ReadableSpan) -> Seen:
    """Which service, and what it did."""
    return Seen(str(span.resource.attributes["service.name"]), span.name)


def origins(span: ReadableSpan) -> set[int]:
    """The spans that it says it comes from."""
    links = {link.context.span_id for link in span.links}
    return links if span.parent is None else links | {span.parent.span_id}


def span_id(span: ReadableSpan) -> int:
    """Its id."""
    assert span.context is not None
    return span.context.span_id


def trace_id(span: ReadableSpan) -> int:
    """Its trace's id."""
    assert span.context is not None
    return span.context.trace_id


def reachable(frame: ReadableSpan, spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    """`frame`, and all that comes from it."""
    found = {span_id(frame): frame}
    left = list(spans)
    while new := [each for each in left if origins(each) & found.keys() and span_id(each) not in found]:
        found |= {span_id(each): each for each in new}
    return list(found.values())


def called(spans: Iterable[ReadableSpan], name: str) -> ReadableSpan:
    """The one span of this name."""
    (found,) = (each for each in spans if each.name == name)
    return found
