"""Many players at once: a storm of connections, silence, and one frame to all of them."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from tests.bench.load.player import Frame, Player, connect
from tests.bench.load.statistics import summary
from tests.bench.load.steady import connect_all, tell_ready, until

if TYPE_CHECKING:
    from tests.bench.load.client import Spec


async def storm(spec: "Spec") -> dict[str, object]:
    """All at once, as after a gateway died: from the first SYN to the last hello; silent then until told to end."""
    began = time.perf_counter()
    attempts = await asyncio.gather(
        *(
            connect(spec.url, f"{spec.prefix}-{number}", spec.secret, lambda _p, _f: None, dialect=spec.dialect)
            for number in range(spec.players)
        ),
        return_exceptions=True,
    )
    players = [attempt for attempt in attempts if isinstance(attempt, Player)]
    await until(lambda: all(player.greeted_at or player.closed for player in players), 60)
    greeted = [player.greeted_at - began for player in players if player.greeted_at]
    tell_ready()
    await asyncio.to_thread(sys.stdin.read)
    return {
        "all_greeted_s": round(max(greeted, default=0.0), 3),
        "refused": spec.players - len(greeted),
        "hello_s": summary(greeted),
    }


async def crowd(spec: "Spec") -> dict[str, object]:
    """Connect everybody, be silent (memory is looked at), then take `broadcasts` until standard input closes.

    Each that everybody has is a line on standard output. How long it took counts from its `data.sent_s` to the last
    socket's frame.
    """
    heard: dict[float, tuple[int, float]] = {}

    def on_frame(_player: Player, frame: Frame) -> None:
        if frame.type != "push":
            return
        sent = float(json.loads(bytes(frame.data))["sent_s"])
        count = heard.get(sent, (0, 0.0))[0] + 1
        heard[sent] = (count, time.time() - sent)
        if count == spec.players:
            tell_ready()

    players = await connect_all(spec, on_frame)
    tell_ready()
    await asyncio.to_thread(sys.stdin.read)
    took = [last for count, last in heard.values() if count >= spec.players]
    expected = int(spec.options["broadcasts"]) * spec.players
    return {
        "broadcasts": len(heard),
        "to_all_s": summary(took),
        "missing": expected - sum(count for count, _ in heard.values()),
        "lost": sum(player.closed for player in players),
    }


ACTIONS: dict[str, Callable[["Spec"], Awaitable[dict[str, object]]]] = {"storm": storm, "crowd": crowd}
