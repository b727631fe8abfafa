"""What Starwake wants to reach, and where in the results each figure is found."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

Results = Mapping[str, Mapping[str, Any]]
"""`results.json`, its part `scenarios`."""
NOT_DONE: Final = ("missing", "lost", "doubled", "early", "refused", "unanswered", "not_recovered", "closed_unserved")
"""Figures that say that the work was not done, or not well: whoever has one above 0 has won nothing."""


@dataclass(frozen=True)
class Measured:
    """A contestant's figure: the middle of its rounds, the smallest and the largest."""

    middle: float
    low: float
    high: float


def measured(results: Results, scenario: str, contestant: str, figure: str) -> Measured | None:
    """A figure, None where nobody measured it."""
    contestants = results.get(scenario, {}).get("contestants", {})
    found = contestants.get(contestant, {}).get("figures", {}).get(figure)
    if found is None:
        return None
    low, high = found["min_max"]
    return Measured(float(found["median"]), float(low), float(high))


def not_done(results: Results, scenario: str, contestant: str) -> dict[str, float]:
    """What this contestant left undone in its worst round, by the figure's name; empty where all went well."""
    found = {name: measured(results, scenario, contestant, name) for name in NOT_DONE}
    wrong = {name: each.high for name, each in found.items() if each is not None and each.high > 0}
    failures = results.get(scenario, {}).get("contestants", {}).get(contestant, {}).get("failures", [])
    return wrong | ({"rounds that failed": float(len(failures))} if failures else {})


@dataclass(frozen=True)
class Goal:
    """One row of the table.

    Attributes:
        work: what is done.
        scenario: where it is measured.
        figure: which of Starwake's figures counts.
        unit: of it, as people write it.
        better: whether less or more is wanted.
        target: what it has to reach; None where only the comparison or the curve is of interest.
        stretch: what would be better still.
        times: how many times better than `rival` it has to be, where the comparison itself is the goal.
        rival: the peer that `times` speaks of.
        floor: the contestant that is the limit; empty where none limits this figure.
    """

    work: str
    scenario: str
    figure: str
    unit: str
    better: Literal["less", "more"]
    target: float | None = None
    stretch: float | None = None
    times: float | None = None
    rival: str = ""
    floor: str = "floor"

    def of(self, results: Results, contestant: str = "starwake") -> Measured | None:
        """The contestant's figure, None where it has none."""
        return measured(results, self.scenario, contestant, self.figure)

    def best_peer(self, results: Results) -> tuple[str, Measured] | None:
        """The peer that does best among those that did all of the work (or the one rival), and its figure."""
        names = results.get(self.scenario, {}).get("contestants", {})
        peers = [name for name in names if name != "starwake" and not name.startswith("floor")]
        if self.rival:
            peers = [name for name in peers if name == self.rival]
        found = [(name, each) for name in peers if (each := self.of(results, name)) is not None]
        able = [(name, each) for name, each in found if not not_done(results, self.scenario, name)]
        if not able:
            return None
        return (min if self.better == "less" else max)(able, key=lambda peer: peer[1].middle)

    def times_better(self, ours: float, theirs: float) -> float:
        """How many times better ours is; not a number where one of them is nothing."""
        if not ours or not theirs:
            return math.nan
        return theirs / ours if self.better == "less" else ours / theirs

    def reached(self, results: Results) -> bool | None:
        """Whether the goal is met by the middle of the rounds; None where there is no goal, or nothing to judge by."""
        ours = self.of(results)
        if ours is None:
            return None
        if self.times is not None:
            best = self.best_peer(results)
            met = None if best is None else self.times_better(ours.middle, best[1].middle) >= self.times
        else:
            met = self.as_good_as(ours.middle, self.target)
        return met and not not_done(results, self.scenario, "starwake")

    def as_good_as(self, ours: float, wanted: float | None) -> bool | None:
        """Whether `ours` reaches what is wanted, None where nothing is."""
        if wanted is None:
            return None
        return ours <= wanted if self.better == "less" else ours >= wanted


GOALS = (
    Goal("command round trip without the table: gateway CPU", "command", "cpu_us_web", "us", "less", 70, stretch=55),
    Goal("frame answered by the gateway: CPU", "echo", "cpu_us_web", "us", "less"),
    Goal("pushes to one player each, at full speed: gateway CPU", "burst", "cpu_us_web", "us", "less", 37, stretch=25),
    Goal("the same at 500/s, from sending to the socket: p99", "pushes", "delay_ms_p99", "ms", "less"),
    Goal("`build.start` committed", "orders", "per_s", "/s", "more", 2_500),
    Goal("the same, against Celery", "orders", "per_s", "/s", "more", times=10, rival="celery", floor=""),
    Goal("the same: CPU of all servers (400 us are 2,500/s of one core)", "orders", "cpu_us", "us", "less", 400),
    Goal("lateness at 50/s: p50", "lateness-50", "lateness_ms_p50", "ms", "less", 3),
    Goal("lateness at 50/s: p99", "lateness-50", "lateness_ms_p99", "ms", "less", 10),
    Goal("lateness at 200/s: p50", "lateness-200", "lateness_ms_p50", "ms", "less", 3),
    Goal("lateness at 200/s: p99", "lateness-200", "lateness_ms_p99", "ms", "less", 10),
    Goal("lateness at 1,000/s: p50", "lateness-1000", "lateness_ms_p50", "ms", "less"),
    Goal("lateness at 1,000/s: p99", "lateness-1000", "lateness_ms_p99", "ms", "less"),
    Goal("10,000 due at once: completions", "herd", "completed_per_s", "/s", "more", 5_000),
    Goal("the same, against Celery", "herd", "completed_per_s", "/s", "more", times=20, rival="celery", floor=""),
    Goal("100,000 overdue at boot: drained", "backlog", "boot_to_told_s", "s", "less", 30),
    Goal("a `build.start` meanwhile: p99", "backlog", "build_start_ms_p99", "ms", "less", 250),
    Goal("1,000,000 pending: scheduler ready", "million", "ready_s", "s", "less", 10),
    Goal("1,000,000 pending: reconciled", "million", "reconcile_s", "s", "less", 120),
    Goal("1,000,000 pending: NATS's memory", "million", "memory_mb_after_nats", "MB", "less", 700),
    Goal("5,000 players connect at once", "storm", "all_greeted_s", "s", "less", 3),
    Goal("of them refused", "storm", "refused", "", "less", 0, floor=""),
    Goal("resume storm: 5,000 players, 20 pushes each", "resume-storm-20", "all_live_s", "s", "less", 3, floor=""),
    Goal("resume storm: 2,000 players, 120 pushes each", "resume-storm-120", "all_live_s", "s", "less", 15, floor=""),
    Goal("of them closed unserved", "resume-storm-120", "closed_unserved", "", "less", 0, floor=""),
    Goal("one frame to 10,000 sockets", "crowd", "to_all_s_p50", "s", "less", 0.35, stretch=0.2),
    Goal("memory of an idle connection", "crowd", "idle_kb", "kB", "less", 21),
    Goal("an evening in the game: order p99", "evening", "order_ms_p99", "ms", "less"),
    Goal("an evening in the game: lateness p99", "evening", "lateness_ms_p99", "ms", "less"),
    Goal("an evening in the game: pushes lost or doubled", "evening", "lost_or_doubled", "", "less", 0, floor=""),
)
