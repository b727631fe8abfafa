"""What is pushed: the event's name, and the body that the stream stores and the gateway passes through."""

from datetime import datetime

import msgspec

from starwake.contracts.builds import BuildRecord
from starwake.contracts.ids import PlayerId, new_push_id
from starwake.contracts.times import to_rfc3339

BUILD_STARTED = "build.started"
BUILD_RESCHEDULED = "build.rescheduled"
BUILD_COMPLETED = "build.completed"
BUILD_CANCELLED = "build.cancelled"
BUILD_QUEUED = "build.queued"
BUILD_UNQUEUED = "build.unqueued"
STARS_DISCOVERED = "stars.discovered"
DRAGONS_INBOUND = "dragons.inbound"
DRAGONS_ARRIVED = "dragons.arrived"

_encoder = msgspec.json.Encoder()
_EVENT = b'{"event":"'


class Notification(msgspec.Struct, frozen=True):
    """One push on its way to the stream.

    Attributes:
        message_id: see `new_push_id`; the stream drops a second one within its duplicate window.
        player: whose feed; None is the feed that everybody has.
        body: the push frame without `type`, `seq` and `prev`, as JSON: `{"event":...,"at":...,"data":{...}}`.
            The gateway puts those three in front without decoding it.
        trace: W3C `traceparent` of what it tells of; a header of the message, which no player sees.
    """

    message_id: str
    player: PlayerId | None
    body: bytes
    trace: str | None = None


def encode_body(event: str, at: datetime, data: object) -> bytes:
    """The stored body of a push; `data` is a JSON object (a dict or a Struct)."""
    return _encoder.encode({"event": event, "at": to_rfc3339(at), "data": data})


def event_name(body: bytes) -> str:
    """The event's name in a stored body, read without decoding it; empty where the body was made elsewhere."""
    if not body.startswith(_EVENT):
        return ""
    return body[len(_EVENT) : body.find(b'"', len(_EVENT))].decode(errors="replace")


def build_event(event: str, at: datetime, build: BuildRecord, trace: str | None = None) -> Notification:
    """A push that tells of a build's transition; its message id names the row after the transition.

    Args:
        event: its name.
        at: when it happened.
        build: the row after it.
        trace: the `traceparent` of what caused it: not that of the order, where another one cancelled the build.
    """
    body = encode_body(event, at, {"build": build.view()})
    return Notification(new_push_id(build.id, build.revision), build.player, body, trace)


def completion_events(completed: BuildRecord) -> list[Notification]:
    """All that a completed build pushes, in order: `build.completed`, then its follow-ups."""
    trace = completed.trace
    told = [build_event(BUILD_COMPLETED, completed.due_at, completed, trace)]
    for number, follow_up in enumerate(completed.follow_ups, start=1):
        body = encode_body(follow_up.event, completed.due_at, follow_up.data)
        told.append(Notification(new_push_id(completed.id, completed.revision, number), completed.player, body, trace))
    return told
