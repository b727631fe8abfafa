"""A client that writes down all that it does and sees, and trusts nobody: no SDK between it and the socket."""

import asyncio
import json
import time
from contextlib import suppress
from random import Random
from typing import Any
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.chaos.history import Answered, ClientLog, Joined, Left, Ordered, Pushed

_OPEN_SECONDS = 5.0
_ANSWER_SECONDS = 4.0
_LATER = frozenset({"unavailable", "rate_limited"})


class Client:
    """One socket of a player, for as long as `run` does; it comes back and resumes whatever happens to it."""

    def __init__(self, player: str, name: str, urls: list[str], token: str, dice: Random) -> None:
        self.log = ClientLog(player, name)
        self.position: dict[str, Any] | None = None
        self._urls = urls
        self._token = token
        self._dice = dice
        self._socket: ClientConnection | None = None
        self._there = asyncio.Event()
        self._answers: dict[str, asyncio.Future[dict[str, Any]]] = {}

    @property
    def seq(self) -> int:
        """How far it has come."""
        return -1 if self.position is None else int(self.position["seq"])

    async def run(self) -> None:
        """Keep a connection until cancelled."""
        while True:
            url = self._dice.choice(self._urls)
            try:
                async with asyncio.timeout(_OPEN_SECONDS):
                    socket = await connect(
                        url, additional_headers=self._headers(), compression=None, ping_interval=None, proxy=None
                    )
            except (OSError, InvalidHandshake, TimeoutError):
                await asyncio.sleep(self._dice.uniform(0.05, 0.4))
                continue
            try:
                await self._serve(socket)
            except ConnectionClosed as closed:
                self.log.entries.append(Left(time.time(), f"closed {closed.rcvd.code if closed.rcvd else 'torn'}"))
            finally:
                self._there.clear()
                self._socket = None
                socket.transport.abort()
            await asyncio.sleep(self._dice.uniform(0.0, 0.3))

    def drop(self) -> None:
        """Tear the connection, as a lost network would."""
        if self._socket is not None:
            self._socket.transport.abort()

    async def command(self, name: str, args: dict[str, Any]) -> dict[str, Any] | None:
        """Ask until there is an answer, under one id, over any number of connections; the result, None if refused."""
        command_id = str(UUID(int=self._dice.getrandbits(128), version=4))
        frame = json.dumps({"id": command_id, "command": name, "args": args})
        while True:
            await self._there.wait()
            socket = self._socket
            if socket is None:
                continue
            answer = asyncio.get_running_loop().create_future()
            self._answers[command_id] = answer
            self.log.entries.append(Ordered(time.time(), command_id, name, args))
            with suppress(ConnectionClosed, TimeoutError):
                await socket.send(frame)
                async with asyncio.timeout(_ANSWER_SECONDS):
                    frame_back = await answer
                error = frame_back.get("error")
                if error is None or error["code"] not in _LATER:
                    result = frame_back.get("result")
                    self.log.entries.append(
                        Answered(time.time(), command_id, result, None if error is None else error["code"])
                    )
                    return result
            await asyncio.sleep(self._dice.uniform(0.05, 0.5))

    async def _serve(self, socket: ClientConnection) -> None:
        asked = self.position is not None
        while True:
            frame = json.loads(await socket.recv())
            match frame["type"]:
                case "hello":
                    self.log.entries.append(
                        Joined(time.time(), frame["epoch"], frame["seq"], frame["recovered"], asked=asked)
                    )
                    if not asked or not frame["recovered"]:
                        self.position = {"epoch": frame["epoch"], "seq": frame["seq"], "all": frame["all"]}
                    self._socket = socket
                    self._there.set()
                case "push":
                    self._take_push(frame)
                case "reply" | "error":
                    answer = self._answers.get(frame["id"] or "")
                    if answer is not None and not answer.done():
                        answer.set_result(frame)
                case "ping":
                    await socket.send('{"command": "pong"}')
                case _:
                    pass

    def _take_push(self, frame: dict[str, Any]) -> None:
        assert self.position is not None, "a push before hello"
        if frame.get("feed") == "all":
            self.position["all"] = frame["seq"]
            return
        self.log.entries.append(Pushed(time.time(), frame["seq"], frame["prev"], frame["event"], frame["data"]))
        self.position["seq"] = frame["seq"]

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._token}"}
        if self.position is not None:
            headers["Starwake-Resume"] = json.dumps(self.position)
        return headers
