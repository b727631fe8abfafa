"""The players' feeds: what is stored in NOTIFICATIONS, read without consumers, and heard live.

Reading is by batched direct get (ADR-31): a consumer per player times out at tens of thousands.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from starwake.bus.connection import Bus
from starwake.bus.direct_get import last_messages, number_in, read_batch, sequence_of
from starwake.bus.errors import StreamRefused
from starwake.bus.headers import find_header
from starwake.bus.jetstream import ask, stream_info
from starwake.bus.message import Message
from starwake.bus.streams import EPOCH, NOTIFICATIONS
from starwake.bus.subscription import Subscription
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.contracts.retention import KEPT_PUSHES

_SEQUENCE: Final = b"\r\nNats-Sequence: "
_LAST_SEQUENCE: Final = b"\r\nNats-Last-Sequence: "
_TIME_STAMP: Final = b"\r\nNats-Time-Stamp: "
_MESSAGE_ID: Final = b"\r\nNats-Msg-Id: "
_TRACEPARENT: Final = b"\r\ntraceparent: "


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
    """A push as it is republished: `prev` is the sequence before it in the same feed, 0 where none is kept.

    `trace` and `message_id` are what it was stored with, where `watch_pushes` was asked for them.
    """

    seq: int
    prev: int
    body: bytes
    trace: str | None = None
    message_id: str = ""


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
    """Begin a new epoch, whose sequences all lie above `above` (the highest that was ever published).

    Lifting the counter drops what is stored: in a stream that has gone backwards it is not what was published.

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
        request: dict[str, object] = {"seq": seq, "next_by_subj": subject, "batch": limit - len(pushes)}
        batch = await read_batch(bus, NOTIFICATIONS, request, timeout_s=timeout_s)
        pushes += [_stored(each.seq, each.message) for each in batch.found]
        if not batch.found or not batch.pending:
            break
        seq = pushes[-1].seq + 1  # the server ends a batch early when it grows too large
    return pushes


async def read_newest(bus: Bus, last_seq: int, limit: int, *, timeout_s: float = 5.0) -> list[StoredPush]:
    """The pushes of all feeds among the stream's last `limit` sequences up to `last_seq`; oldest first.

    Raises:
        As `read_pushes`.
    """
    request: dict[str, object] = {"seq": max(1, last_seq - limit + 1), "next_by_subj": ">", "batch": limit}
    batch = await read_batch(bus, NOTIFICATIONS, request, timeout_s=timeout_s)
    return [_stored(each.seq, each.message) for each in batch.found]


class Stretch(NamedTuple):
    """What lies on a stretch of the stream.

    Attributes:
        found: (subject as `subjects.notify` names it, sequence, body) of each push, oldest first.
        last_seq: the last sequence that was read, 0 where there is nothing.
        ended: whether nothing lies behind it.
    """

    found: list[tuple[str, int, bytes]]
    last_seq: int
    ended: bool


async def read_stretch(bus: Bus, from_seq: int, count: int, *, max_bytes: int, timeout_s: float = 5.0) -> Stretch:
    """Read the stream as it lies, whosever pushes they are: of many feeds at once the cheapest way.

    Args:
        bus: the connection.
        from_seq: where to begin, inclusive.
        count: messages at most.
        max_bytes: after which the server ends, having sent the message that exceeded it.
        timeout_s: seconds to wait.

    Raises:
        BusUnavailable: no answer, or a torn one.
        JetStreamError: the server refused; `code` is the status.
    """
    request: dict[str, object] = {"seq": max(from_seq, 1), "batch": count, "max_bytes": max_bytes}
    found, pending = await read_batch(bus, NOTIFICATIONS, request, timeout_s=timeout_s)
    pushes = [(each.subject, each.seq, each.message.payload) for each in found]
    return Stretch(pushes, found[-1].seq if found else 0, not found or not pending)


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
    for subject, message in (await last_messages(bus, NOTIFICATIONS, [*by_subject], timeout_s=timeout_s)).items():
        if subject in by_subject:
            found[by_subject[subject]] = sequence_of(message)
    return found


def watch_pushes(
    bus: Bus, player: PlayerId | None, handler: Callable[[LivePush], None], *, traced: bool = False
) -> Subscription:
    """Have `handler` called, synchronously, with each push to `player` (None: to everybody) as it is stored.

    At most once: what was stored while the connection was away does not come; `prev` shows the hole. With `traced`,
    each also brings its trace, where it has one.
    """

    def on_message(message: Message) -> None:
        raw = message.raw_headers
        handler(LivePush(number_in(raw, _SEQUENCE), number_in(raw, _LAST_SEQUENCE), message.payload))

    def on_traced(message: Message) -> None:
        raw = message.raw_headers
        trace = find_header(raw, _TRACEPARENT)
        if trace is None:
            on_message(message)
            return
        message_id = (find_header(raw, _MESSAGE_ID) or b"").decode()
        position = number_in(raw, _SEQUENCE), number_in(raw, _LAST_SEQUENCE)
        handler(LivePush(*position, message.payload, trace.decode(errors="replace"), message_id))

    return bus.listen(subjects.push(player), on_traced if traced else on_message)


def _metadata(info: dict[str, Any]) -> dict[str, str]:
    return info["config"].get("metadata") or {}


def _stored(seq: int, message: Message) -> StoredPush:
    raw = message.raw_headers
    stored_at = datetime.fromisoformat((find_header(raw, _TIME_STAMP) or b"").decode())
    message_id = (find_header(raw, _MESSAGE_ID) or b"").decode()
    return StoredPush(seq, message.payload, stored_at, message_id)
