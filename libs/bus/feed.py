"""The players' feeds: what is stored in NOTIFICATIONS, read without consumers, and heard live.

Reading is by batched direct get (ADR-31): a consumer per player times out at tens of thousands.
"""

import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

import msgspec

from libs.bus.connection import Bus
from libs.bus.errors import BusUnavailable, JetStreamError, StreamRefused
from libs.bus.headers import find_header
from libs.bus.jetstream import ask, stream_info
from libs.bus.message import Message
from libs.bus.streams import EPOCH, KEPT_PUSHES, NOTIFICATIONS
from libs.bus.subscription import Subscription
from libs.contracts import subjects
from libs.contracts.ids import PlayerId

_DIRECT_GET: Final = f"$JS.API.DIRECT.GET.{NOTIFICATIONS}"
_SEQUENCE: Final = b"\r\nNats-Sequence: "
_LAST_SEQUENCE: Final = b"\r\nNats-Last-Sequence: "
_NUM_PENDING: Final = b"\r\nNats-Num-Pending: "
_TIME_STAMP: Final = b"\r\nNats-Time-Stamp: "
_SUBJECT: Final = b"\r\nNats-Subject: "
_MESSAGE_ID: Final = b"\r\nNats-Msg-Id: "

_END_OF_BATCH: Final = 204
_NOT_FOUND: Final = 404
_MAX_MATCHES: Final = 1024
"""Of one `multi_last`; the server answers 413 to more."""
_MAX_REQUEST_BYTES: Final = 500_000
"""Of one request's subjects; the server takes messages of 1 MiB by default."""

_encode = msgspec.json.Encoder().encode


class FeedState(NamedTuple):
    """Where the stream stands.

    Attributes:
        epoch: which life of the stream this is; None where none was begun, or there is no stream.
        first_seq: the oldest sequence that is kept.
        last_seq: the newest sequence that was given away, 0 where none was.
    """

    epoch: str | None
    first_seq: int
    last_seq: int


class StoredPush(NamedTuple):
    """A push as the stream keeps it; `stored_at` is the server's time."""

    seq: int
    body: bytes
    stored_at: datetime
    message_id: str


class LivePush(NamedTuple):
    """A push as it is republished: `prev` is the sequence before it in the same feed, 0 where none is kept."""

    seq: int
    prev: int
    body: bytes


async def read_feed(bus: Bus) -> FeedState:
    """The stream's epoch and sequences.

    Raises:
        BusUnavailable, JetStreamError: JetStream does not answer, or with an error.
    """
    info = await stream_info(bus, NOTIFICATIONS)
    if info is None:
        return FeedState(None, 0, 0)
    state = info["state"]
    return FeedState(_metadata(info).get(EPOCH), state["first_seq"], state["last_seq"])


async def begin_epoch(bus: Bus, *, above: int) -> FeedState:
    """Begin a new epoch, whose sequences all lie above `above` (the highest that was ever told).

    Lifting the counter drops what is stored: in a stream that has gone backwards it is not what was told.

    Raises:
        StreamRefused: there is no stream, or the server did not take the epoch or lift the counter.
        BusUnavailable, JetStreamError: JetStream does not answer, or with an error.
    """
    info = await stream_info(bus, NOTIFICATIONS)
    if info is None:
        raise StreamRefused(f"there is no stream {NOTIFICATIONS}: provision it first")
    epoch = secrets.token_hex(8)
    config: dict[str, Any] = info["config"]
    metadata = {key: value for key, value in _metadata(info).items() if not key.startswith("_nats.")}
    # The epoch first: killed in between, the counter still lies below the mark, and the next boot begins another one.
    await ask(bus, f"STREAM.UPDATE.{NOTIFICATIONS}", config | {"metadata": metadata | {EPOCH: epoch}})
    if info["state"]["last_seq"] < above:
        await ask(bus, f"STREAM.PURGE.{NOTIFICATIONS}", {"seq": above + 1})
    state = await read_feed(bus)
    if state.epoch != epoch or state.last_seq < above:
        raise StreamRefused(f"stream {NOTIFICATIONS} did not begin epoch {epoch} above {above}: {state}")
    return state


async def read_pushes(
    bus: Bus, player: PlayerId | None, from_seq: int, limit: int = KEPT_PUSHES, *, timeout_s: float = 5.0
) -> list[StoredPush]:
    """The pushes to `player` (None: to everybody) from sequence `from_seq` on, it included; oldest first.

    Args:
        bus: the connection.
        player: whose feed.
        from_seq: where to begin; the first one returned has it only if it is still kept.
        limit: how many at most.
        timeout_s: seconds to wait for each batch.

    Raises:
        BusUnavailable: no answer, or a torn one.
        JetStreamError: the server refused; `code` is the status.
    """
    subject = subjects.notify(player)
    pushes: list[StoredPush] = []
    seq = max(from_seq, 1)
    while len(pushes) < limit:
        request = _encode({"seq": seq, "next_by_subj": subject, "batch": limit - len(pushes)})
        batch = await _read_batch(bus, request, timeout_s)
        pushes += [_stored(message) for message in batch.messages]
        if not batch.messages or not batch.pending:
            break
        seq = pushes[-1].seq + 1  # the server ends a batch early when it grows too large
    return pushes


async def last_seqs(
    bus: Bus, players: Sequence[PlayerId | None], *, timeout_s: float = 5.0
) -> dict[PlayerId | None, int]:
    """The newest sequence in each of these feeds (None: everybody's), 0 where it is empty.

    Raises:
        BusUnavailable: no answer, or a torn one.
        JetStreamError: the server refused; `code` is the status.
    """
    by_subject = {subjects.notify(player): player for player in players}
    found = dict.fromkeys(players, 0)
    for chunk in _chunks(by_subject):
        batch = await _read_batch(bus, _encode({"multi_last": chunk, "batch": len(chunk)}), timeout_s)
        for message in batch.messages:
            subject = (find_header(message.raw_headers, _SUBJECT) or b"").decode()
            if subject in by_subject:
                found[by_subject[subject]] = _number(message.raw_headers, _SEQUENCE)
    return found


def _chunks(feed_subjects: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    size = 0
    for subject in feed_subjects:
        if len(chunk) == _MAX_MATCHES or size > _MAX_REQUEST_BYTES:
            yield chunk
            chunk, size = [], 0
        chunk.append(subject)
        size += len(subject) + 3
    if chunk:
        yield chunk


async def watch_pushes(bus: Bus, player: PlayerId | None, handler: Callable[[LivePush], None]) -> Subscription:
    """Have `handler` called, synchronously, with each push to `player` (None: to everybody) as it is stored.

    At most once: what was stored while the connection was away does not come; `prev` shows the hole.
    """

    def on_message(message: Message) -> None:
        raw = message.raw_headers
        handler(LivePush(_number(raw, _SEQUENCE), _number(raw, _LAST_SEQUENCE), message.payload))

    return await bus.subscribe(subjects.push(player), on_message)


def _metadata(info: dict[str, Any]) -> dict[str, str]:
    return info["config"].get("metadata") or {}


class _Batch(NamedTuple):
    messages: list[Message]
    pending: int


async def _read_batch(bus: Bus, request: bytes, timeout_s: float) -> _Batch:
    messages = await bus.request_many(_DIRECT_GET, request, until=_ends_batch, timeout_s=timeout_s)
    end = messages.pop()
    if end.status == _NOT_FOUND:
        return _Batch([], 0)
    if end.status != _END_OF_BATCH:
        raise JetStreamError(end.status, 0, end.status_text)
    previous = 0
    for message in messages:
        # Within a batch `Nats-Last-Sequence` is the one before in the batch, so that a hole in it shows.
        if _number(message.raw_headers, _LAST_SEQUENCE) != previous:
            raise BusUnavailable("a batch of stored pushes has come with a hole in it")
        previous = _number(message.raw_headers, _SEQUENCE)
    if messages and _number(end.raw_headers, _LAST_SEQUENCE) != previous:
        raise BusUnavailable("a batch of stored pushes has come without its end")
    return _Batch(messages, _number(end.raw_headers, _NUM_PENDING))


def _ends_batch(message: Message) -> bool:
    return message.status != 0


def _stored(message: Message) -> StoredPush:
    raw = message.raw_headers
    stored_at = datetime.fromisoformat((find_header(raw, _TIME_STAMP) or b"").decode())
    message_id = (find_header(raw, _MESSAGE_ID) or b"").decode()
    return StoredPush(_number(raw, _SEQUENCE), message.payload, stored_at, message_id)


def _number(raw: bytes, line_start: bytes) -> int:
    value = find_header(raw, line_start)
    return 0 if value is None else int(value)
