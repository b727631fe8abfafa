"""One player of the load client: a WebSocket on picows' compiled parser, with little Python around a frame."""

import json
import time
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any, Final, Literal, cast

import jwt
import msgspec
import picows
from picows import WSFrame, WSListener, WSMsgType, WSTransport

# Its signature ends in untyped keyword arguments for the event loop.
_ws_connect: Final = cast("Callable[..., Awaitable[tuple[Any, WSListener]]]", picows.ws_connect)  # pyright: ignore[reportUnknownMemberType]
FrameHandler = Callable[["Player", "Frame"], None]
Dialect = Literal["plain", "socketio", "centrifugo"]
"""How frames are wrapped: bare JSON objects, or around them Socket.IO's packets (Engine.IO protocol 4), or Centrifugo's
replies (its bidirectional protocol, as JSON)."""


class Frame(msgspec.Struct):
    """What the load client reads of a frame; all else is skipped undecoded."""

    type: str
    id: str | None = None
    seq: int = 0
    prev: int = 0
    all: int = 0
    epoch: str = ""
    feed: str = ""
    recovered: bool | None = None
    event: str | None = None
    reconnect_after_ms: int | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")
    error: msgspec.Raw = msgspec.Raw(b"null")
    result: msgspec.Raw = msgspec.Raw(b"null")


class _DueBuild(msgspec.Struct):
    id: str
    due_at: str


class _BuildData(msgspec.Struct):
    build: _DueBuild


class _Publication(msgspec.Struct):
    data: msgspec.Raw


class _Push(msgspec.Struct):
    pub: _Publication | None = None


class _Reply(msgspec.Struct):
    connect: msgspec.Raw = msgspec.Raw()
    push: _Push | None = None


decode_frame = msgspec.json.Decoder(Frame).decode
_decode_packet = msgspec.json.Decoder(tuple[str, msgspec.Raw]).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_build = msgspec.json.Decoder(_BuildData).decode


def due_of(push: Frame) -> tuple[str, float]:
    """The build id of a build's push or reply, and its `due_at` in seconds since 1970."""
    build = _decode_build(push.data if push.type == "push" else push.result).build
    return build.id, datetime.fromisoformat(build.due_at).timestamp()


class Player(WSListener):
    """A connected player; frames go to the handler that the action sets.

    Attributes:
        greeted_at: `time.perf_counter()` when `hello` came, 0 before.
        closed: whether the connection is gone.
        recovered: what the server's `hello` said of a resume.
    """

    def __init__(
        self, name: str, on_frame: FrameHandler, dialect: Dialect = "plain", opening: bytes | None = None
    ) -> None:
        super().__init__()
        self.name = name
        self._opening = opening
        self.on_frame = on_frame
        self.dialect = dialect
        self.greeted_at = 0.0
        self.closed = False
        self.recovered: bool | None = None
        self.epoch = ""
        self.seq = 0
        self.all_seq = 0
        self.transport: WSTransport | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        if self._opening is not None:
            self.send(self._opening)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            if frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()
            return
        if self.dialect == "socketio":
            self._packet(frame.get_payload_as_bytes())
        elif self.dialect == "centrifugo":
            self.take_replies(frame.get_payload_as_bytes())
        else:
            self._handle(decode_frame(frame.get_payload_as_memoryview()))

    def _handle(self, frame: Frame) -> None:
        if frame.type == "hello":
            self.greeted_at = time.perf_counter()
            self.epoch, self.seq, self.all_seq, self.recovered = frame.epoch, frame.seq, frame.all, frame.recovered
        elif frame.type == "ping":
            self.send(b'{"command":"pong"}')
        else:
            if frame.type == "push" and frame.feed == "all":
                self.all_seq = frame.seq
            elif frame.type == "push":
                self.seq = frame.seq
            self.on_frame(self, frame)

    def _packet(self, packet: bytes) -> None:
        if packet.startswith(b"42"):  # message, event
            event, body = _decode_packet(packet[2:])
            if event == "hello":
                self.greeted_at = time.perf_counter()
            else:
                self.on_frame(self, decode_frame(body))
        elif packet.startswith(b"0"):  # open: ask for the default namespace
            self.send(b"40")
        elif packet == b"2":
            self.send(b"3")

    def take_replies(self, lines: bytes) -> None:
        """Take a frame of Centrifugo's: replies and pushes, a line each; an empty object is its ping, and the pong."""
        for line in lines.split(b"\n"):
            if line == b"{}":
                self.send(line)
                continue
            reply = _decode_reply(line)
            if bytes(reply.connect):
                self.greeted_at = time.perf_counter()
            elif reply.push is not None and reply.push.pub is not None:
                self.on_frame(self, decode_frame(reply.push.pub.data))

    @property
    def position(self) -> str:
        """What a resume hands over, as the header `Starwake-Resume` takes it."""
        return json.dumps({"epoch": self.epoch, "seq": self.seq, "all": self.all_seq})

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        del transport
        self.closed = True

    def send(self, frame: bytes) -> None:
        """Send one text frame without waiting."""
        assert self.transport is not None
        self.transport.send(WSMsgType.TEXT, frame)


async def connect(  # noqa: PLR0913 - who, where, how
    url: str,
    name: str,
    secret: str,
    on_frame: FrameHandler,
    *,
    dialect: Dialect = "plain",
    resume: str | None = None,
    timeout_s: float = 60,
) -> Player:
    """A connected player; `hello` may not have come yet.

    Raises:
        OSError, picows.WSError: refused or not in time.
    """
    claims: dict[str, object] = {"sub": name, "iat": int(time.time()), "exp": int(time.time()) + 86_400}
    if dialect == "centrifugo":
        claims["channels"] = [f"#{name}", "all"]
    token = jwt.encode(claims, secret, "HS256")
    opening = json.dumps({"id": 1, "connect": {"token": token}}).encode() if dialect == "centrifugo" else None
    headers = {"Authorization": f"Bearer {token}"}
    if resume is not None:
        headers["Starwake-Resume"] = resume
    _, listener = await _ws_connect(
        lambda: Player(name, on_frame, dialect, opening),
        url,
        websocket_handshake_timeout=timeout_s,
        read_buffer_init_size=2048,
        extra_headers=headers,
    )
    assert isinstance(listener, Player)
    return listener
