"""Everybody comes back at once with much to catch up on: one gateway, one NATS, and nothing else."""

import json
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psutil

from starwake.bus.connection import Bus
from starwake.bus.feed import begin_epoch
from starwake.bus.message import Outgoing
from starwake.bus.options import BusOptions
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from starwake.contracts import subjects
from starwake.contracts.events import encode_body
from starwake.contracts.ids import PlayerId, new_id
from starwake.contracts.times import to_rfc3339, truncate
from tests.bench.contestants.base import SECRET, Running
from tests.bench.contestants.starwake import LIMITS_RAISED
from tests.bench.harness.measure import Cpu, flat, spec
from tests.bench.harness.processes import load
from tests.bench.harness.rounds import Figures
from tests.bench.harness.scenario import Entry, Scale, Scenario
from tests.support.nats import LocalNats
from tests.support.service_process import ServiceProcess

_WITHIN_S: Final = 60.0


@asynccontextmanager
async def gateway_alone(folder: Path) -> AsyncGenerator[Running]:
    """A gateway before a NATS with empty feeds; the kernel places them."""
    nats = LocalNats(folder)
    await nats.start()
    try:
        bus = await Bus.connect(BusOptions(url=nats.url, name="bench"))
        try:
            await provision(bus, 1)
            state = await begin_epoch(bus, above=1)
        finally:
            await bus.close()
        env = LIMITS_RAISED | {
            "STARWAKE_NATS_URL": nats.url,
            "STARWAKE_JWT_SECRET": SECRET,
            "STARWAKE_PORT": "0",
        }
        gateway = await ServiceProcess("gateway", env, folder).start()
        try:
            yield Running(
                f"ws://127.0.0.1:{gateway.port}/ws",
                {"web": [psutil.Process(gateway.pid)], "nats": [psutil.Process(nats.pid)]},
                addresses={"nats": nats.url, "epoch": state.epoch or ""},
            )
        finally:
            await gateway.stop()
    finally:
        await nats.stop()


async def fill(nats_url: str, prefix: str, players: int, each: int) -> None:
    """Push `each` times to every player, in turn, as a game's evening does."""
    bus = await Bus.connect(BusOptions(url=nats_url, name="bench"))
    try:
        publisher = JetStreamPublisher(bus, max_in_flight=1024)
        at = truncate(datetime.now(UTC))
        names = [subjects.notify(PlayerId(f"{prefix}-{number}")) for number in range(players)]
        for turn in range(each):
            build = {"id": new_id(), "kind": "shipyard", "site": f"luna-{turn}", "state": "completed", "revision": 2}
            times = {"started_at": to_rfc3339(at), "due_at": to_rfc3339(at), "completed_at": to_rfc3339(at)}
            body = encode_body("build.completed", at, {"build": build | times})
            await publisher.publish_many([Outgoing(name, body) for name in names], timeout_s=60)
    finally:
        await bus.close()


async def storm(running: Running, players: int, missed: int) -> Figures:
    """All players at once, each from the position before `missed` pushes; until the last one has them all."""
    resume = {"epoch": running.addresses["epoch"], "seq": 1, "all": 0, "at": to_rfc3339(truncate(datetime.now(UTC)))}
    what = spec(running, "resume_storm", players, 0, missed=missed, resume=json.dumps(resume), within_s=_WITHIN_S)
    await fill(running.addresses["nats"], str(what["prefix"]), players, missed)
    cpu, began = Cpu(running), time.perf_counter()
    async with load(what, core=None) as client:
        await client.ready(within_s=_WITHIN_S + 60)
        used = cpu.per(players * missed)
        figures = flat(await client.figures())
    return figures | used | {"connections": players, "took_s": round(time.perf_counter() - began, 1)}


async def wide(running: Running, scale: Scale) -> Figures:
    """Many players who missed a little."""
    return await storm(running, scale.count(5_000, 50), 20)


async def deep(running: Running, scale: Scale) -> Figures:
    """Fewer players who missed much."""
    return await storm(running, scale.count(2_000, 50), 120)


_WORK: Final = (
    "Each comes with a position {missed} pushes back; from the first SYN to the last push that the last of them"
    " had missed (`all_live_s`). Closed before that and not told when to come back: `closed_unserved`. One gateway and "
    "NATS on all cores, the clients in a process of their own."
)
WIDE = Scenario(
    name="resume-storm-20",
    title="resume storm: 5,000 players, 20 pushes behind each",
    work=_WORK.format(missed=20),
    entries={"starwake": Entry(gateway_alone, wide)},
    rounds=2,
    fresh=True,
)
DEEP = Scenario(
    name="resume-storm-120",
    title="resume storm: 2,000 players, 120 pushes behind each",
    work=_WORK.format(missed=120),
    entries={"starwake": Entry(gateway_alone, deep)},
    rounds=2,
    fresh=True,
)
