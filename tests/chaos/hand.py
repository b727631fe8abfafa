"""Orders given straight over the bus, hundreds at the same moment, written down as a client's are."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from starwake.bus.connection import Bus
from starwake.bus.errors import BusError
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from starwake.contracts.times import from_rfc3339
from tests.chaos.history import Answer, Order
from tests.chaos.oracle import PUT_OFF
from tests.chaos.reading import bus_of
from tests.chaos.world import World
from tests.support.asking import ask
from tests.support.players import unique_player

_ASK_S = 4.0
_PATIENCE_S = 60.0


class Hand:
    """What a gateway does with its players' frames, without sockets."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self.orders: list[Order] = []
        self._owners: dict[str, str] = {}

    @property
    def players(self) -> list[str]:
        """All who have ordered something."""
        return list(dict.fromkeys(order.player for order in self.orders))

    async def order(self, player: str, command: str, **args: object) -> Answer:
        """Order something, again while it is put off or unanswered."""
        return await self.repeat(self._new(player, command, **args))

    def _new(self, player: str, command: str, **args: object) -> Order:
        order = Order(player=player, id=uuid4().hex, command=command, args=args)
        self.orders.append(order)
        return order

    async def repeat(self, order: Order, ask_s: float = _ASK_S) -> Answer:
        """Send an order until it is answered for good, waiting `ask_s` seconds for each answer."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self.ask(order, ask_s)
                if answer is not None and (answer.accepted or answer.body["error"]["code"] not in PUT_OFF):
                    return answer
                await asyncio.sleep(0.1)

    async def ask(self, order: Order, ask_s: float = _ASK_S) -> Answer | None:
        """Send an order once; None where no answer came."""
        frame = {"id": order.id, "command": order.command, "args": order.args}
        order.sent.append(datetime.now(UTC))
        try:
            subject = subjects.command(PlayerId(order.player), order.command)
            message = await ask(self._bus, subject, json.dumps(frame).encode(), timeout_s=ask_s)
        except BusError:
            return None
        answer = Answer(json.loads(message.payload), datetime.now(UTC))
        order.answers.append(answer)
        return answer

    async def start(self, player: str, kind: str = "beacon", site: str = "luna-1") -> dict[str, Any]:
        """`build.start`, which has to be accepted; the build."""
        answer = await self.order(player, "build.start", kind=kind, site=site)
        build: dict[str, Any] = answer.body["result"]["build"]
        self._owners[build["id"]] = player
        return build

    async def herd(self, count: int, kind: str = "dock") -> list[dict[str, Any]]:
        """So many builds of as many players, all at once."""
        return list(await asyncio.gather(*(self.start(unique_player(), kind) for _ in range(count))))

    async def refused_while_frozen(self, world: World, name: str, busy: dict[str, Any]) -> list[Order]:
        """A dozen orders for a busy site, refused while one command service is frozen with some of them in its socket.

        It goes on once the build that made the site busy is cancelled.
        """
        player = self.owner(busy)
        world.freeze(name)
        orders = [self._new(player, "build.start", kind="spark", site=busy["site"]) for _ in range(12)]
        answers = await asyncio.gather(*(self.repeat(order, ask_s=0.3) for order in orders))
        assert {answer.body["error"]["code"] for answer in answers} == {"site_busy"}
        assert any(len(order.sent) > 1 for order in orders), "some of them went to the frozen one first"
        cancelled = await self.repeat(self._new(player, "build.cancel", build_id=busy["id"]), ask_s=0.3)
        assert cancelled.accepted
        world.release(name)
        await world.calm()
        return orders

    def owner(self, build: dict[str, Any]) -> str:
        """Whose it is."""
        return self._owners[build["id"]]


@asynccontextmanager
async def hand(world: World) -> AsyncGenerator[Hand]:
    """A hand in this world."""
    async with bus_of(world) as bus:
        yield Hand(bus)


async def until(build: dict[str, Any], ahead_s: float) -> None:
    """Wait until `ahead_s` seconds before the build is due."""
    left = (from_rfc3339(build["due_at"]) - datetime.now(UTC)).total_seconds() - ahead_s
    await asyncio.sleep(max(0.0, left))
