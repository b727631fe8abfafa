"""A steady load; each action connects its players, measures, and returns figures, units in the names."""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from itertools import count
from typing import TYPE_CHECKING, Literal

from tests.bench.load.player import Frame, Player, connect, due_of
from tests.bench.load.statistics import summary

if TYPE_CHECKING:
    from tests.bench.load.client import Spec

CONNECTING_AT_ONCE = 200


async def connect_all(
    spec: "Spec", on_frame: Callable[[Player, Frame], None], at_once: int = CONNECTING_AT_ONCE
) -> list[Player]:
    """All players of the spec, greeted."""
    gate = asyncio.Semaphore(at_once)

    async def one(number: int) -> Player:
        async with gate:
            return await connect(spec.url, f"{spec.prefix}-{number}", spec.secret, on_frame, dialect=spec.dialect)

    players = list(await asyncio.gather(*(one(number) for number in range(spec.players))))
    if not await until(lambda: all(player.greeted_at for player in players), 60):
        raise RuntimeError(f"{sum(not player.greeted_at for player in players)} players were not greeted")
    return players


async def until(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether `condition` came true in time; looked at every 5 ms."""
    deadline = time.perf_counter() + within_s
    while not condition():
        if time.perf_counter() > deadline:
            return False
        await asyncio.sleep(0.005)
    return True


def tell_ready() -> None:
    """Print the line that whoever started the client waits for: the players are connected, or all of them heard."""
    sys.stdout.write('{"ready": true}\n')
    sys.stdout.flush()


class ClosedLoop:
    """Players that each answer a reply with their next command.

    Options: `command`, `kind` (of build.start), `build_seconds` (for peers that take it with the order), `depth`.
    """

    def __init__(self, options: Mapping[str, float | str]) -> None:
        self.command = str(options.get("command", "time"))
        self.kind = str(options.get("kind", ""))
        self.build_seconds = float(options.get("build_seconds", 86_400))
        self.phase: Literal["warm-up", "measured", "ended"] = "warm-up"
        self.took: list[float] = []
        self.answered = 0
        self.errors: Counter[str] = Counter()
        self._run = f"{time.time_ns():x}"
        self._numbers = count()
        self._sent: dict[str, float] = {}

    @property
    def waiting(self) -> int:
        """Commands without an answer."""
        return len(self._sent)

    def order(self, player: Player) -> None:
        """Send the player's next command."""
        command_id = f"{self._run}-{next(self._numbers)}"
        args: dict[str, object] = {}
        if self.command == "build.start":
            args = {"kind": self.kind, "site": command_id, "seconds": self.build_seconds}
        self._sent[command_id] = time.perf_counter()
        player.send(json.dumps({"id": command_id, "command": self.command, "args": args}).encode())

    def on_frame(self, player: Player, frame: Frame) -> None:
        """Note how long an answer took, and go on."""
        if frame.type not in {"reply", "error"} or frame.id is None:
            return
        began = self._sent.pop(frame.id, None)
        if began is None:
            self.errors["answered twice"] += 1
            return
        self.answered += 1
        if frame.type == "error":
            self.errors[bytes(frame.error).decode()] += 1
        elif self.phase == "measured":
            self.took.append(time.perf_counter() - began)
        if self.phase != "ended":
            self.order(player)


async def round_trips(spec: "Spec") -> dict[str, object]:
    """A closed loop: each player keeps `depth` commands in flight for `seconds`, after one second of warm-up."""
    loop = ClosedLoop(spec.options)
    players = await connect_all(spec, loop.on_frame)
    tell_ready()
    for player in players:
        for _ in range(int(spec.options.get("depth", 1))):
            loop.order(player)
    await asyncio.sleep(1)
    loop.phase, began = "measured", time.perf_counter()
    await asyncio.sleep(spec.seconds)
    wall = time.perf_counter() - began
    loop.phase = "ended"
    await until(lambda: not loop.waiting, 10)
    return {
        "per_s": round(len(loop.took) / wall, 1),
        "answered": loop.answered,
        "unanswered": loop.waiting,
        "latency_ms": summary(loop.took, 1000),
        "refused": sum(loop.errors.values()),
        "why_refused": dict(loop.errors.most_common(5)),
    }


async def receive(spec: "Spec") -> dict[str, object]:
    """Listen to pushes until `expected` have come or `seconds` are over; how late each came after its `data.sent_s`.

    Judges too: each player's pushes once and in order (`seq` rising) where the server numbers them.
    """
    expected = int(spec.options.get("expected", 0))
    late: list[float] = []
    doubled = 0
    last: dict[str, int] = {}
    done = asyncio.Event()
    marks = {"first": 0.0, "last": 0.0}

    def on_frame(player: Player, frame: Frame) -> None:
        nonlocal doubled
        if frame.type != "push":
            return
        now = time.time()
        marks["first"] = marks["first"] or now
        marks["last"] = now
        if frame.seq:
            doubled += frame.seq <= last.get(player.name, 0)
            last[player.name] = frame.seq
        late.append(now - float(json.loads(bytes(frame.data))["sent_s"]))
        if len(late) == expected:
            done.set()

    await connect_all(spec, on_frame)
    tell_ready()
    try:
        async with asyncio.timeout(spec.seconds):
            await done.wait()
    except TimeoutError:
        pass  # the count tells
    return {
        "received": len(late),
        "missing": max(0, expected - len(late)),
        "doubled": doubled,
        "spread_s": round(marks["last"] - marks["first"], 4),
        "delay_ms": summary(late, 1000),
    }


async def completions(spec: "Spec") -> dict[str, object]:
    """Orders at a steady rate (`per_s`), and how late each completion reaches its player's socket after `due_at`.

    Options: `per_s`, `kind`, `build_seconds`. Judges: every accepted order completed once, none early.
    """
    per_s = float(spec.options["per_s"])
    build_seconds = float(spec.options["build_seconds"])
    kind = str(spec.options.get("kind", ""))
    due: dict[str, float] = {}
    late: list[float] = []
    refused: Counter[str] = Counter()
    seen: Counter[str] = Counter()

    def on_frame(player: Player, frame: Frame) -> None:
        del player
        now = time.time()
        if frame.type == "error":
            refused[bytes(frame.error).decode()] += 1
        elif frame.type == "reply":
            build, at = due_of(frame)
            due[build] = at
        elif frame.event == "build.completed":
            build, at = due_of(frame)
            seen[build] += 1
            late.append(now - at)

    players = await connect_all(spec, on_frame)
    tell_ready()
    run = f"{time.time_ns():x}"
    began = time.perf_counter()
    orders = int(per_s * spec.seconds)
    for number in range(orders):
        wait = began + number / per_s - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        args = {"kind": kind, "site": f"{run}-{number}", "seconds": build_seconds}
        frame = {"id": f"{run}-{number}", "command": "build.start", "args": args}
        players[number % len(players)].send(json.dumps(frame).encode())
    await until(lambda: len(seen) >= orders - sum(refused.values()), build_seconds + 30)
    return {
        "orders": orders,
        "lost": len(due.keys() - seen.keys()),
        "doubled": sum(times > 1 for times in seen.values()),
        "early": sum(each < 0 for each in late),
        "refused": sum(refused.values()),
        "why_refused": dict(refused.most_common(3)),
        "lateness_ms": summary(late, 1000),
    }


ACTIONS: dict[str, Callable[["Spec"], Awaitable[dict[str, object]]]] = {
    "round_trips": round_trips,
    "receive": receive,
    "completions": completions,
}
