"""Orders given straight over the bus, hundreds at the same moment, written down as a client's are."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from libs.bus.connection import Bus
from libs.bus.errors import BusError
from libs.contracts import subjects
from libs.contracts.ids import PlayerId
from libs.contracts.times import from_rfc3339
from tests.chaos.clients import PUT_OFF
from tests.chaos.history import Answer, Order
from tests.chaos.reading import bus_of
from tests.chaos.world import World
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
        order = Order(player=player, id=uuid4().hex, command=command, args=args)
        self.orders.append(order)
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                answer = await self.ask(order)
                if answer is not None and (answer.accepted or answer.body["error"]["code"] not in PUT_OFF):
                    return answer
                await asyncio.sleep(0.1)

    async def ask(self, order: Order) -> Answer | None:
        """Send an order once; None where no answer came."""
        frame = {"id": order.id, "command": order.command, "args": order.args}
        order.sent.append(datetime.now(UTC))
        try:
            message = await self._bus.request(
                subjects.command(PlayerId(order.player), order.command), json.dumps(frame).encode(), timeout_s=_ASK_S
            )
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
