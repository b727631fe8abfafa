"""Players who give orders without pause, and the chaos oracle's judgement over what became of it."""

import asyncio
import random
from collections.abc import Sequence
from typing import Self, cast

from starwake.bus.options import BusOptions
from tests.chaos.campaign import Verdict, judged
from tests.chaos.clients import Client
from tests.chaos.history import Happening, Order
from tests.deploy.support.guarded import GuardedStack
from tests.support.eventually import eventually
from tests.support.players import unique_player
from tests.support.postgres import connect

_PAUSE_S = (0.2, 0.6)
_MOST_ORDERS = 80
"""Of one player: the feed keeps 257 pushes, and the oracle wants to see them all."""
_ANSWERED_S = 120.0


class GuardedPlace:
    """The guarded stack as the oracle looks at it: as the database's owner, and with the scheduler's own key."""

    def __init__(self, stack: GuardedStack) -> None:
        self._stack = stack
        self.happenings: Sequence[Happening] = ()

    @property
    def database_url(self) -> str:
        """As the superuser, who reads everything."""
        return self._stack.database.superuser_url

    @property
    def bus_options(self) -> BusOptions:
        """As the scheduler, who may look at both streams and read the feeds."""
        settings = self._stack.settings("scheduler")
        return BusOptions(
            url=settings["STARWAKE_NATS_URL"],
            name="oracle",
            nkey_seed_file=settings["STARWAKE_NKEY_SEED_FILE"],
            tls_ca_file=settings["STARWAKE_NATS_TLS_CA"],
            inbox_prefix=settings["STARWAKE_NATS_INBOX_PREFIX"],
        )

    async def count_deadlocks(self) -> int:
        """As the database itself counts them."""
        connection = await connect(self.database_url)
        try:
            query = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
            return cast("int", await connection.fetchval(query))
        finally:
            await connection.close()


class Population:
    """Players who order without pause until they are stopped; each has another socket that only listens.

    Who has ordered all that the oracle can judge of one player gives way to another, however long it takes.
    """

    def __init__(self, stack: GuardedStack, ports: Sequence[int], size: int, most_orders: int = _MOST_ORDERS) -> None:
        self._stack = stack
        self._size = size
        self._most_orders = most_orders
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._orders: list[asyncio.Task[None]] = []
        self._gateways = [(f"gateway at {port}", f"ws://127.0.0.1:{port}/ws") for port in ports]
        self._dice = random.Random(7)  # noqa: S311 - the same game each time
        self.players: list[str] = []
        self.clients: list[Client] = []
        self.witnesses: list[Client] = []

    async def __aenter__(self) -> Self:
        first = await asyncio.gather(*(self._comes() for _ in range(self._size)))
        self._orders = [asyncio.create_task(self._order(client)) for client in first]
        return self

    async def _comes(self) -> Client:
        """Another player, with both sockets open; the one that orders."""
        player = unique_player()
        self.players.append(player)
        both = [self._client(f"{player} ({does})", player) for does in ("orders", "listens")]
        self.clients.append(both[0])
        self.witnesses += both
        self._tasks += [asyncio.create_task(witness.run()) for witness in both]
        await eventually(lambda: all(witness.sessions for witness in both), within_s=60)
        return both[0]

    def _client(self, name: str, player: str) -> Client:
        dice = random.Random(self._dice.random())  # noqa: S311 - as above
        return Client(name, player, self._stack.token(player), lambda: dice.choice(self._gateways), dice)

    async def __aexit__(self, *_: object) -> None:
        for witness in self.witnesses:
            witness.leave()
        for task in (*self._orders, *self._tasks):
            task.cancel()
        outcomes = await asyncio.gather(*self._orders, *self._tasks, return_exceptions=True)
        failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
        if failures:
            raise ExceptionGroup("players failed", failures)

    @property
    def orders(self) -> list[Order]:
        """All that was ordered, with its answers."""
        return [order for client in self.clients for order in client.orders]

    @property
    def accepted(self) -> int:
        """How many orders were confirmed so far."""
        return sum(order.accepted is not None for order in self.orders)

    async def judged(self) -> Verdict:
        """Order no more, wait until every order is answered and nothing is left to do, and ask the oracle."""
        self._stopping.set()
        async with asyncio.timeout(_ANSWERED_S):
            await asyncio.gather(*self._orders)
        return await judged(GuardedPlace(self._stack), "deploy", self.players, self.witnesses, self.orders)

    async def _order(self, client: Client) -> None:
        while True:
            await self._order_as(client)
            if self._stopping.is_set():
                return
            client = await self._comes()

    async def _order_as(self, client: Client) -> None:
        """Order as this player, until stopped or for as many orders as the oracle can judge of one player."""
        kinds = (await client.order("catalogue.list")).body["result"]["kinds"]
        client.orders.clear()  # a question, not an order
        free = sorted((kind for kind in kinds if not kind.get("requires")), key=lambda kind: kind["duration_s"])
        while not self._stopping.is_set() and len(client.orders) < self._most_orders:
            kind = self._dice.choice(free[:2])["kind"]
            started = await client.order("build.start", kind=kind, site=f"site-{len(client.orders)}")
            if started.accepted and self._dice.random() < 0.2:
                await client.order("build.cancel", build_id=started.body["result"]["build"]["id"])
            await asyncio.sleep(self._dice.uniform(*_PAUSE_S))
