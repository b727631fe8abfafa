"""The readable form of the protocol's document, served at /docs/protocol: made from the same tables, no script."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any, Final

import msgspec

from starwake.contracts import frames
from starwake.contracts.reasons import CloseCode
from starwake.gateway.protocol_commands import COMMANDS, Json
from starwake.gateway.protocol_document import CLOSE_MEANINGS, ERROR_MEANINGS, EVENTS, document

_HEAD: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Starwake: the players' protocol</title>
<link rel="stylesheet" href="/docs/protocol.css">
</head>
<body>
"""
_LEAD: Final = (
    f"<p>A WebSocket at <code>/ws</code>; the subprotocol <code>{frames.SUBPROTOCOL}</code> may be offered. Every "
    "message is one UTF-8 JSON object in a text frame. The token comes in the header "
    "<code>Authorization: Bearer</code>, or in the first frame; never in the URL. Replies and pushes are "
    "independent: a push may come at any time.</p>"
)
_NAVIGATION: Final = (
    '<nav><a href="#commands">Commands</a><a href="#frames">Server frames</a><a href="#events">Events</a>'
    '<a href="#errors">Errors</a><a href="#closes">Closing</a><a href="#subjects">Subjects</a>'
    '<a href="/docs/asyncapi.json">AsyncAPI document</a></nav>'
)
_REFUSAL: Final = (
    '{"type": "error", "id": "c1", "command": "build.start",\n'
    ' "error": {"code": "site_busy", "message": "luna-1 is already building a dock", "retry_after_ms": null}}'
)
_PUSH: Final = (
    '{"type": "push", "seq": 812, "prev": 790, "event": "build.completed", "at": "2026-11-22T10:00:00.123Z",\n'
    ' "data": {"build": {...}}}'
)
_EXAMPLES: Final = (
    ("The first frame", '{"id": "1", "command": "auth", "args": {"token": "<jwt>"}}'),
    ("A command", '{"id": "c1", "command": "build.start", "args": {"kind": "shipyard", "site": "luna-1"}}'),
    ("Its reply", '{"type": "reply", "id": "c1", "command": "build.start", "result": {"build": {...}}}'),
    ("A refusal", _REFUSAL),
    ("A push", _PUSH),
)


def protocol_page() -> str:
    """The page as HTML."""
    described = document()
    parts = [
        _HEAD,
        "<h1>The players&rsquo; protocol, v1</h1>",
        _LEAD,
        _NAVIGATION,
        *(f"<p>{escape(title)}</p><pre><code>{escape(example)}</code></pre>" for title, example in _EXAMPLES),
        _section("commands", "Commands", ("Command", "Arguments", "Result", ""), _command_rows(described)),
        _section("frames", "Server frames", ("Type", "Fields", ""), _frame_rows(described)),
        _section("events", "Events", ("Event", ""), ((_code(name), escape(text)) for name, text in EVENTS.items())),
        _section(
            "errors",
            "Error codes",
            ("Code", "Meaning"),
            ((_code(code.value), escape(text)) for code, text in ERROR_MEANINGS.items()),
        ),
        _section(
            "closes",
            "Close codes",
            ("Code", "Meaning", "Then"),
            ((_code(str(int(code))), escape(text), _then(code)) for code, text in CLOSE_MEANINGS.items()),
        ),
        _section("subjects", "NATS subjects", ("Subject", "", ""), _subject_rows(described)),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _section(anchor: str, title: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return (
        f'<h2 id="{anchor}">{escape(title)}</h2>\n<div class="table"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _command_rows(described: Json) -> Iterable[Sequence[str]]:
    schemas = described["components"]["schemas"]
    for entry in COMMANDS:
        arguments = _fields(schemas[entry.args.__name__])
        result = "" if entry.result is None else _fields(entry.result)
        yield _code(entry.name), arguments, result, escape(entry.summary)


def _frame_rows(described: Json) -> Iterable[Sequence[str]]:
    for name in ("Hello", "Push", "PushToAll", "Reply", "ErrorFrame", "Ping", "Bye"):
        schema = described["components"]["schemas"][name]
        message = described["components"]["messages"]["Error" if name == "ErrorFrame" else name]
        frame_type = _frame_type(schema["properties"]["type"])
        yield _code(frame_type), _fields(schema, without="type"), escape(message["summary"])


def _frame_type(schema: Json) -> str:
    return str(schema.get("const") or schema["enum"][0])


def _subject_rows(described: Json) -> Iterable[Sequence[str]]:
    for key, channel in described["channels"].items():
        if key != "players":
            yield _code(channel["address"]), escape(channel["title"]), escape(channel["description"])


def _fields(schema: Json, *, without: str = "") -> str:
    properties: dict[str, Any] = schema.get("properties", {})
    required = schema.get("required", [])
    return ", ".join(
        f"<code>{escape(name)}{'' if name in required else '?'}</code>" for name in properties if name != without
    )


def _then(code: CloseCode) -> str:
    if code in (CloseCode.NORMAL, CloseCode.GOING_AWAY):
        return "as the client likes"
    return "reconnect with jitter, resume" if code.reconnect else "stop"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def asyncapi_json() -> bytes:
    """The document itself, as it is served."""
    return msgspec.json.encode(document(), order="deterministic")
