"""A scenario: the same work for several contestants, in interleaved rounds."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.bench.contestants.base import Running
from tests.bench.harness.rounds import Figures, Measure, Progress, Result, interleave
from tests.bench.harness.scratch import folder_in, scratch

Open = Callable[[Path], AbstractAsyncContextManager[Running]]
_ROUND_SECONDS = 150.0
"""One round of one contestant takes no longer, or counts as failed, unless its scenario says more."""


@dataclass(frozen=True)
class Scale:
    """How much of everything: 1 is the full benchmark, a small share of it is for trying out.

    Attributes:
        share: of the full numbers of players, builds, rows.
        seconds: how long a steady load is measured.
        rounds: a bound on the rounds of each scenario.
    """

    share: float = 1.0
    seconds: float = 3.0
    rounds: int = 3

    def count(self, full: int, least: int = 10) -> int:
        """So many, at this scale."""
        return max(least, int(full * self.share))


@dataclass(frozen=True)
class Entry:
    """A contestant in a scenario: how it starts, and how the work is measured with it."""

    open: Open
    measure: Callable[[Running, Scale], Awaitable[Figures]]


def where_installed(program: str, entry: Entry) -> dict[str, Entry]:
    """The entry under the program's name, where it is on PATH; else nothing."""
    return {program: entry} if shutil.which(program) else {}


@dataclass(frozen=True)
class Scenario:
    """One comparison.

    Attributes:
        name: on the command line.
        title: what it is about.
        work: what is done, and what the figures mean.
        entries: who takes part.
        rounds: how often each is measured.
        fresh: whether each round starts its servers anew (memory, storms); else they are up for all rounds.
        by_name: whether it takes so long that it runs only when it is asked for.
        round_s: a bound on one round of one contestant, seconds.
    """

    name: str
    title: str
    work: str
    entries: Mapping[str, Entry]
    rounds: int = 3
    fresh: bool = False
    by_name: bool = False
    round_s: float = _ROUND_SECONDS


async def run(scenario: Scenario, scale: Scale, progress: Progress) -> Sequence[Result]:
    """Measure every contestant; one that cannot even start says why in its failures."""
    rounds = min(scenario.rounds, scale.rounds)
    with scratch() as folder:
        if scenario.fresh:
            measures = {
                name: _anew(name, entry, scale, folder, scenario.round_s) for name, entry in scenario.entries.items()
            }
            return await interleave(measures, rounds, progress)
        async with AsyncExitStack() as stack:
            failed: list[Result] = []
            measures: dict[str, Measure] = {}
            for name, entry in scenario.entries.items():
                progress(f"starting {name}")
                try:
                    running = await stack.enter_async_context(entry.open(folder_in(folder, name)))
                except Exception as failure:  # noqa: BLE001 - whatever it is, it is written down and the others go on
                    failed.append(Result(name, failures=[f"{type(failure).__name__}: {failure}"]))
                    continue
                measures[name] = _bound(entry, running, scale, scenario.round_s)
            return [*await interleave(measures, rounds, progress), *failed]


def _bound(entry: Entry, running: Running, scale: Scale, within_s: float) -> Measure:
    async def measure() -> Figures:
        async with asyncio.timeout(within_s):
            return await entry.measure(running, scale)

    return measure


def _anew(name: str, entry: Entry, scale: Scale, folder: Path, within_s: float) -> Measure:
    async def measure() -> Figures:
        own = folder_in(folder, name)
        async with asyncio.timeout(within_s), entry.open(own) as running:
            return await entry.measure(running, scale)

    return measure
