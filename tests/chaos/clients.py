"""Clients that write down every frame they get, and every answer; they resume wherever they are cut off."""

import asyncio
import json
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from starwake.client import Connected, Missed, Push, Starwake
from starwake.contracts.times import to_rfc3339
from tests.chaos.history import Answer, Feed, Heard, Order, Session
from tests.chaos.oracle import PUT_OFF

_SILENT_S = 12.0
"""After which a connection counts as dead: the server pings every 2 s."""
_ANSWER_S = 8.0
_PAUSE_S = (0.05, 0.6)

Address = Callable[[], tuple[str, str]]
"""Gives the name and the URL of a gateway; another one each time, maybe."""


class Client:
    """One raw client: bytes in, log out. It trusts nobody, and leaves every judgement to the oracle.

    Attributes:
        sessions: all that it heard, connection by connection.
        orders: all that it asked for, with all answers.
    """

    def __init__(self, name: str, player: str, token: str, address: Address, dice: random.Random) -> None:
        self.name = name
        self.player = player
        self.sessions: list[Session] = []
        self.orders: list[Order] = []
        self._token = token
        self._address = address
        self._dice = dice
        self._socket: ClientConnection | None = None
        self._live = asyncio.Event()
        self._waiting: dict[str, asyncio.Future[Answer | None]] = {}
        self._by_id: dict[str, Order] = {}
        self._done = False

    # -- listening -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Listen, over as many connections as it takes, until `leave`."""
        while not self._done:
            name, url = self._address()
            with suppress(OSError, TimeoutError, WebSocketException):
                await self._connection(name, url)
            self._cut_off()
            if not self._done:
                await asyncio.sleep(self._dice.uniform(*_PAUSE_S))

    def leave(self) -> None:
        """Hang up for good."""
        self._done = True
        self.hang_up()

    def hang_up(self) -> None:
        """Break the connection, as a train does that enters a tunnel."""
        if self._socket is not None:
            self._socket.transport.abort()

    @property
    def position(self) -> tuple[str, int, int] | None:
        """Epoch and both positions of what was heard; None before the first session."""
        if not self.sessions:
            return None
        session = self.sessions[-1]
        seq, everybody = session.begins
        for push in session.heard:
            if push.feed == "player":
                seq = max(seq, push.seq)
            else:
                everybody = max(everybody, push.seq)
        return session.epoch, seq, everybody

    async def _connection(self, gateway: str, url: str) -> None:
        headers = {"Authorization": f"Bearer {self._token}"}
        resume = self.position
        if resume is not None:
            headers["Starwake-Resume"] = json.dumps({"epoch": resume[0], "seq": resume[1], "all": resume[2]})
        async with connect(
            url,
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            open_timeout=_SILENT_S,
            close_timeout=1,
        ) as socket:
            self._socket = socket
            try:
                while True:
                    async with asyncio.timeout(_SILENT_S):
                        frame = json.loads(await socket.recv())
                    await self._take(gateway, frame, resume, socket)
            except (OSError, TimeoutError, WebSocketException) as error:
                if self.sessions and self.sessions[-1].closed_at is None:
                    self.sessions[-1].closed_at = datetime.now(UTC)
                    self.sessions[-1].closed_why = str(error) or type(error).__name__
                raise
            finally:
                self._socket = None
                self._live.clear()
                socket.transport.abort()

    async def _take(
        self, gateway: str, frame: dict[str, Any], resume: tuple[str, int, int] | None, socket: ClientConnection
    ) -> None:
        now = datetime.now(UTC)
        match frame["type"]:
            case "hello":
                self._greeted(gateway, frame, resume, now)
            case "push":
                self.sessions[-1].heard.append(
                    Heard(
                        feed=cast("Feed", frame.get("feed", "player")),
                        seq=frame["seq"],
                        prev=frame["prev"],
                        event=frame["event"],
                        at=frame["at"],
                        data=frame["data"],
                        received_at=now,
                    )
                )
            case "ping":
                await socket.send('{"command":"pong"}')
            case "reply" | "error":
                self._answered(frame, now)
            case _:
                pass  # bye: the close follows

    def _greeted(self, gateway: str, hello: dict[str, Any], resume: tuple[str, int, int] | None, now: datetime) -> None:
        self.sessions.append(
            Session(
                client=self.name,
                player=self.player,
                gateway=gateway,
                opened_at=now,
                epoch=hello["epoch"],
                resumed=None if resume is None else resume[1:],
                resumed_epoch=None if resume is None else resume[0],
                recovered=hello["recovered"],
                stands=(hello["seq"], hello["all"]),
            )
        )
        self._live.set()

    # -- ordering ------------------------------------------------------------------------------------------------------

    async def order(self, command: str, **args: object) -> Answer:
        """Order something until it is answered for good; its id is the same however often it is sent."""
        order = Order(player=self.player, id=str(UUID(int=self._dice.getrandbits(128))), command=command, args=args)
        self.orders.append(order)
        self._by_id[order.id] = order
        return await self.repeat(order)

    async def repeat(self, order: Order) -> Answer:
        """Send an order, again where it was sent before, until it is answered for good."""
        while True:
            answer = await self._once(order)
            if answer is not None and (answer.accepted or answer.body["error"]["code"] not in PUT_OFF):
                return answer
            await asyncio.sleep(self._dice.uniform(*_PAUSE_S))

    async def _once(self, order: Order) -> Answer | None:
        await self._live.wait()
        socket = self._socket
        if socket is None:
            return None
        future = self._waiting[order.id] = asyncio.get_running_loop().create_future()
        order.sent.append(datetime.now(UTC))
        frame = {"id": order.id, "command": order.command, "args": order.args}
        try:
            async with asyncio.timeout(_ANSWER_S):
                await socket.send(json.dumps(frame))
                return await future
        except (OSError, TimeoutError, WebSocketException):
            return None
        finally:
            if self._waiting.get(order.id) is future:
                del self._waiting[order.id]

    def _answered(self, frame: Mapping[str, Any], now: datetime) -> None:
        order = self._by_id.get(frame["id"] or "")
        if order is None:
            return
        kind = "result" if frame["type"] == "reply" else "error"
        answer = Answer({kind: frame[kind]}, now)
        order.answers.append(answer)
        future = self._waiting.get(order.id)
        if future is not None and not future.done():
            future.set_result(answer)

    def _cut_off(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_result(None)


class Listener:
    """The Python SDK as a client that only listens: it reconnects by itself, and what it yields is judged the same."""

    def __init__(self, name: str, player: str, token: str, url: str) -> None:
        self.name = name
        self.player = player
        self.sessions: list[Session] = []
        self._token = token
        self._url = url
        self._leaving = asyncio.Event()

    async def run(self) -> None:
        """Listen until `leave`."""
        async with Starwake.connect(self._url, token=self._token, open_timeout_s=120) as player:
            self._begin(player, recovered=None)
            reading = asyncio.create_task(self._read(player))
            leaving = asyncio.create_task(self._leaving.wait())
            try:
                await asyncio.wait((reading, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (reading, leaving):
                    task.cancel()
                outcomes = await asyncio.gather(reading, leaving, return_exceptions=True)
        if isinstance(outcomes[0], Exception):
            raise outcomes[0]

    def leave(self) -> None:
        """End the session."""
        self._leaving.set()

    @property
    def position(self) -> tuple[str, int, int] | None:
        """As a raw client's."""
        if not self.sessions:
            return None
        session = self.sessions[-1]
        seqs = {feed: [push.seq for push in session.heard if push.feed == feed] for feed in ("player", "all")}
        return (
            session.epoch,
            max(seqs["player"], default=session.begins[0]),
            max(seqs["all"], default=session.begins[1]),
        )

    def _begin(self, player: Starwake, *, recovered: bool | None) -> None:
        position = player.position
        assert position is not None
        self.sessions.append(
            Session(
                client=self.name,
                player=self.player,
                gateway=self._url,
                opened_at=datetime.now(UTC),
                epoch=position.epoch,
                resumed=None,
                resumed_epoch=None,
                recovered=recovered,
                stands=(position.seq, position.all),
            )
        )

    async def _read(self, player: Starwake) -> None:
        missed = False
        async for item in player.events(notices=True):
            if isinstance(item, Push):
                self.sessions[-1].heard.append(
                    Heard(
                        feed=item.feed,
                        seq=item.seq,
                        prev=None,
                        event=item.event,
                        at=to_rfc3339(item.at),
                        data=item.data,
                        received_at=datetime.now(UTC),
                    )
                )
            elif isinstance(item, Missed):
                missed = True
            elif isinstance(item, Connected) and missed:
                missed = False
                self._begin(player, recovered=False)
