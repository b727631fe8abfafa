"""What happens, in words for a terminal. Pure."""

from datetime import datetime, timedelta

import msgspec

from starwake.cli.play_state import PlayState
from starwake.client import Connected, Disconnected, DragonsInbound, Kind, Missed, Notice, Push, StarsDiscovered
from starwake.contracts import events

LONGEST_DATA = 120
"""Characters of an unknown event's data that are shown."""

_DAY_S, _HOUR_S, _MINUTE_S = 86_400, 3_600, 60


def duration(seconds: float) -> str:
    """Seconds as people say them: `1 d 02:00:05`, `25:00`, `00:07`; rounded up, so that 00:00 means now."""
    left = max(0, -int(-seconds // 1))
    days, left = divmod(left, _DAY_S)
    hours, left = divmod(left, _HOUR_S)
    minutes, left = divmod(left, _MINUTE_S)
    clock = f"{hours:02}:{minutes:02}:{left:02}" if days or hours else f"{minutes:02}:{left:02}"
    return f"{days} d {clock}" if days else clock


def until(moment: datetime, now: datetime) -> str:
    """How long it is until `moment`."""
    return duration((moment - now) / timedelta(seconds=1))


def of_push(push: Push, state: PlayState) -> str:
    """A push as a sentence; one that is not known, or not as expected, with its data."""
    try:
        return _of_known(push, state)
    except msgspec.ValidationError:
        return _of_unknown(push)


def _of_known(push: Push, state: PlayState) -> str:
    build = push.build
    if build is not None:
        number = state.see(build).number
        what = f"{state.title(build.kind)} on {build.site} (#{number})"
        return {
            events.BUILD_STARTED: f"{what} is being built, due in {until(build.due_at, push.at)}",
            events.BUILD_RESCHEDULED: f"{what} is now due in {until(build.due_at, push.at)}",
            events.BUILD_COMPLETED: f"{what} is complete",
            events.BUILD_CANCELLED: f"{what} was cancelled",
        }.get(push.event, f"{push.event}: {what}")
    if push.event == events.STARS_DISCOVERED:
        stars = ", ".join(star.name for star in push.data_as(StarsDiscovered).stars)
        return f"new stars were discovered: {stars}"
    if push.event == events.DRAGONS_INBOUND:
        return f"space dragons are inbound, here in {duration(push.data_as(DragonsInbound).remaining_s)}"
    if push.event == events.DRAGONS_ARRIVED:
        return "space dragons have arrived"
    return _of_unknown(push)


def _of_unknown(push: Push) -> str:
    data = msgspec.json.encode(push.data).decode()
    return f"{push.event} {data if len(data) <= LONGEST_DATA else data[:LONGEST_DATA] + '...'}"


def of_notice(notice: Notice) -> str:
    """News of the line as a sentence."""
    match notice:
        case Connected(recovered=True):
            return "connected again, and nothing was missed"
        case Connected():
            return f"connected as {notice.player}"
        case Disconnected():
            return f"the line is down ({notice.reason}); next try in {notice.retry_in_s:.1f} s"
        case Missed():
            return f"some transmissions are lost ({notice.reason}); builds were read anew"


def of_kind(kind: Kind) -> str:
    """A line of the catalogue."""
    needs = f"  needs {', '.join(kind.requires)}" if kind.requires else ""
    return f"{kind.kind:<20} {duration(kind.duration_s):>13}  {kind.title}{needs}"
