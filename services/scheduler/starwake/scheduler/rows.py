"""PURE: the two kinds of rows that come due, and what they have in common."""

from starwake.contracts.alarms import Alarm, build_alarm, parse_build_alarm
from starwake.contracts.builds import BuildRecord
from starwake.contracts.events import Notification, completion_events
from starwake.contracts.ids import MAX_REVISION, is_uuid
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.world_events import EventRecord, event_alarm, parse_event_alarm

Row = BuildRecord | EventRecord


def key_of(row: Row) -> AlarmKey:
    """The alarm that belongs to `row` as it stands."""
    return AlarmKey("build" if isinstance(row, BuildRecord) else "event", row.id, row.revision)


def alarm_of(row: Row) -> Alarm:
    """The alarm of `row`, to be armed."""
    return build_alarm(row) if isinstance(row, BuildRecord) else event_alarm(row)


def notifications_of(row: Row) -> list[Notification]:
    """What is pushed at the end of `row`, in order."""
    return completion_events(row.completed()) if isinstance(row, BuildRecord) else [row.announced()]


def parse_alarm(key: AlarmKey, body: bytes) -> Row:
    """The row that an alarm speaks of.

    Raises:
        ValueError: subject or body is none that Starwake makes; what the database would refuse counts as that, so
            that one such message cannot spoil a batch.
    """
    if not is_uuid(key.id) or key.revision > MAX_REVISION:
        raise ValueError(f"not the key of a row: {key.id} r{key.revision}")
    row = parse_build_alarm(key, body) if key.kind == "build" else parse_event_alarm(key, body)
    if "\0" in (row.player or ""):
        raise ValueError("a player id that no row can have")
    return row
