"""What is pushed: the event's name, and the body that the stream stores and the gateway passes through."""

from datetime import datetime

import msgspec

from libs.contracts.builds import BuildRecord
from libs.contracts.ids import PlayerId
from libs.contracts.times import to_rfc3339

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


class Notification(msgspec.Struct, frozen=True):
    """One push on its way to the stream.

    Attributes:
        message_id: `<row id>.<revision>` (with `.<n>` for follow-ups); the stream drops a second one within its
            duplicate window.
        player: whose feed; None is the feed that everybody has.
        body: the push frame without `type`, `seq` and `prev`, as JSON: `{"event":...,"at":...,"data":{...}}`.
            The gateway puts those three in front without decoding it.
    """

    message_id: str
    player: PlayerId | None
    body: bytes


def encode_body(event: str, at: datetime, data: object) -> bytes:
    """The stored body of a push; `data` is a JSON object (a dict or a Struct)."""
    return _encoder.encode({"event": event, "at": to_rfc3339(at), "data": data})


def build_event(event: str, at: datetime, build: BuildRecord) -> Notification:
    """A push that tells of a build's transition; its message id is that of the row after the transition."""
    return Notification(f"{build.id}.{build.revision}", build.player, encode_body(event, at, {"build": build.view()}))


def completion_events(completed: BuildRecord) -> list[Notification]:
    """All that a completed build pushes, in order: `build.completed`, then its follow-ups."""
    told = [build_event(BUILD_COMPLETED, completed.due_at, completed)]
    for number, follow_up in enumerate(completed.follow_ups, start=1):
        body = encode_body(follow_up.event, completed.due_at, follow_up.data)
        told.append(Notification(f"{completed.id}.{completed.revision}.{number}", completed.player, body))
    return told
