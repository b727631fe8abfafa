"""One push of an announcement as the table holds it: a warning, or the event itself."""

from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from starwake.contracts.alarms import Alarm, EventAlarm
from starwake.contracts.events import Notification, encode_body
from starwake.contracts.ids import PlayerId, Revision, new_push_id
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.times import from_rfc3339, to_rfc3339

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(EventAlarm)


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the world event table in state `scheduled`; `player` None is everybody."""

    id: str
    player: PlayerId | None
    event: str
    data: dict[str, Any]
    due_at: datetime
    revision: Revision
    trace: str | None = None
    """W3C `traceparent` of the announcement."""

    def announced(self) -> Notification:
        """What is pushed when its time has come: known in full beforehand, since it happens at exactly `due_at`."""
        body = encode_body(self.event, self.due_at, self.data)
        return Notification(new_push_id(self.id, self.revision + 1), self.player, body, self.trace)


def event_alarm(event: EventRecord) -> Alarm:
    """The alarm of a row in state `scheduled`."""
    body = EventAlarm(
        player=event.player,
        event=event.event,
        due_at=to_rfc3339(event.due_at),
        data=event.data,
        trace=event.trace,
    )
    return Alarm(AlarmKey("event", event.id, event.revision), event.due_at, _encoder.encode(body))


def parse_event_alarm(key: AlarmKey, body: bytes) -> EventRecord:
    """The row that a world event's alarm speaks of.

    Raises:
        ValueError: the body is not a world event's alarm (`msgspec.DecodeError` is one).
    """
    alarm = _decoder.decode(body)
    return EventRecord(
        id=key.id,
        player=None if alarm.player is None else PlayerId(alarm.player),
        event=alarm.event,
        data=alarm.data,
        due_at=from_rfc3339(alarm.due_at),
        revision=Revision(key.revision),
        trace=alarm.trace,
    )


class Upcoming(NamedTuple):
    """An announced push that is not told yet, as players may read it; `player` None is everybody."""

    id: str
    player: PlayerId | None
    event: str
    data: msgspec.Raw
    due_at: datetime
    announced_at: datetime

    def view(self) -> dict[str, object]:
        """The object of `event.list`."""
        return {
            "id": self.id,
            "feed": "all" if self.player is None else "player",
            "event": self.event,
            "due_at": to_rfc3339(self.due_at),
            "data": self.data,
            "announced_at": to_rfc3339(self.announced_at),
        }
