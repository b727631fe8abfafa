"""What is stored in a stream, read without a consumer: batched direct get (ADR-31)."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.errors import BusUnavailable, JetStreamError
from starwake.bus.headers import find_header
from starwake.bus.message import Message

_SEQUENCE: Final = b"\r\nNats-Sequence: "
_LAST_SEQUENCE: Final = b"\r\nNats-Last-Sequence: "
_NUM_PENDING: Final = b"\r\nNats-Num-Pending: "
_SUBJECT: Final = b"\r\nNats-Subject: "

_END_OF_BATCH: Final = 204
_NOT_FOUND: Final = 404
_MAX_MATCHES: Final = 1024
"""Of one `multi_last`; the server answers 413 to more."""
_MAX_REQUEST_BYTES: Final = 500_000
"""Of one request's subjects; the server takes messages of 1 MiB by default."""

_encode = msgspec.json.Encoder().encode


class Batch(NamedTuple):
    """Messages in the stream's order, and how many more match."""

    messages: list[Message]
    pending: int


async def read_batch(bus: Bus, stream: str, request: dict[str, object], *, timeout_s: float) -> Batch:
    """What the server has for one batched request, whole.

    Raises:
        BusUnavailable: no answer, or a torn one.
        JetStreamError: the server refused; `code` is the status.
    """
    messages = await bus.request_many(
        bus.jetstream_subject(f"DIRECT.GET.{stream}"), _encode(request), until=_ends_batch, timeout_s=timeout_s
    )
    end = messages.pop()
    if end.status == _NOT_FOUND:
        return Batch([], 0)
    if end.status != _END_OF_BATCH:
        raise JetStreamError(end.status, 0, end.status_text)
    previous = 0
    for message in messages:
        # Within a batch `Nats-Last-Sequence` is the one before in the batch, so that a hole in it shows.
        if number_in(message.raw_headers, _LAST_SEQUENCE) != previous:
            raise BusUnavailable("a batch of stored messages has come with a hole in it")
        previous = sequence_of(message)
    if messages and number_in(end.raw_headers, _LAST_SEQUENCE) != previous:
        raise BusUnavailable("a batch of stored messages has come without its end")
    return Batch(messages, number_in(end.raw_headers, _NUM_PENDING))


async def last_messages(bus: Bus, stream: str, subjects: Sequence[str], *, timeout_s: float) -> dict[str, Message]:
    """The newest message on each of these subjects; those without one are left out.

    Raises:
        As `read_batch`.
    """
    found: dict[str, Message] = {}
    for chunk in _chunks(subjects):
        batch = await read_batch(bus, stream, {"multi_last": chunk, "batch": len(chunk)}, timeout_s=timeout_s)
        for message in batch.messages:
            found[(find_header(message.raw_headers, _SUBJECT) or b"").decode()] = message
    return found


def sequence_of(message: Message) -> int:
    """The sequence of a stored (or republished) message, 0 where it bears none."""
    return number_in(message.raw_headers, _SEQUENCE)


def number_in(raw: bytes, line_start: bytes) -> int:
    """A header's number (`find_header`), 0 where there is none."""
    value = find_header(raw, line_start)
    return 0 if value is None else int(value)


def _ends_batch(message: Message) -> bool:
    return message.status != 0


def _chunks(subjects: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for subject in subjects:
        if len(chunk) == _MAX_MATCHES or size > _MAX_REQUEST_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(subject)
        size += len(subject) + 3
    if chunk:
        yield chunk
