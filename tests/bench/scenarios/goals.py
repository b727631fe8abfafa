"""What Starwake wants to reach, and where in the results each figure is found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Results = Mapping[str, Mapping[str, Any]]
"""`results.json`, its part `scenarios`."""


@dataclass(frozen=True)
class Goal:
    """One row of the table.

    Attributes:
        work: what is done.
        scenario: where it is measured.
        figure: which of Starwake's figures counts.
        unit: of it, as people write it.
        better: whether less or more is wanted.
        target: what it has to reach; None where only the ratio or the curve is of interest.
        times_best_peer: at least so many times better than the best peer, where that is the goal too.
        floor: the contestant that is the limit.
    """

    work: str
    scenario: str
    figure: str
    unit: str
    better: Literal["less", "more"]
    target: float | None = None
    times_best_peer: float | None = None
    floor: str = "floor"

    def of(self, results: Results, contestant: str) -> float | None:
        """The contestant's median, None where it has none."""
        contestants = results.get(self.scenario, {}).get("contestants", {})
        found = contestants.get(contestant, {}).get("figures", {}).get(self.figure)
        return None if found is None else float(found["median"])

    def best_peer(self, results: Results) -> tuple[str, float] | None:
        """The peer that does best, and its median."""
        names = results.get(self.scenario, {}).get("contestants", {})
        peers = {name: self.of(results, name) for name in names if name != "starwake" and not name.startswith("floor")}
        measured = [(name, value) for name, value in peers.items() if value is not None]
        if not measured:
            return None
        return (min if self.better == "less" else max)(measured, key=lambda peer: peer[1])

    def times_better(self, ours: float, theirs: float) -> float:
        """How many times better ours is."""
        if not ours or not theirs:
            return float("nan")
        return theirs / ours if self.better == "less" else ours / theirs

    def reached(self, results: Results) -> bool | None:
        """Whether the goal is met; None where it could not be judged."""
        ours = self.of(results, "starwake")
        if ours is None or (self.target is None and self.times_best_peer is None):
            return None
        met = True
        if self.target is not None:
            met = ours <= self.target if self.better == "less" else ours >= self.target
        best = self.best_peer(results)
        if self.times_best_peer is not None and best is not None:
            met = met and self.times_better(ours, best[1]) >= self.times_best_peer
        return met


GOALS = (
    Goal("command round trip without the table: gateway CPU", "command", "cpu_us_web", "us", "less", 70),
    Goal("frame answered by the gateway: CPU", "echo", "cpu_us_web", "us", "less"),
    Goal("pushes to one player each, at full speed: gateway CPU", "burst", "cpu_us_web", "us", "less", 37),
    Goal("the same at 500/s, from sending to the socket: p99", "pushes", "delay_ms_p99", "ms", "less"),
    Goal("`build.start` committed", "orders", "per_s", "/s", "more", 2_500, times_best_peer=10),
    Goal("the same: CPU of all servers (400 us are 2,500/s of one core)", "orders", "cpu_us", "us", "less", 400),
    Goal("lateness at 50/s: p50", "lateness-50", "lateness_ms_p50", "ms", "less", 3),
    Goal("lateness at 50/s: p99", "lateness-50", "lateness_ms_p99", "ms", "less", 10),
    Goal("lateness at 200/s: p50", "lateness-200", "lateness_ms_p50", "ms", "less", 3),
    Goal("lateness at 200/s: p99", "lateness-200", "lateness_ms_p99", "ms", "less", 10),
    Goal("lateness at 1,000/s: p50", "lateness-1000", "lateness_ms_p50", "ms", "less"),
    Goal("lateness at 1,000/s: p99", "lateness-1000", "lateness_ms_p99", "ms", "less"),
    Goal("10,000 due at once: completions", "herd", "completed_per_s", "/s", "more", 5_000, times_best_peer=20),
    Goal("100,000 overdue at boot: drained", "backlog", "boot_to_told_s", "s", "less", 30),
    Goal("a `build.start` meanwhile: p99", "backlog", "build_start_ms_p99", "ms", "less", 250),
    Goal("1,000,000 pending: scheduler ready", "million", "ready_s", "s", "less", 10),
    Goal("1,000,000 pending: reconciled", "million", "reconcile_s", "s", "less", 120),
    Goal("1,000,000 pending: NATS's memory", "million", "memory_mb_after_nats", "MB", "less", 700),
    Goal("5,000 players connect at once", "storm", "all_greeted_s", "s", "less", 3),
    Goal("of them refused", "storm", "refused", "", "less", 0),
    Goal("one frame to 10,000 sockets", "crowd", "to_all_s_p50", "s", "less", 0.35),
    Goal("memory of an idle connection", "crowd", "idle_kb", "kB", "less", 21),
    Goal("an evening in the game: order p99", "evening", "order_ms_p99", "ms", "less"),
    Goal("an evening in the game: lateness p99", "evening", "lateness_ms_p99", "ms", "less"),
    Goal("an evening in the game: pushes lost or doubled", "evening", "lost_or_doubled", "", "less", 0),
)
