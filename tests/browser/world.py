"""What happens in the universe without the page: announcements, and orders from elsewhere."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import msgspec

from starwake.bus.connection import Bus
from starwake.bus.options import BusOptions
from starwake.contracts import subjects
from starwake.contracts.commands import Announce
from starwake.contracts.ids import PlayerId, new_id
from starwake.contracts.times import to_rfc3339
from tests.support.stack import Stack

_SECONDS = 20.0


@asynccontextmanager
async def operator(stack: Stack) -> AsyncGenerator[Bus]:
    """A connection to the stack's NATS server."""
    bus = await Bus.connect(BusOptions(url=stack.state()["nats_url"], name="browser tests"), timeout_s=_SECONDS)
    try:
        yield bus
    finally:
        await bus.close()


async def announce_dragons(bus: Bus, *, in_s: float) -> None:
    """Dragons for everybody, with one warning at once."""
    at = datetime.now(UTC) + timedelta(seconds=in_s)
    announcement = Announce(event="dragons.inbound", at=to_rfc3339(at), warn_s=(int(in_s) + 60,))
    answer = await bus.request(subjects.ops("announce"), msgspec.json.encode(announcement), timeout_s=_SECONDS)
    assert answer.payload.startswith(b'{"result"'), answer.payload


async def order_everywhere(bus: Bus, player: str, kind: str, count: int) -> None:
    """The same order at `count` outposts, past the gateway and its pace."""

    async def order(number: int) -> None:
        frame = {"id": new_id(), "command": "build.start", "args": {"kind": kind, "site": f"outpost-{number:03}"}}
        subject = subjects.command(PlayerId(player), "build.start")
        answer = await bus.request(subject, msgspec.json.encode(frame), timeout_s=_SECONDS)
        assert answer.payload.startswith(b'{"result"'), answer.payload

    await asyncio.gather(*map(order, range(count)))
