"""The commands of the players' protocol, as its document tells of them."""

from typing import Any, Final, NamedTuple

import msgspec

from starwake.contracts import commands

SCHEMAS: Final = "#/components/schemas/"

Json = dict[str, Any]


class CommandEntry(NamedTuple):
    """One command of the players' protocol, as the document tells of it."""

    name: str
    summary: str
    args: type[msgspec.Struct]
    result: Json | None


def ref(name: str) -> Json:
    """A reference to a schema of the document."""
    return {"$ref": SCHEMAS + name}


def object_schema(properties: Json, *, required: list[str] | None = None, open_: bool = True) -> Json:
    """The schema of an object; all of its properties are required unless `required` names them."""
    wanted = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": wanted, "additionalProperties": open_}


TIME: Final[Json] = {"type": "string", "format": "date-time", "description": "RFC 3339, UTC, milliseconds"}
_TOLD_TIME: Final = object_schema({"server_time": TIME})
_EXPIRY: Final = object_schema({"token_expires_at": TIME})
_BUILD: Final = object_schema({"build": ref("Build")})
_KIND: Final = object_schema(
    {"kind": {"type": "string"}, "title": {"type": "string"}, "duration_s": {"type": "number"}}
)

_ANY_PUSH: Final[Json] = {"anyOf": [ref("PushToAll"), ref("Push")]}

COMMANDS: Final = (
    CommandEntry("build.start", "Begin to build a catalogue kind on a site.", commands.BuildStart, _BUILD),
    CommandEntry("build.cancel", "Cancel one of one's own builds while it is building.", commands.BuildCancel, _BUILD),
    CommandEntry(
        "build.reschedule",
        "Speed a build up or delay it, where the catalogue allows it.",
        commands.BuildReschedule,
        _BUILD,
    ),
    CommandEntry(
        "build.list",
        "One's own builds, newest first, paged.",
        commands.BuildList,
        object_schema({"builds": {"type": "array", "items": ref("Build")}, "next": {"type": ["string", "null"]}}),
    ),
    CommandEntry(
        "build.queue",
        "Begin to build when the site is free: at once (`build`), or after what is before it there (`queued`).",
        commands.BuildStart,
        object_schema({"build": ref("Build"), "queued": ref("Queued")}, required=[]),
    ),
    CommandEntry(
        "build.unqueue",
        "Withdraw an order that still waits for its site.",
        commands.BuildUnqueue,
        object_schema({"queued": ref("Queued")}),
    ),
    CommandEntry(
        "build.queued",
        "One's own orders that wait for their sites, first come first, paged.",
        commands.BuildQueued,
        object_schema({"queued": {"type": "array", "items": ref("Queued")}, "next": {"type": ["integer", "null"]}}),
    ),
    CommandEntry(
        "event.list",
        "What is announced to oneself or to all and still to come, soonest first, paged.",
        commands.EventList,
        object_schema({"events": {"type": "array", "items": ref("Upcoming")}, "next": {"type": ["string", "null"]}}),
    ),
    CommandEntry(
        "feed.list",
        "The pushes that a feed still keeps: the newest, or those before a sequence; oldest first, paged.",
        commands.FeedList,
        object_schema({"pushes": {"type": "array", "items": _ANY_PUSH}, "next": {"type": ["integer", "null"]}}),
    ),
    CommandEntry(
        "catalogue.list",
        "What can be built; durations as they count now.",
        commands.NoArgs,
        object_schema({"kinds": {"type": "array", "items": _KIND}}),
    ),
    CommandEntry("auth", "The token, in the first frame; answered by hello.", commands.Auth, None),
    CommandEntry("auth.refresh", "A new token on the live socket.", commands.Auth, _EXPIRY),
    CommandEntry("time", "The server's time.", commands.NoArgs, _TOLD_TIME),
    CommandEntry(
        "pong", "The answer to ping; needs no id, and without one gets no reply.", commands.NoArgs, _TOLD_TIME
    ),
)
