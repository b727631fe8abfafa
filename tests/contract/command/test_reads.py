"""Reads never take what orders need, and one player's reads not what others' need."""

import asyncio
from collections import Counter

from tests.contract.command.universe import Refused, Universe
from tests.support.eventually import eventually


async def test_a_flood_of_one_players_reads_is_bounded_and_others_are_served(universe: Universe) -> None:
    await universe.start()

    async def outcome() -> str:
        try:
            await universe.order("build.list", limit=500)
        except Refused as refused:
            return refused.code
        return "accepted"

    flood = asyncio.gather(*(outcome() for _ in range(200)))
    other = f"{universe.player}-other"
    assert (await universe.order("build.list", player=other))["builds"] == []
    outcomes = Counter(await flood)
    # What arrives together: one is under way, eight wait, the others are told to slow down.
    assert outcomes["accepted"] >= 9
    assert outcomes["rate_limited"] > 0
    assert set(outcomes) == {"accepted", "rate_limited"}


async def test_while_all_reads_are_stuck_orders_are_carried_out(universe: Universe) -> None:
    players = [f"{universe.player}-{number}" for number in range(30)]
    await universe.database.execute("BEGIN")
    try:
        await universe.database.execute("LOCK TABLE queued_order IN ACCESS EXCLUSIVE MODE")
        reads = [asyncio.create_task(universe.order("build.queued", player=player)) for player in players]

        async def stuck() -> bool:
            waiting = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            return len(await universe.rows(waiting)) >= 2

        await eventually(stuck, within_s=10)
        assert (await universe.start())["state"] == "building"
        assert not any(read.done() for read in reads)
    finally:
        await universe.database.execute("ROLLBACK")
    assert await asyncio.gather(*reads) == [{"queued": [], "next": None}] * len(players)
