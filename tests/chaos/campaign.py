"""Rounds of chaos: players play, everything is killed, then calm, then judgement."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from starwake.bus.errors import BusError
from tests.chaos.clients import Client, Listener
from tests.chaos.game import Game, announce
from tests.chaos.havoc import seeded, wreak
from tests.chaos.history import History, Order
from tests.chaos.oracle import Violation, judge
from tests.chaos.reading import Place, alarms_left, bus_of, pending, read_history, read_stored
from tests.chaos.story import report
from tests.chaos.world import World
from tests.support.eventually import eventually

_SETTLED_S = 120.0
_PAUSES_S = ((0.2, 1.5), (1.0, 4.0), (2.0, 7.0))
"""Between two strikes: in some rounds hardly anything gets up before it is struck again."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """How a round goes; everything else is drawn from the seed."""

    seed: int
    havoc_s: float = 40.0
    players: int = 6


class Stopwatch:
    """How long each part of the calm took, in seconds."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.monotonic()

    def lap(self, what: str) -> None:
        """The part `what` has ended now."""
        now = time.monotonic()
        self.laps[what] = now - self._since
        self._since = now


@dataclass(frozen=True)
class Verdict:
    """What became of a round."""

    history: History
    violations: list[Violation]
    strikes: int
    text: str
    seconds: dict[str, float]

    def summary(self) -> str:
        """One line of figures."""
        states = [row.state for row in self.history.rows]
        heard = sum(len(session.heard) for session in self.history.sessions)
        return (
            f"{self.strikes} strikes, {len(states)} builds ({states.count('completed')} completed, "
            f"{states.count('cancelled')} cancelled), {len(self.history.sessions)} sessions, {heard} pushes heard, "
            f"{len(self.violations)} violations; "
            + ", ".join(f"{what} {seconds:.0f} s" for what, seconds in self.seconds.items())
        )


async def play_round(world: World, plan: Round, *, last: bool = True) -> Verdict:
    """One round on a world that serves; `last` also waits until the stream of alarms is empty."""
    dice = seeded(plan.seed)
    pause_s = dice.choice(_PAUSES_S)
    names = [f"{_name(dice)}.{plan.seed:x}-{number}" for number in range(plan.players)]
    async with listening(world, names, dice) as (clients, witnesses):
        games = [Game(client, seeded(dice.getrandbits(64))) for client in clients]
        harm, announcing = (seeded(dice.getrandbits(64)) for _ in range(2))
        striking = asyncio.create_task(wreak(world, harm, plan.havoc_s, pause_s))
        await asyncio.gather(
            striking,
            announce(world, announcing, names, plan.havoc_s),
            *(game.play(plan.havoc_s) for game in games),
        )
        watch = Stopwatch()
        await world.calm()
        watch.lap("up again")
        await asyncio.gather(*(game.finish(_SETTLED_S) for game in games))
        watch.lap("answered")
        orders = [order for client in clients for order in client.orders]
        return await judged(
            world, plan.seed, names, witnesses, orders, watch=watch, strikes=striking.result(), last=last
        )


async def judged(  # noqa: PLR0913 - what a judgement needs, keyword-only
    world: Place,
    seed: int | str,
    names: Sequence[str],
    witnesses: Sequence[Client | Listener],
    orders: Sequence[Order],
    *,
    watch: "Stopwatch | None" = None,
    strikes: int = 0,
    last: bool = True,
    settle_s: float = _SETTLED_S,
    lost_until: datetime | None = None,
    gone_back: Sequence[str] = (),
) -> Verdict:
    """Wait until nothing is left to do, or for `settle_s` seconds at most, and judge what there is then."""
    watch = watch or Stopwatch()
    await _give_time(lambda: _nothing_pending(world, names), settle_s)
    watch.lap("done")
    await _give_time(lambda: _all_heard(world, witnesses), settle_s)
    watch.lap("heard")
    if last:
        await _give_time(lambda: _no_alarms(world), settle_s)
        watch.lap("no alarms")
    for witness in witnesses:
        witness.leave()
    history = await read_history(
        world,
        names,
        witnesses,
        orders,
        alarms=await alarms_left(world) if last else 0,
        lost_until=lost_until,
        gone_back=gone_back,
    )
    violations = judge(history)
    return Verdict(history, violations, strikes, report(seed, history, violations) if violations else "", watch.laps)


@asynccontextmanager
async def listening(
    world: World, names: Sequence[str], dice: random.Random
) -> AsyncGenerator[tuple[list[Client], list[Client | Listener]]]:
    """For each player a client that orders and listens, and another that only listens; every third uses the SDK."""
    gateways = list(world.gateway_urls.items())

    def address(own: random.Random) -> Callable[[], tuple[str, str]]:
        return lambda: own.choice(gateways)

    clients: list[Client] = []
    witnesses: list[Client | Listener] = []
    for number, name in enumerate(names):
        own = seeded(dice.getrandbits(64))
        client = Client(f"{name} (first)", name, world.token(name), address(own), own)
        clients.append(client)
        witnesses.append(client)
        if number % 3 == 0:
            witnesses.append(Listener(f"{name} (sdk)", name, world.token(name), own.choice(gateways)[1]))
        else:
            witnesses.append(Client(f"{name} (second)", name, world.token(name), address(own), own))
    tasks = [asyncio.create_task(witness.run(), name=witness.name) for witness in witnesses]
    try:
        await eventually(lambda: all(witness.sessions for witness in witnesses), within_s=60)
        yield clients, witnesses
    finally:
        for witness in witnesses:
            witness.leave()
        _, stuck = await asyncio.wait(tasks, timeout=15)
        for task in stuck:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if failures:
        raise ExceptionGroup("clients failed", failures)


async def _give_time(condition: Callable[[], Awaitable[bool]], within_s: float) -> None:
    """Wait for it; whether it has become so is the oracle's to say."""

    async def holds() -> bool:
        try:
            return await condition()
        except BusError:  # a cluster of servers may be choosing a stream's leader
            return False

    try:
        await eventually(holds, within_s=within_s, every_s=0.25)
    except AssertionError:
        return


async def _nothing_pending(world: Place, names: Sequence[str]) -> bool:
    return await pending(world, names) == 0


async def _no_alarms(world: Place) -> bool:
    return await alarms_left(world) == 0


async def _all_heard(world: Place, witnesses: Sequence[Client | Listener]) -> bool:
    """Whether each client has come to the end of its feeds."""
    async with bus_of(world) as bus:
        everybody = await read_stored(bus, None)
        for witness in witnesses:
            own = await read_stored(bus, witness.player)
            position = witness.position
            if position is None or position[1] < max((push.seq for push in own), default=0):
                return False
            if position[2] < max((push.seq for push in everybody), default=0):
                return False
    return True


def _name(dice: random.Random) -> str:
    """Names that need encoding, too."""
    return dice.choice(["ada", "grace hopper", "çelik", "*", "a>b", "joão/né", "Ω"])
