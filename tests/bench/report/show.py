"""A scenario's figures on the terminal."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.harness.rounds import Result
from tests.bench.harness.scenario import Scenario


def scenario(console: Console, shown: Scenario, results: Sequence[Result]) -> None:
    """One row a figure, one column a contestant: median (smallest to largest)."""
    table = Table(title=f"{shown.title}\n{shown.work}", title_justify="left")
    table.add_column("figure")
    for result in results:
        table.add_column(result.contestant, justify="right")
    names = dict.fromkeys(name for result in results for each in result.rounds for name in each)
    for name in names:
        table.add_row(name, *(_cell(result, name) for result in results))
    console.print(table)
    for result in results:
        for failure in result.failures:
            console.print(f"[red]{result.contestant}: {failure}")


def _cell(result: Result, name: str) -> str:
    middle, spread = result.median(name), result.spread(name)
    if middle is None or spread is None:
        return ""
    low, high = spread
    return f"{middle:g}" if low == high else f"{middle:g} ({low:g}-{high:g})"
