"""One chaos run: players at play while parts are killed, stopped and restarted at random; then peace, and the facts."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from random import Random
from typing import Any

from libs.bus.connection import Bus
from libs.bus.feed import read_pushes
from libs.bus.jetstream import stream_info
from libs.bus.options import BusOptions
from libs.bus.streams import TIMERS
from libs.contracts.ids import PlayerId
from tests.chaos.client import Client
from tests.chaos.fleet import SERVERS, Fleet
from tests.chaos.gamer import Gamer
from tests.chaos.history import Effect, History, Row, Stored
from tests.support.eventually import eventually
from tests.support.players import unique_player

PARTS = ("gateway-1", "gateway-2", "command-1", "scheduler-1", "scheduler-2")
_PEACE_SECONDS = 120.0
_QUIET = "nothing is left"


@dataclass(frozen=True)
class Plan:
    """How wild a run is."""

    seconds: float = 30.0
    players: int = 5
    clients: int = 2
    pause_s: tuple[float, float] = (0.2, 1.0)
    calm_s: tuple[float, float] = (0.8, 3.0)
    """Between two acts of sabotage."""
    targets: Sequence[str] = (*PARTS, *SERVERS)


async def rampage(fleet: Fleet, seed: int, plan: Plan) -> History:
    """Play and sabotage for `plan.seconds`, wait until all has come to its end, and gather what is known."""
    dice = Random(seed)  # noqa: S311 - repeatable on purpose
    async with _gamers(fleet, plan, dice) as gamers:
        saboteur = asyncio.create_task(_sabotage(fleet, plan, Random(dice.random())))  # noqa: S311 - as above
        try:
            await asyncio.gather(*(gamer.play(plan.seconds, plan.pause_s) for gamer in gamers))
        finally:
            saboteur.cancel()
            with suppress(asyncio.CancelledError):
                await saboteur
        fleet.note("peace")
        left = await _come_to_rest(fleet, gamers)
    return await _gather(fleet, gamers, left)


@asynccontextmanager
async def _gamers(fleet: Fleet, plan: Plan, dice: Random) -> AsyncGenerator[list[Gamer]]:
    gamers: list[Gamer] = []
    for number in range(plan.players):
        player = unique_player()
        clients = [
            Client(player, f"p{number}/{each}", fleet.socket_urls(), fleet.token(player), Random(dice.random()))  # noqa: S311
            for each in range(plan.clients)
        ]
        gamers.append(Gamer(player, clients, Random(dice.random())))  # noqa: S311 - repeatable
    running = [asyncio.create_task(client.run()) for gamer in gamers for client in gamer.clients]
    try:
        yield gamers
    finally:
        for task in running:
            task.cancel()
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(outcome, Exception):
                raise outcome


async def _sabotage(fleet: Fleet, plan: Plan, dice: Random) -> None:
    """Until cancelled; what is under way then is finished, so that no part stays stopped."""
    while True:
        await asyncio.sleep(dice.uniform(*plan.calm_s))
        target = dice.choice(plan.targets)
        act = dice.choice(["kill", "kill", "kill", "pause", "restart"])
        seconds = dice.uniform(0.3, 4.0)
        if act == "pause":
            work = asyncio.ensure_future(fleet.pause(target, seconds))
        else:
            work = asyncio.ensure_future(fleet.kill(target) if act == "kill" else fleet.restart(target))
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            await work
            raise
        await fleet.revive()


async def _come_to_rest(fleet: Fleet, gamers: Sequence[Gamer]) -> dict[str, int]:
    """Wait until nothing is pending and every client has what its feed holds; what is left at the deadline."""
    for name in fleet.services:
        await fleet.revive()
        await fleet.ready(name)
    left: dict[str, int] = {}

    async def at_rest() -> bool:
        left.clear()
        left.update(await _left(fleet, gamers))
        return not any(left.values())

    with suppress(AssertionError):
        await eventually(at_rest, within_s=_PEACE_SECONDS, every_s=0.5)
    return left


async def _left(fleet: Fleet, gamers: Sequence[Gamer]) -> dict[str, int]:
    players = [gamer.player for gamer in gamers]
    (counts,) = await fleet.fetch(
        "SELECT (SELECT count(*) FROM build WHERE state = 'building' AND player = ANY($1)) AS building,"
        " (SELECT count(*) FROM outbox WHERE player = ANY($1)) AS untold,"
        " (SELECT count(*) FROM queued_order WHERE player = ANY($1)) AS waiting_orders",
        players,
    )
    left: dict[str, int] = {name: int(count) for name, count in counts.items()}
    async with _bus(fleet) as bus:
        info = await stream_info(bus, TIMERS)
        left["alarms"] = 0 if info is None else int(info["state"]["messages"])
        behind = 0
        for gamer in gamers:
            pushes = await read_pushes(bus, PlayerId(gamer.player), 0)
            last = pushes[-1].seq if pushes else 0
            behind += sum(client.seq < last for client in gamer.clients)
        left["clients_behind"] = behind
    return left


async def _gather(fleet: Fleet, gamers: Sequence[Gamer], left: dict[str, int]) -> History:
    players = [gamer.player for gamer in gamers]
    rows = await fleet.fetch("SELECT * FROM build WHERE player = ANY($1) ORDER BY id", players)
    inbox = await fleet.fetch("SELECT * FROM inbox WHERE player = ANY($1)", players)
    history = History(left=dict(left), sabotage=list(fleet.sabotage))
    history.clients = [client.log for gamer in gamers for client in gamer.clients]
    history.rows = [_row(row) for row in rows]
    history.effects = [effect for row in inbox if (effect := _effect(row)) is not None]
    async with _bus(fleet) as bus:
        for player in players:
            history.feeds[player] = [_stored(push) for push in await read_pushes(bus, PlayerId(player), 0)]
    return history


def _row(row: dict[str, Any]) -> Row:
    def seconds(name: str) -> float | None:
        return None if row[name] is None else row[name].timestamp()

    return Row(
        id=str(row["id"]),
        player=row["player"],
        kind=row["kind"],
        site=row["site"],
        state=row["state"],
        revision=row["revision"],
        started_at=row["started_at"].timestamp(),
        due_at=row["due_at"].timestamp(),
        completed_at=seconds("completed_at"),
        cancelled_at=seconds("cancelled_at"),
    )


def _effect(row: dict[str, Any]) -> Effect | None:
    outcome = json.loads(row["outcome"])
    result = outcome.get("result", outcome)
    about = result.get("build") or result.get("queued")
    return None if about is None else Effect(row["player"], row["command_id"], row["command"], about["id"])


def _stored(push: Any) -> Stored:  # noqa: ANN401 - libs.bus.feed.StoredPush
    body = json.loads(push.body)
    return Stored(push.seq, push.message_id, body["event"], body["data"], push.stored_at.timestamp())


@asynccontextmanager
async def _bus(fleet: Fleet) -> AsyncGenerator[Bus]:
    bus = await Bus.connect(BusOptions(url=fleet.nats.url, name="oracle"))
    try:
        yield bus
    finally:
        await bus.close()


def summary(history: History, seconds: float) -> str:
    """One line about a run that went well."""
    kills = sum(each.what.startswith("kill") for each in history.sabotage)
    pushes = sum(len(feed) for feed in history.feeds.values())
    return (
        f"{seconds:.0f} s, {kills} kills among {len(history.sabotage)} entries of sabotage,"
        f" {len(history.rows)} builds, {pushes} pushes, at {time.strftime('%H:%M:%S')}"
    )
