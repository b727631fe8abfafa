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
    """Players who order without pause until they are stopped; each has another socket that only listens."""

    def __init__(self, stack: GuardedStack, ports: Sequence[int], size: int) -> None:
        self._stack = stack
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.players = [unique_player() for _ in range(size)]
        gateways = [(f"gateway at {port}", f"ws://127.0.0.1:{port}/ws") for port in ports]
        self._dice = random.Random(7)  # noqa: S311 - the same game each time

        def client(name: str, player: str) -> Client:
            dice = random.Random(self._dice.random())  # noqa: S311 - as above
            return Client(name, player, stack.token(player), lambda: dice.choice(gateways), dice)

        self.clients = [client(f"{player} (orders)", player) for player in self.players]
        self.witnesses = [*self.clients, *(client(f"{player} (listens)", player) for player in self.players)]

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(witness.run()) for witness in self.witnesses]
        await eventually(lambda: all(witness.sessions for witness in self.witnesses), within_s=60)
        self._orders = [asyncio.create_task(self._order(client)) for client in self.clients]
        return self

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
        kinds = (await client.order("catalogue.list")).body["result"]["kinds"]
        client.orders.clear()  # a question, not an order
        free = sorted((kind for kind in kinds if not kind.get("requires")), key=lambda kind: kind["duration_s"])
        while not self._stopping.is_set() and len(client.orders) < _MOST_ORDERS:
            kind = self._dice.choice(free[:2])["kind"]
            started = await client.order("build.start", kind=kind, site=f"site-{len(client.orders)}")
            if started.accepted and self._dice.random() < 0.2:
                await client.order("build.cancel", build_id=started.body["result"]["build"]["id"])
            await asyncio.sleep(self._dice.uniform(*_PAUSE_S))
