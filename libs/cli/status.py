"""`starwake status`: each part of a running stack, looked at now."""

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from libs.cli.embedded.probes import probe
from libs.cli.embedded.state import PartState, StackState, is_running, read_state
from libs.cli.errors import EXIT_NOT_RUNNING, CliError


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part; `pid` is None where somebody else runs it, `since` when this process of it was started."""

    name: str
    pid: int | None
    url: str
    healthy: bool
    since: str
    restarts: int

    def as_json(self) -> dict[str, Any]:
        """The object that `--json` prints."""
        return asdict(self)


def running_stack(data: Path) -> StackState:
    """The state of the stack that runs on this data directory.

    Raises:
        CliError: none runs there.
    """
    state = read_state(data)
    if state is None or not state.is_alive:
        raise CliError(f"no stack runs on {data} (`starwake up --data {data}` starts one)", EXIT_NOT_RUNNING)
    return state


async def part_states(data: Path) -> list[PartStatus]:
    """All parts, asked at the same time.

    Raises:
        CliError: no stack runs there.
    """
    return list(await asyncio.gather(*(_look_at(part) for part in running_stack(data).parts)))


def as_table(parts: list[PartStatus]) -> Table:
    """The parts for people."""
    table = Table(box=None, pad_edge=False)
    for heading in ("part", "pid", "address", "health", "since", "restarts"):
        table.add_column(heading, no_wrap=True)
    for part in parts:
        health = "[green]healthy[/green]" if part.healthy else "[red]not healthy[/red]"
        pid = "-" if part.pid is None else str(part.pid)
        table.add_row(part.name, pid, part.url, health, part.since or "-", str(part.restarts))
    return table


async def _look_at(part: PartState) -> PartStatus:
    there = part.pid is None or is_running(part.pid)
    return PartStatus(
        name=part.name,
        pid=part.pid,
        url=part.url,
        healthy=there and await probe(part.probe),
        since=part.since,
        restarts=part.restarts,
    )


def print_parts(parts: list[PartStatus], console: Console) -> None:
    """The table, without cutting addresses short where the terminal is narrow."""
    console.print(as_table(parts), soft_wrap=True)
