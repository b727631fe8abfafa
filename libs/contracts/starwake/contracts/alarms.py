"""What an alarm carries, so that waking costs the scheduler no read."""

from datetime import datetime
from typing import Any

import msgspec

from starwake.contracts.builds import BuildRecord, BuildState, FollowUp
from starwake.contracts.ids import BuildId, PlayerId, Revision
from starwake.contracts.subjects import AlarmKey
from starwake.contracts.times import from_rfc3339, to_rfc3339


class BuildAlarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a build's alarm: the row as it was when the alarm was set.

    Right for as long as the row still has that revision, which the completing UPDATE checks.
    """

    player: str
    kind: str
    site: str
    started_at: str
    due_at: str
    follow_ups: tuple[FollowUp, ...] = ()
    trace: str | None = None


class EventAlarm(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of a world event's alarm."""

    player: str | None
    event: str
    due_at: str
    data: dict[str, Any]
    trace: str | None = None


class Alarm(msgspec.Struct, frozen=True):
    """An alarm to be set: which row and revision, when, and what it says."""

    key: AlarmKey
    due_at: datetime
    body: bytes


_encoder = msgspec.json.Encoder()
_build_decoder = msgspec.json.Decoder(BuildAlarm)


def build_alarm(build: BuildRecord) -> Alarm:
    """The alarm of a row in state `building`."""
    body = BuildAlarm(
        player=build.player,
        kind=build.kind,
        site=build.site,
        started_at=to_rfc3339(build.started_at),
        due_at=to_rfc3339(build.due_at),
        follow_ups=build.follow_ups,
        trace=build.trace,
    )
    return Alarm(AlarmKey("build", build.id, build.revision), build.due_at, _encoder.encode(body))


def parse_build_alarm(key: AlarmKey, body: bytes) -> BuildRecord:
    """The row that a build's alarm speaks of.

    Raises:
        ValueError: the body is not a build's alarm (`msgspec.DecodeError` is one).
    """
    alarm = _build_decoder.decode(body)
    return BuildRecord(
        id=BuildId(key.id),
        player=PlayerId(alarm.player),
        kind=alarm.kind,
        site=alarm.site,
        state=BuildState.BUILDING,
        revision=Revision(key.revision),
        started_at=from_rfc3339(alarm.started_at),
        due_at=from_rfc3339(alarm.due_at),
        follow_ups=alarm.follow_ups,
        trace=alarm.trace,
    )
