"""A small server that keeps to the players' protocol, in this process, with faults on demand.

It stands in for the gateway in the client's unit tests only; that the client and the real gateway understand each
other is shown by the scenarios in tests/journey/clients.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Frame = dict[str, Any]
Handler = Callable[[Frame], Frame | None]


def timestamp(ahead_s: float = 0) -> str:
    """Now, or so many seconds later, as frames spell it."""
    return (datetime.now(UTC) + timedelta(seconds=ahead_s)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def build(**changes: object) -> Frame:
    """A build object."""
    return {
        "id": str(uuid4()),
        "kind": "dock",
        "site": "luna-1",
        "state": "building",
        "revision": 1,
        "started_at": timestamp(),
        "due_at": timestamp(60),
        "completed_at": None,
        "cancelled_at": None,
        **changes,
    }


class Universe:
    """The server: two feeds, who is connected, what was received, and how commands are answered."""

    def __init__(self) -> None:
        self.epoch = "e1"
        self.feeds: dict[str, list[Frame]] = {"player": [], "all": []}
        self.kept_from = {"player": 0, "all": 0}
        self.seq = 0
        self.tokens = {"good"}
        self.token_life_s: float = 3600
        self.ping_interval_s: float = 25
        self.limits: Frame = {"max_frame_bytes": 65536, "commands_per_s": 1000, "burst": 1000}
        self.status: HTTPStatus | None = None
        self.greets = True
        self.received: list[Frame] = []
        self.upgrades: list[dict[str, str]] = []
        self.sockets: list[ServerConnection] = []
        self.handlers: dict[str, Handler] = {
            "time": lambda _: {"result": {"server_time": timestamp()}},
            "event.list": lambda _: {"result": {"events": [], "next": None}},
            "feed.list": lambda frame: {"result": {"pushes": self.feeds[frame["args"]["feed"]], "next": None}},
        }
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @asynccontextmanager
    async def running(self) -> AsyncGenerator["Universe"]:
        """Listen on a free port."""
        async with serve(self._serve, "127.0.0.1", 0, process_request=self._upgrade, ping_interval=None) as server:
            self._server = server
            yield self
            await self.drop()

    def commands(self, name: str) -> list[Frame]:
        """The frames received of one command, in order."""
        return [frame for frame in self.received if frame.get("command") == name]

    # -- faults ----------------------------------------------------------------------------------------------------

    async def drop(self) -> None:
        """Break every connection without a word."""
        for socket in self.sockets:
            socket.transport.abort()
        await asyncio.gather(*(socket.wait_closed() for socket in self.sockets))
        self.sockets.clear()

    async def close(self, code: int, reason: str = "", bye: Frame | None = None) -> None:
        """Close every connection with a code, after a `bye` if one is given."""
        for socket in list(self.sockets):
            if bye is not None:
                await socket.send(json.dumps({"type": "bye", "code": code, "reason": reason, **bye}))
            await socket.close(code, reason)
        self.sockets.clear()

    async def push(self, event: str, data: Frame | None = None, *, feed: str = "player", lost: bool = False) -> Frame:
        """Append to a feed and send it to everybody connected, unless it is `lost` on the way."""
        self.seq += 1
        entries = self.feeds[feed]
        prev = entries[-1]["seq"] if entries else 0
        frame = {"type": "push", "seq": self.seq, "prev": prev, "event": event, "at": timestamp(), "data": data or {}}
        if feed == "all":
            frame["feed"] = "all"
        entries.append(frame)
        if not lost:
            await self.send(frame)
        return frame

    async def ping(self) -> None:
        """Ask every client for a sign of life."""
        positions = {"seq": self._last("player"), "all": self._last("all")}
        await self.send({"type": "ping", "server_time": timestamp(), **positions})

    async def send(self, frame: Frame) -> None:
        """Send a frame to everybody connected."""
        for socket in list(self.sockets):
            await socket.send(json.dumps(frame))

    # -- the protocol ----------------------------------------------------------------------------------------------

    def _last(self, feed: str) -> int:
        return self.feeds[feed][-1]["seq"] if self.feeds[feed] else 0

    def _upgrade(self, connection: ServerConnection, request: Request) -> Response | None:
        self.upgrades.append({key.lower(): value for key, value in request.headers.raw_items()})
        if self.status is not None:
            return connection.respond(self.status, "not now\n")
        header = request.headers.get("Authorization")
        if header is not None and header.removeprefix("Bearer ") not in self.tokens:
            return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n")
        return None

    async def _serve(self, socket: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            assert socket.request is not None
            headers = socket.request.headers
            resume = json.loads(headers["Starwake-Resume"]) if "Starwake-Resume" in headers else None
            if "Authorization" not in headers:
                auth = json.loads(await socket.recv())
                self.received.append(auth)
                if auth["args"]["token"] not in self.tokens:
                    await socket.close(4500, "invalid token")
                    return
                resume = auth["args"].get("resume")
            if not self.greets:
                await socket.wait_closed()
            await self._greet(socket, resume)
            async for text in socket:
                await self._command(socket, json.loads(text))

    async def _greet(self, socket: ServerConnection, resume: Frame | None) -> None:
        replay = None if resume is None else self._replay(resume)
        hello = {
            "type": "hello",
            "player": "ada",
            "session": str(uuid4()),
            "server_time": timestamp(),
            "epoch": self.epoch,
            "seq": self._last("player"),
            "all": self._last("all"),
            "recovered": None if resume is None else replay is not None,
            "token_expires_at": timestamp(self.token_life_s),
            "ping_interval_s": self.ping_interval_s,
            "limits": self.limits,
        }
        self.sockets.append(socket)
        for frame in [hello, *(replay or [])]:
            await socket.send(json.dumps(frame))

    def _replay(self, resume: Frame) -> list[Frame] | None:
        positions = {"player": resume["seq"], "all": resume["all"]}
        trimmed = any(positions[feed] < kept for feed, kept in self.kept_from.items())
        if resume["epoch"] != self.epoch or trimmed:
            return None
        missed = [frame for feed, entries in self.feeds.items() for frame in entries if frame["seq"] > positions[feed]]
        return sorted(missed, key=lambda frame: frame["seq"])

    async def _command(self, socket: ServerConnection, frame: Frame) -> None:
        self.received.append(frame)
        handler = self.handlers.get(frame["command"])
        answer = None if handler is None else handler(frame)
        if answer is not None:
            kind = "error" if "error" in answer else "reply"
            head = {"type": kind, "id": frame["id"], "command": frame["command"]}
            await socket.send(json.dumps({**head, **answer}))
