"""`starwake status`: each part of a running stack, looked at now."""

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from starwake.cli.embedded.probes import trouble
from starwake.cli.embedded.state import PartState, StackState, is_running, read_state
from starwake.cli.errors import EXIT_NOT_RUNNING, CliError


@dataclass(frozen=True, slots=True)
class PartStatus:
    """One part; `since` is when this process of it was started, `pid` None before that and for somebody else's.

    `why` says what stands against its health, empty where nothing does.
    """

    name: str
    pid: int | None
    url: str
    healthy: bool
    since: str
    restarts: int
    why: str = ""

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


def as_lines(parts: list[PartStatus]) -> list[str]:
    """The parts for people, in columns; nothing is cut, however narrow the terminal is."""
    rows = [("part", "pid", "health", "since", "restarts", "address")]
    rows += [
        (
            part.name,
            "-" if part.pid is None else str(part.pid),
            "healthy" if part.healthy else "NOT HEALTHY",
            part.since or "-",
            str(part.restarts),
            part.url,
        )
        for part in parts
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return [*lines, *(f"{part.name}: {part.why}" for part in parts if part.why)]


async def _look_at(part: PartState) -> PartStatus:
    there = not part.ours or (part.pid is not None and is_running(part.pid))
    why = await trouble(part.probe) if there else "it does not run"
    return PartStatus(
        name=part.name,
        pid=part.pid,
        url=part.url,
        healthy=why is None,
        since=part.since,
        restarts=part.restarts,
        why=why or "",
    )
