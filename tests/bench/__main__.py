"""The benchmark: `just bench`, or `just bench NAME ...` for some of its scenarios.

`--share 0.05 --seconds 1 --rounds 1` tries it out in a moment, `--only starwake floor` leaves contestants out; what
such a run gives is shown, and not written down.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tests.bench.harness import scenario as scenarios
from tests.bench.harness.machine import Bystanders
from tests.bench.harness.rounds import Result
from tests.bench.harness.scenario import Scale, Scenario
from tests.bench.report import show, write
from tests.bench.scenarios.registry import SCENARIOS

console = Console(stderr=True)


async def measure(chosen: Sequence[Scenario], scale: Scale, *, written: bool) -> dict[str, Sequence[Result]]:
    """Run the scenarios one after the other, and show each as soon as it is done."""
    results: dict[str, Sequence[Result]] = {}
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=len(chosen))
        for scenario in chosen:

            def tell(text: str, scenario: Scenario = scenario) -> None:
                bar.update(task, description=f"[bold]{scenario.name}[/] {text}")
                if not console.is_terminal:
                    console.print(f"{time.strftime('%H:%M:%S')} {scenario.name}: {text}")

            began, bystanders = time.monotonic(), Bystanders()
            results[scenario.name] = await scenarios.run(scenario, scale, tell)
            show.scenario(console, scenario, results[scenario.name])
            if written:  # at once: what was measured survives an interruption
                run = {"took_s": round(time.monotonic() - began), "cores_busy_with_other_work": bystanders.cores()}
                write.scenario(scenario.name, results[scenario.name], run)
            bar.advance(task)
    return results


def main() -> int:
    """Read the command line, measure, write down; 1 where a contestant failed."""
    parser = argparse.ArgumentParser(prog="just bench", description=__doc__)
    slow = [name for name, scenario in SCENARIOS.items() if scenario.by_name]
    names = f"of {', '.join(SCENARIOS)}; all but {', '.join(slow)} without"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--only", nargs="+", metavar="CONTESTANT", help="leave the others out")
    parser.add_argument("--share", type=float, default=1.0, help="of the full numbers of players, builds, rows")
    parser.add_argument("--seconds", type=float, default=3.0, help="that a steady load is measured")
    parser.add_argument("--rounds", type=int, default=3, help="at most, for each contestant")
    given = parser.parse_args()
    unknown = set(given.names) - SCENARIOS.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(SCENARIOS)}")
    scale = Scale(given.share, given.seconds, given.rounds)
    chosen = [
        replace(
            scenario,
            entries={name: each for name, each in scenario.entries.items() if not given.only or name in given.only},
        )
        for name, scenario in SCENARIOS.items()
        if name in given.names or not (given.names or scenario.by_name)
    ]
    written = scale.share == 1 and not given.only
    results = asyncio.run(measure(chosen, scale, written=written))
    if written:
        console.print("written: tests/bench/results.json, docs/benchmarks/, README.md")
    failures = [failure for each in results.values() for result in each for failure in result.failures]
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
