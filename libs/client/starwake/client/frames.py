"""The server's frames, decoded; the client's, encoded. Pure.

The structs are this side's own rather than the gateway's: a client reads tolerantly (fields may be missing or new)
what a server writes strictly.
"""

import re
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from starwake.contracts.frames import MAX_FRAME_BYTES, UNREADABLE, Position


class Limits(msgspec.Struct, frozen=True):
    """What the gateway accepts: bytes a frame, commands a second, commands at once."""

    max_frame_bytes: int = MAX_FRAME_BYTES
    commands_per_s: float = 10
    burst: int = 20


class Hello(msgspec.Struct, frozen=True, tag="hello", tag_field="type", kw_only=True):
    """The session stands."""

    player: str
    session: str
    server_time: datetime
    epoch: str
    seq: int
    all: int = 0
    recovered: bool | None = None
    token_expires_at: datetime | None = None
    ping_interval_s: float = 25
    limits: Limits = Limits()


class Reply(msgspec.Struct, frozen=True, tag="reply", tag_field="type", kw_only=True):
    """A command was carried out."""

    id: str | None = None
    command: str | None = None
    result: dict[str, Any] = {}


class ErrorBody(msgspec.Struct, frozen=True):
    """Why a command was refused."""

    code: str
    message: str = ""
    retry_after_ms: int | None = None


class ErrorFrame(msgspec.Struct, frozen=True, tag="error", tag_field="type", kw_only=True):
    """A command was refused; without an `id` the server could not read the frame at all."""

    id: str | None = None
    command: str | None = None
    error: ErrorBody


class PushFrame(msgspec.Struct, frozen=True, tag="push", tag_field="type", kw_only=True):
    """A push, with its place in its feed and that of the one before it."""

    seq: int
    prev: int
    event: str
    at: datetime
    data: dict[str, Any] = {}
    feed: Literal["player", "all"] = "player"


class Ping(msgspec.Struct, frozen=True, tag="ping", tag_field="type", kw_only=True):
    """The server asks whether we are there, and says how far the feeds are."""

    seq: int | None = None
    all: int | None = None
    server_time: datetime | None = None


class Bye(msgspec.Struct, frozen=True, tag="bye", tag_field="type", kw_only=True):
    """The server is about to close."""

    code: int
    reason: str = ""
    reconnect: bool = True
    reconnect_after_ms: int | None = None


_PLACE = re.compile(r'\{"type":"push",(?:"feed":"(all)",)?"seq":(\d{1,19}),"prev":(\d{1,19})[,}]')
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

ServerFrame = Hello | Reply | ErrorFrame | PushFrame | Ping | Bye

_decoder: msgspec.json.Decoder[ServerFrame] = msgspec.json.Decoder(ServerFrame)
_encoder = msgspec.json.Encoder()


def decode(text: str | bytes) -> ServerFrame:
    """The server's frame in `text`.

    Raises:
        msgspec.DecodeError: not JSON, of no known `type`, or malformed.
    """
    return _decoder.decode(text)


def place_of(text: str | bytes) -> PushFrame | None:
    """The place in its feed of a push that cannot be read otherwise (`UNREADABLE`); None where it shows none."""
    found = _PLACE.match(text if isinstance(text, str) else text.decode(errors="replace"))
    if found is None:
        return None
    feed: Literal["player", "all"] = "all" if found[1] else "player"
    return PushFrame(seq=int(found[2]), prev=int(found[3]), event=UNREADABLE, at=_LONG_AGO, feed=feed)


def moment_of(value: object) -> datetime | None:
    """The time that a field of a result holds, None if it holds none: an odd field must not end a session."""
    try:
        return msgspec.convert(value, datetime)
    except msgspec.ValidationError:
        return None


def resume_args(position: Position) -> dict[str, object]:
    """A position as `resume` says it: in full, also where a feed stands at 0."""
    resume: dict[str, object] = {"epoch": position.epoch, "seq": position.seq, "all": position.all}
    return resume if position.at is None else {**resume, "at": position.at}


def encode_command(command_id: str | None, command: str, args: object = None) -> str:
    """A command's frame; `args` (a dict or a Struct) is left out where it is None.

    Raises:
        TypeError: `args` holds something that JSON cannot say.
    """
    frame: dict[str, object] = {"command": command}
    if command_id is not None:
        frame["id"] = command_id
    if args is not None:
        frame["args"] = args
    return _encoder.encode(frame).decode()
