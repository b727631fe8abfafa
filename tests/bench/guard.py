"""`just bench-check`: figures that do not depend on how busy the machine is, against the recorded ones.

What counts is counted, not timed: bytecode instructions and allocated bytes for each frame, SQL statements, rows and
NATS messages for each order, bytecode instructions of whole services. CPU is taken of the pure parts, relative to a
floor that takes turns with them, as the best of many short slices. A figure
that grew by more than a quarter fails; `--record` writes new ones down.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench.contestants.starwake import starwake
from tests.bench.guards import cpu, instructions, orders, services
from tests.bench.harness.scratch import folder_in, scratch

BASELINE: Final = Path(__file__).parent / "baseline.json"
TOLERANCE: Final = 1.25
_SECONDS: Final = 300


async def measure() -> dict[str, float]:
    """All figures, by name; units are in the names."""
    figures = instructions.measure() | cpu.measure()
    with scratch() as folder:
        async with asyncio.timeout(_SECONDS):
            figures |= await services.measure(folder_in(folder, "traced"))
            async with starwake(folder_in(folder, "starwake")) as running:
                figures |= await orders.measure(running)
    return {name: round(value, 3) for name, value in figures.items()}


def compare(figures: dict[str, float], baseline: dict[str, float]) -> list[str]:
    """What is worse than it was, in words; a figure that nobody recorded is worse, too."""
    worse: list[str] = []
    for name, value in figures.items():
        if name not in baseline:
            worse.append(f"{name} was never recorded: just bench-check --record")
        elif value > baseline[name] * TOLERANCE:
            worse.append(f"{name}: {value:g}, recorded {baseline[name]:g} ({value / baseline[name] - 1:+.0%})")
    worse += [f"{name} is recorded, and not measured any more" for name in baseline.keys() - figures.keys()]
    return worse


def main() -> int:
    """Measure and compare; 1 where something got worse."""
    parser = argparse.ArgumentParser(prog="just bench-check", description=__doc__)
    parser.add_argument("--record", action="store_true", help="take what is measured now as the new baseline")
    given = parser.parse_args()
    figures = asyncio.run(measure())
    baseline: dict[str, float] = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    table = Table("figure", "now", "recorded", "change", title="noise-proof figures")
    for name, value in figures.items():
        old = baseline.get(name)
        table.add_row(name, f"{value:g}", f"{old:g}" if old else "", f"{value / old - 1:+.0%}" if old else "")
    console = Console()
    console.print(table)
    if given.record:
        BASELINE.write_text(json.dumps(figures, indent=2) + "\n")
        return 0
    worse = compare(figures, baseline)
    for line in worse:
        console.print(f"[red]worse: {line}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
