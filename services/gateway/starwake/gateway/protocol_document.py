"""The AsyncAPI 3 document of the players' protocol and of the NATS subjects, generated from the contracts.

python -m starwake.gateway.protocol_document           writes services/gateway/starwake/gateway/docs/asyncapi.json
python -m starwake.gateway.protocol_document --check   fails where that file is not what would be written
"""

import sys
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from starwake.contracts import alarms, builds, commands, events, frames, queued
from starwake.contracts.reasons import CloseCode, ErrorCode
from starwake.gateway.limits import ConnectionLimits
from starwake.gateway.protocol_commands import COMMANDS, SCHEMAS, TIME, Json, object_schema, ref
from starwake.runtime.tracing import TRACEPARENT

PATH: Final = Path(__file__).parent / "docs" / "asyncapi.json"

_LIMITS: Final = ConnectionLimits()


EVENTS: Final = {
    events.BUILD_STARTED: "A build has begun.",
    events.BUILD_RESCHEDULED: "A build's due time has changed.",
    events.BUILD_COMPLETED: "A build is done; completed_at is its due_at.",
    events.BUILD_CANCELLED: "A build was cancelled.",
    events.STARS_DISCOVERED: "A telescope or probe has found something.",
    events.DRAGONS_INBOUND: "They are coming; remaining_s is the time that is left.",
    events.DRAGONS_ARRIVED: "They are here.",
}

CLOSE_MEANINGS: Final = {
    CloseCode.NORMAL: "normal",
    CloseCode.GOING_AWAY: "normal",
    CloseCode.INVALID_DATA: "a text frame that is not UTF-8",
    CloseCode.TOO_BIG: f"a frame over {_LIMITS.max_frame_bytes} bytes",
    CloseCode.DRAINING: "the server is draining (deploy)",
    CloseCode.TOKEN_EXPIRED: f"the token expired and was not refreshed within {_LIMITS.token_grace_s:g} s",
    CloseCode.SLOW_CONSUMER: (
        f"slow consumer: more than {_LIMITS.max_outbox_bytes} bytes or {_LIMITS.max_outbox_pushes} pushes waiting, "
        f"or a write stuck for {_LIMITS.stuck_write_s:g} s; resume and nothing is lost"
    ),
    CloseCode.FEED_INTERRUPTED: "the feed was interrupted and cannot be refilled here",
    CloseCode.NO_LIFE_SIGN: "no life sign for two ping intervals",
    CloseCode.TOO_MANY_COMMANDS: "too many commands after warnings",
    CloseCode.INVALID_TOKEN: "the token does not hold",
    CloseCode.MALFORMED: f"malformed beyond tolerance: a binary frame, {_LIMITS.max_bad_frames} bad frames in a row",
    CloseCode.NOT_AUTHENTICATED: f"no authentication within {_LIMITS.authentication_s:g} s",
    CloseCode.REVOKED: "the session was revoked by an operator",
    CloseCode.CONNECTION_LIMIT: "the player's connection limit was reached; the oldest is evicted",
}

ERROR_MEANINGS: Final = {
    ErrorCode.BAD_JSON: "the frame is not JSON",
    ErrorCode.BAD_REQUEST: "the frame is not a command, or its arguments are not what the command takes",
    ErrorCode.UNKNOWN_COMMAND: "there is no such command",
    ErrorCode.UNKNOWN_KIND: "the catalogue has no such kind",
    ErrorCode.SITE_BUSY: "the site builds something already",
    ErrorCode.NOT_FOUND: "there is no such build of this player",
    ErrorCode.NOT_BUILDING: "the build is completed or cancelled",
    ErrorCode.LIMIT_REACHED: "the player builds as much as is allowed at once",
    ErrorCode.ID_REUSED: "the id belongs to another command or to other arguments",
    ErrorCode.FORBIDDEN: "not allowed to this player, or not before authentication",
    ErrorCode.RATE_LIMITED: "too many commands, or reads of one player at once; retry_after_ms says when to try again",
    ErrorCode.UNAVAILABLE: "the service behind is not answering; safe to retry with the same id",
    ErrorCode.INTERNAL: "the command failed on the server's side",
}


def document() -> Json:
    """The whole document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Starwake",
            "version": "1",
            "description": "The players' WebSocket protocol, v1, and the NATS subjects between the services.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "gateway": {
                "host": "{host}",
                "protocol": "wss",
                "description": f"The players' port; the subprotocol {frames.SUBPROTOCOL} may be offered.",
                "variables": {"host": {"default": "localhost:8080"}},
                "bindings": {},
            },
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "description": "Between the services; players never reach it.",
                "variables": {"host": {"default": "localhost:4222"}},
            },
        },
        "channels": {**_player_channels(), **_nats_channels()},
        "operations": _operations(),
        "components": {"schemas": _schemas(), "messages": _messages()},
    }


def _player_channels() -> Json:
    names = [*(_command_message(entry.name) for entry in COMMANDS), *_SERVER_FRAMES]
    return {
        "players": {
            "address": "/ws",
            "title": "The players' socket",
            "description": "One UTF-8 JSON object a text frame. The token comes in the header Authorization: Bearer, "
            "or in the first frame (auth). Replies and pushes are independent of one another.",
            "servers": [{"$ref": "#/servers/gateway"}],
            "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
            "bindings": {
                "ws": {
                    "method": "GET",
                    "headers": object_schema(
                        {
                            "Authorization": {"type": "string", "description": "Bearer and a JWT"},
                            "Starwake-Resume": {"type": "string", "description": "a Position as JSON"},
                        },
                        required=[],
                    ),
                    "bindingVersion": "0.1.0",
                }
            },
        }
    }


class _Subject(NamedTuple):
    key: str
    address: str
    title: str
    description: str
    message: str


_SUBJECTS: Final = (
    _Subject(
        "commands", "cmd.{player}.{command}", "Commands", "Request/reply: gateway to command service.", "CommandRequest"
    ),
    _Subject(
        "ops", "ops.{command}", "Operators' commands", "Request/reply: CLI and game code to command.", "OpsRequest"
    ),
    _Subject("notify", "notify.player.{player}", "A player's feed", "Stored in NOTIFICATIONS.", "Notification"),
    _Subject("notifyAll", "notify.all", "Everybody's feed", "Stored in NOTIFICATIONS.", "Notification"),
    _Subject("push", "push.player.{player}", "A player's feed, live", "Republished once stored.", "Notification"),
    _Subject("pushAll", "push.all", "Everybody's feed, live", "Republished once stored.", "Notification"),
    _Subject("timerSet", "timer.set.{kind}.{id}.r{revision}", "Alarms, set", "Message schedules in TIMERS.", "Alarm"),
    _Subject("timerDue", "timer.due.{kind}.{id}.r{revision}", "Alarms, due", "Fired by the server.", "Alarm"),
    _Subject("revoked", "revoked.{player}", "Revocations", "The latest of each player, in REVOCATIONS.", "Revocation"),
    _Subject("revoke", "control.{player}.revoke", "Revocations, live", "Republished once stored.", "Revocation"),
    _Subject("connected", "control.{player}.connected", "A player connected", "Gateway to gateways.", "Present"),
    _Subject("present", "control.{player}.present", "Who holds a player", "Gateway to gateways.", "Present"),
    _Subject("epoch", "control.all.epoch", "The feeds began anew", "Scheduler to gateways.", "Epoch"),
)

_TRACE: Final[Json] = {
    TRACEPARENT: {"type": "string", "description": "W3C Trace Context of what led to it, where traces are kept"}
}
_HEADERS: Final[Json] = {
    "CommandRequest": {
        commands.REFUSALS_HEADER: {
            "type": "integer",
            "minimum": 0,
            "description": "how often this very order was refused, as far as its sender knows; 0 where it is missing",
        },
        **_TRACE,
    },
    "OpsRequest": _TRACE,
    "Notification": _TRACE,
}

_PARAMETERS: Final = {
    "player": "the player id, every byte outside [A-Za-z0-9_-] percent-encoded: one token, injective",
    "command": "the command's dotted lower-case name",
    "kind": "build or event",
    "id": "the row's UUID",
    "revision": "the row's revision that the alarm was set for",
}


def _nats_channels() -> Json:
    channels: Json = {}
    for subject in _SUBJECTS:
        channels[subject.key] = {
            "address": subject.address,
            "title": subject.title,
            "description": subject.description,
            "servers": [{"$ref": "#/servers/nats"}],
            "messages": {subject.message: {"$ref": f"#/components/messages/{subject.message}"}},
        }
        parameters = {
            name: {"description": text} for name, text in _PARAMETERS.items() if f"{{{name}}}" in subject.address
        }
        if parameters:
            channels[subject.key]["parameters"] = parameters
    return channels


_SERVER_FRAMES: Final = ("Hello", "Push", "PushToAll", "Reply", "Error", "Ping", "Bye")


def _operations() -> Json:
    players = "#/channels/players"
    operations: Json = {}
    for entry in COMMANDS:
        message = _command_message(entry.name)
        operations[message] = {
            "action": "receive",
            "channel": {"$ref": players},
            "summary": entry.summary,
            "messages": [{"$ref": f"{players}/messages/{message}"}],
            "reply": {
                "channel": {"$ref": players},
                "messages": [
                    {"$ref": f"{players}/messages/{name}"}
                    for name in (("Hello", "Error") if entry.name == "auth" else ("Reply", "Error"))
                ],
            },
        }
    for name in ("Push", "PushToAll", "Ping", "Bye"):
        operations[f"send{name}"] = {
            "action": "send",
            "channel": {"$ref": players},
            "messages": [{"$ref": f"{players}/messages/{name}"}],
        }
    return operations


def _command_message(name: str) -> str:
    return "".join(word.capitalize() for word in name.split(".")) + "Command"


def _messages() -> Json:
    messages: Json = {}
    for entry in COMMANDS:
        payload = object_schema(
            {"id": ref("CommandId"), "command": {"const": entry.name}, "args": ref(entry.args.__name__)},
            required=["command"] if entry.name == "pong" else ["id", "command"],
        )
        name = _command_message(entry.name)
        messages[name] = {"name": entry.name, "title": entry.name, "summary": entry.summary, "payload": payload}
        if entry.result is not None:
            messages[name]["x-result"] = entry.result
    frames_of_the_server: Json = {
        "Hello": ("The first server frame after authentication.", ref("Hello")),
        "Push": ("An event in the player's own feed.", ref("Push")),
        "PushToAll": ("An event in the feed that everybody has.", ref("PushToAll")),
        "Reply": ("A command was carried out.", ref("Reply")),
        "Error": ("A command was refused.", ref("ErrorFrame")),
        "Ping": ("Answer with pong.", ref("Ping")),
        "Bye": ("The connection is about to be closed.", ref("Bye")),
    }
    services: Json = {
        "CommandRequest": (
            "The player's frame, its bytes unchanged; answered by {result} or {error}.",
            ref("AnyCommand"),
        ),
        "OpsRequest": ("An operator's command.", {"oneOf": [ref("Announce"), ref("CancelEvent")]}),
        "Notification": ("A push without type, seq and prev.", ref("Notification")),
        "Alarm": ("The row as it was when the alarm was set.", {"oneOf": [ref("BuildAlarm"), ref("EventAlarm")]}),
        "Revocation": ("Tokens issued up to then count no more.", object_schema({"revoked_at": TIME})),
        "Present": (
            "The sessions that a gateway holds for the player.",
            object_schema({"gateway": {"type": "string"}, "sessions": {"type": "array", "items": {"type": "string"}}}),
        ),
        "Epoch": ("The new epoch, as plain text.", {"type": "string"}),
    }
    for name, (summary, payload) in {**frames_of_the_server, **services}.items():
        messages[name] = {"name": name, "title": name, "summary": summary, "payload": payload}
        if name in _HEADERS:
            messages[name]["headers"] = object_schema(_HEADERS[name], required=[])
    messages["Epoch"]["contentType"] = "text/plain"
    return messages


def _schemas() -> Json:
    structs = (
        *(builds.Build, builds.FollowUp, frames.Hello, frames.Error, frames.Limits, frames.Position),
        *(commands.BuildStart, commands.BuildCancel, commands.BuildReschedule, commands.BuildList, commands.NoArgs),
        *(commands.BuildUnqueue, commands.BuildQueued, queued.Queued, commands.EventList, commands.FeedList),
        *(commands.Announce, commands.CancelEvent, alarms.BuildAlarm, alarms.EventAlarm),
    )
    _, schemas = msgspec.json.schema_components(structs, ref_template=SCHEMAS + "{name}")
    seq: Json = {"type": "integer", "minimum": 0, "description": "the stream's sequence; 0 where there is none"}
    event: Json = {
        "event": {"type": "string", "examples": list(EVENTS)},
        "at": TIME,
        "data": {"type": "object"},
    }
    push: Json = {"type": {"const": "push"}, "seq": seq, "prev": seq, **event}
    close_codes: Json = {"type": "integer", "enum": [int(code) for code in CLOSE_MEANINGS]}
    answered: Json = {"id": {"type": ["string", "null"]}, "command": {"type": ["string", "null"]}}
    position: Json = {"oneOf": [ref("Position"), {"type": "null"}]}
    return {
        **schemas,
        # By hand: the struct keeps the position undecoded.
        "Auth": object_schema({"token": {"type": "string"}, "resume": position}, required=["token"]),
        "CommandId": {"type": "string", "minLength": 1, "maxLength": 64, "description": "also the idempotency key"},
        "AnyCommand": object_schema(
            {"id": ref("CommandId"), "command": {"type": "string"}, "args": {"type": "object"}},
            required=["id", "command"],
        ),
        "ErrorCode": {"type": "string", "enum": [code.value for code in ERROR_MEANINGS]},
        "CloseCode": close_codes,
        "Notification": object_schema(event),
        "Upcoming": object_schema(
            {
                "id": {"type": "string"},
                "feed": {"enum": ["player", "all"]},
                "event": {"type": "string"},
                "due_at": TIME,
                "data": {"type": "object"},
                "announced_at": TIME,
            }
        ),
        "Push": object_schema(push),
        "PushToAll": object_schema({**push, "feed": {"const": "all"}}),
        "Reply": object_schema({"type": {"const": "reply"}, **answered, "result": {"type": "object"}}),
        "ErrorFrame": object_schema({"type": {"const": "error"}, **answered, "error": ref("Error")}),
        "Ping": object_schema({"type": {"const": "ping"}, "seq": seq, "all": seq, "server_time": TIME}),
        "Bye": object_schema(
            {
                "type": {"const": "bye"},
                "code": ref("CloseCode"),
                "reason": {"type": "string"},
                "reconnect": {"type": "boolean"},
                "reconnect_after_ms": {"type": "integer", "minimum": 0},
            }
        ),
    }


def rendered() -> str:
    """The document as it is stored: stable, so that a difference is a change of the protocol."""
    return msgspec.json.format(msgspec.json.encode(document(), order="deterministic"), indent=2).decode() + "\n"


def main(arguments: list[str]) -> int:
    """Write the document, or check that it is fresh; the process's exit code."""
    text = rendered()
    if "--check" not in arguments:
        PATH.parent.mkdir(exist_ok=True)
        PATH.write_text(text)
        return 0
    if not PATH.exists() or PATH.read_text() != text:
        print(  # noqa: T201 - for whoever runs the check
            f"{PATH} is stale: run `python -m starwake.gateway.protocol_document` and commit it", file=sys.stderr
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
