"""What is stored in a stream, read without a consumer: batched direct get (ADR-31)."""

import re
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

_PLACE: Final = re.compile(
    rb"\r\nNats-Subject: ([^\r]*)\r\nNats-Sequence: (\d+)\r\nNats-Time-Stamp: [^\r]*\r\nNats-Num-Pending: \d+"
    rb"\r\nNats-Last-Sequence: (\d+)\r\n\r\n\Z"
)
"""The headers that the server appends to a message of a batch (`processDirectGetRequest`), read in one go: looking for
each of them by itself is most of what taking a message costs."""

_encode = msgspec.json.Encoder().encode


class Found(NamedTuple):
    """A message of a batch: its sequence, the subject that it is stored on, and itself."""

    seq: int
    subject: str
    message: Message


class Batch(NamedTuple):
    """What a batch has brought, in the stream's order, and how many more match."""

    found: list[Found]
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
    found: list[Found] = []
    previous = 0
    for message in messages:
        subject, seq, before = _place(message.raw_headers)
        # Within a batch `Nats-Last-Sequence` is the one before in the batch, so that a hole in it shows.
        if before != previous:
            raise BusUnavailable("a batch of stored messages has come with a hole in it")
        found.append(Found(seq, subject, message))
        previous = seq
    if found and number_in(end.raw_headers, _LAST_SEQUENCE) != previous:
        raise BusUnavailable("a batch of stored messages has come without its end")
    return Batch(found, number_in(end.raw_headers, _NUM_PENDING))


async def last_messages(bus: Bus, stream: str, subjects: Sequence[str], *, timeout_s: float) -> dict[str, Message]:
    """The newest message on each of these subjects; those without one are left out.

    Raises:
        As `read_batch`.
    """
    found: dict[str, Message] = {}
    for chunk in _chunks(subjects):
        batch = await read_batch(bus, stream, {"multi_last": chunk, "batch": len(chunk)}, timeout_s=timeout_s)
        found |= {each.subject: each.message for each in batch.found}
    return found


def sequence_of(message: Message) -> int:
    """The sequence of a stored (or republished) message, 0 where it bears none."""
    return number_in(message.raw_headers, _SEQUENCE)


def number_in(raw: bytes, line_start: bytes) -> int:
    """A header's number (`find_header`), 0 where there is none."""
    value = find_header(raw, line_start)
    return 0 if value is None else int(value)


def _place(raw: bytes) -> tuple[str, int, int]:
    """A batch's message: the subject that it is stored on, its sequence, and that of the one before it in the batch."""
    place = _PLACE.search(raw)
    if place is None:
        subject = find_header(raw, _SUBJECT) or b""
        return subject.decode(errors="replace"), number_in(raw, _SEQUENCE), number_in(raw, _LAST_SEQUENCE)
    subject, seq, before = place.groups()
    return subject.decode(errors="replace"), int(seq), int(before)


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
