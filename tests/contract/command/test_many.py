"""Many orders at once, and two copies of the service."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from starwake.bus.connection import Bus
from starwake.command.settings import CommandSettings
from starwake.runtime.service import Runtime
from tests.contract.command.conftest import running
from tests.contract.command.universe import Refused, Universe


@pytest.fixture
async def second(settings: CommandSettings, service: Runtime, observer: Bus) -> AsyncIterator[Runtime]:
    """Another copy beside the package's own."""
    assert observer.connected
    assert service.health.readiness().ready
    async with running(settings) as runtime:
        yield runtime


async def outcome(universe: Universe, command: str, **args: Any) -> str:  # noqa: ANN401 - the arguments, as JSON
    try:
        await universe.order(command, **args)
    except Refused as refused:
        return refused.code
    return "accepted"


async def test_of_200_orders_for_one_site_exactly_one_wins(universe: Universe, second: Runtime) -> None:
    assert second.health.readiness().ready
    orders = (outcome(universe, "build.start", kind="dock", site="luna-1") for _ in range(200))
    assert Counter(await asyncio.gather(*orders)) == {"accepted": 1, "site_busy": 199}
    assert len(await universe.builds()) == 1


async def test_the_limit_of_builds_holds_however_many_come_at_once(universe: Universe, second: Runtime) -> None:
    assert second.health.readiness().ready
    orders = (outcome(universe, "build.start", kind="dock", site=f"site-{number}") for number in range(60))
    assert Counter(await asyncio.gather(*orders)) == {"accepted": 5, "limit_reached": 55}
    assert len(await universe.builds()) == 5


async def test_the_same_order_many_times_at_once_is_carried_out_once(universe: Universe, second: Runtime) -> None:
    assert second.health.readiness().ready
    builds = await asyncio.gather(*(universe.start(command_id="one") for _ in range(60)))
    assert len({build["id"] for build in builds}) == 1
    assert len(await universe.builds()) == 1


async def test_of_many_cancels_at_once_one_wins_and_one_waiting_order_begins(
    universe: Universe, second: Runtime
) -> None:
    assert second.health.readiness().ready
    build = await universe.start()
    waiting = (await universe.order("build.queue", kind="dock", site="luna-1"))["queued"]
    cancels = (outcome(universe, "build.cancel", build_id=build["id"]) for _ in range(40))
    assert Counter(await asyncio.gather(*cancels)) == {"accepted": 1, "not_building": 39}
    assert [(str(row["id"]), row["state"]) for row in await universe.builds()] == [
        (build["id"], "cancelled"),
        (waiting["id"], "building"),
    ]


async def test_many_players_orders_do_not_wait_for_each_other(universe: Universe, second: Runtime) -> None:
    assert second.health.readiness().ready
    names = [f"{universe.player}-{number}" for number in range(300)]
    builds = await asyncio.gather(*(universe.start(player=name) for name in names))
    assert len({build["id"] for build in builds}) == 300


async def test_a_busy_mixture_ends_consistently(universe: Universe, second: Runtime) -> None:
    """Start, move, queue and cancel in any order on few sites: deadlocks and conflicts are tried again, unseen."""
    assert second.health.readiness().ready

    async def play(seed: int) -> Counter[str]:
        seen: Counter[str] = Counter()
        for turn in range(6):
            site = f"site-{(seed + turn) % 3}"
            seen[await outcome(universe, ("build.start", "build.queue")[turn % 2], kind="dock", site=site)] += 1
            building = (await universe.order("build.list", state="building"))["builds"]
            for build in building[:1]:
                command, more = (("build.cancel", {}), ("build.reschedule", {"factor": 0.9}))[(seed + turn) % 2]
                seen[await outcome(universe, command, build_id=build["id"], **more)] += 1
        return seen

    seen: Counter[str] = Counter()
    for part in await asyncio.gather(*(play(seed) for seed in range(12))):
        seen += part
    assert set(seen) <= {"accepted", "site_busy", "not_building", "limit_reached"}, seen
    busy = Counter(row["site"] for row in await universe.builds() if row["state"] == "building")
    assert all(count == 1 for count in busy.values())
    waiting = {
        row["site"] for row in await universe.rows("SELECT site FROM queued_order WHERE player = $1", universe.player)
    }
    assert waiting <= set(busy), "an order waits for a site where nothing is being built"
