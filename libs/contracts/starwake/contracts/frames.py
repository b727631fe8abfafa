"""The frames of the players' protocol: decoding what a client sends, encoding what the server sends.

On the hot path a frame is put together from bytes that are already JSON: the command service's reply body and the
stored body of a push are passed through undecoded.
"""

from typing import Any

import msgspec

from starwake.contracts.ids import MAX_COMMAND_ID_CHARACTERS
from starwake.contracts.reasons import ErrorCode

SUBPROTOCOL = "starwake.v1"
MAX_FRAME_BYTES = 65_536
MAX_RESULT_BYTES = 196_608
"""Of a reply: 192 KiB, below the smallest `max_payload` that is planned with (256 KB in `deploy/nats`)."""


class Command(msgspec.Struct, frozen=True):
    """A client's frame; `args` stays undecoded until somebody needs it."""

    command: str
    id: str | None = None
    args: msgspec.Raw = msgspec.Raw(b"{}")


class Position(msgspec.Struct, frozen=True, omit_defaults=True):
    """How far a client has come: `resume` in `auth`, or the header `Starwake-Resume`."""

    epoch: str
    seq: int
    all: int = 0
    at: str | None = None


class Error(msgspec.Struct, frozen=True):
    """The `error` object of an error frame."""

    code: str
    message: str
    retry_after_ms: int | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The `limits` object of `hello`: what this gateway accepts.

    `burst` and `commands_per_s` count tokens: a command costs one, a list one for each hundred of its `limit`.
    """

    max_frame_bytes: int
    commands_per_s: float
    burst: int
    connections_per_player: int


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag="hello"):
    """The first server frame after authentication."""

    player: str
    session: str
    server_time: str
    epoch: str
    seq: int
    all: int
    recovered: bool | None
    token_expires_at: str
    ping_interval_s: float
    limits: Limits


UNREADABLE = "unreadable"
"""The event of a push whose stored body is none: it keeps its place in the feed, and clients pass over it."""


class _Body(msgspec.Struct):
    event: str
    data: msgspec.Raw = msgspec.Raw(b"{}")
    at: str | msgspec.UnsetType = msgspec.UNSET
    type: Any = msgspec.UNSET
    feed: Any = msgspec.UNSET
    seq: Any = msgspec.UNSET
    prev: Any = msgspec.UNSET


_OBJECT = ord("{")
_decode_body = msgspec.json.Decoder(_Body).decode
_encoder = msgspec.json.Encoder()
_command_decoder = msgspec.json.Decoder(Command)


def decode_command(frame: bytes | str) -> Command:
    """The command in a client's frame.

    Raises:
        msgspec.ValidationError: JSON, but not a command (a subclass of DecodeError: catch it first).
        msgspec.DecodeError: not JSON.
    """
    return _command_decoder.decode(frame)


def is_command_id(text: str) -> bool:
    """Whether `text` may be a command's id: 1 to 64 characters."""
    return 0 < len(text) <= MAX_COMMAND_ID_CHARACTERS


def encode(frame: object) -> bytes:
    """A frame (a Struct or a dict) as JSON."""
    return _encoder.encode(frame)


def result_body(result: object) -> bytes:
    """What a service answers to a command that it carried out: `{"result":...}`."""
    return _encoder.encode({"result": result})


def error_body(code: ErrorCode, message: str, retry_after_ms: int | None = None) -> bytes:
    """What a service answers to a command that it refused: `{"error":{...}}`."""
    return _encoder.encode({"error": Error(code.value, message, retry_after_ms)})


def answer_frame(command_id: str | None, command: str | None, body: bytes) -> bytes:
    """The frame that carries a service's answer: a reply, or an error where `body` starts with `{"error"`.

    `body` is what `result_body` or `error_body` made; it is joined, not decoded.
    """
    kind = b'{"type":"error","id":' if body.startswith(b'{"error"') else b'{"type":"reply","id":'
    return b"".join((kind, _encoder.encode(command_id), b',"command":', _encoder.encode(command), b",", body[1:]))


def error_frame(
    command_id: str | None,
    command: str | None,
    code: ErrorCode,
    message: str,
    retry_after_ms: int | None = None,
) -> bytes:
    """An error frame; `id` is null where the client's frame had none that could be read."""
    return answer_frame(command_id, command, error_body(code, message, retry_after_ms))


def is_push_body(body: bytes) -> bool:
    """Whether a stored body may be joined into a push frame: a JSON object with an event, and none of the frame's own
    fields, in UTF-8. `data` is only looked over, not decoded.
    """  # noqa: D205 - one sentence
    if not body.startswith(b"{") or not (body.isascii() or _is_utf8(body)):
        return False
    try:
        found = _decode_body(body)
    except (msgspec.DecodeError, RecursionError):
        return False
    unset = msgspec.UNSET
    return (
        found.type is unset
        and found.seq is unset
        and found.prev is unset
        and found.feed is unset
        and memoryview(found.data)[0] == _OBJECT
    )


def unreadable_body(at: str) -> bytes:
    """What stands in for a body that `is_push_body` refuses; `at` as RFC 3339."""
    return _encoder.encode({"event": UNREADABLE, "at": at, "data": {}})


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def push_frame(seq: int, prev: int, body: bytes) -> bytes:
    """The frame of a push in the player's own feed; `body` is the stored one, joined undecoded."""
    return b'{"type":"push","seq":%d,"prev":%d,%b' % (seq, prev, body[1:])


def push_all_frame(seq: int, prev: int, body: bytes) -> bytes:
    """The frame of a push in the feed that everybody has."""
    return b'{"type":"push","feed":"all","seq":%d,"prev":%d,%b' % (seq, prev, body[1:])


def ping_frame(seq: int, all_seq: int, server_time: str) -> bytes:
    """The application ping, with the positions of both feeds and the server's time."""
    return b'{"type":"ping","seq":%d,"all":%d,"server_time":"%b"}' % (seq, all_seq, server_time.encode())


def bye_frame(code: int, reason: str, *, reconnect: bool, reconnect_after_ms: int) -> bytes:
    """The announcement of a close."""
    return _encoder.encode(
        {
            "type": "bye",
            "code": code,
            "reason": reason,
            "reconnect": reconnect,
            "reconnect_after_ms": reconnect_after_ms,
        }
    )
