"""Where a service's time goes: py-spy on one part of a running stack while the load client plays.

`just profile command` · `just profile web --command build.list` · `--players 12` for what small batches cost.
"""

import argparse
import asyncio
import os
import re
import shutil
import sys
from collections import Counter
from pathlib import Path

from tests.bench.contestants.starwake import starwake
from tests.bench.harness.measure import loaded, spec
from tests.bench.harness.processes import CLIENT_CORE, end, pin
from tests.bench.harness.scratch import scratch

_SAMPLES_PER_S = 200
_WARM_UP_S = 2.0
_LINE_NUMBER = re.compile(r":\d+\)\Z")


async def profile(part: str, command: str, players: int, seconds: float) -> list[tuple[list[str], int]]:
    """Stacks (outermost function first) of one part under load, and how often each was met.

    Raises:
        RuntimeError: py-spy is not installed, or may not look into another process (it takes root, or CAP_SYS_PTRACE).
    """
    program = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if program is None:
        raise RuntimeError("py-spy is not installed: `uv sync --group bench`")
    with scratch() as folder:
        async with starwake(folder) as running:
            what = spec(running, "round_trips", players, seconds + _WARM_UP_S, command=command, kind="long")
            playing = asyncio.create_task(loaded(running, what, "answered"))
            await asyncio.sleep(_WARM_UP_S)
            raw = folder / "stacks"
            spy = await asyncio.create_subprocess_exec(
                *(program, "record", "--pid", str(running.parts[part][0].pid), "--rate", str(_SAMPLES_PER_S)),
                *("--duration", str(round(seconds)), "--format", "raw", "--output", str(raw)),
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                preexec_fn=lambda: pin(0, CLIENT_CORE),
            )
            try:
                _, why = await asyncio.wait_for(spy.communicate(), seconds + 30)
            finally:
                await end(spy)
            figures = await playing
            if not raw.exists():
                raise RuntimeError(f"py-spy: {why.decode(errors='replace').strip()}")
            cpu = figures.get(f"cpu_us_{part}", 0.0)
            sys.stdout.write(f"{part}: {cpu:.0f} us CPU a command, {figures['per_s']:.0f}/s while being looked at\n")
            return [_stack(line) for line in raw.read_text().splitlines()]


def _stack(line: str) -> tuple[list[str], int]:
    frames, _, times = line.rpartition(" ")
    return [_LINE_NUMBER.sub(")", frame) for frame in frames.split(";")], int(times)


def show(stacks: list[tuple[list[str], int]], rows: int) -> None:
    """The functions that took most: by themselves, and with what they called."""
    total = sum(times for _, times in stacks)
    own: Counter[str] = Counter()
    with_callees: Counter[str] = Counter()
    for frames, times in stacks:
        own[frames[-1]] += times
        for frame in set(frames):
            with_callees[frame] += times
    everywhere = {frame for frame, times in with_callees.items() if times == total}
    for title, counter in (("by itself", own), ("with what it calls", with_callees)):
        sys.stdout.write(f"\n{title}\n")
        met = [(frame, times) for frame, times in counter.most_common() if counter is own or frame not in everywhere]
        for frame, times in met[:rows]:
            sys.stdout.write(f"{100 * times / total:5.1f} %  {frame}\n")


def main() -> int:
    """Read the command line, measure, show; 1 where that is not possible here."""
    parser = argparse.ArgumentParser(prog="just profile", description=__doc__)
    parser.add_argument("part", choices=("command", "web", "scheduler"), help="which process; `web` is the gateway")
    parser.add_argument("--command", default="build.start")
    parser.add_argument("--players", type=int, default=256, help="each has one command in flight")
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rows", type=int, default=30)
    given = parser.parse_args()
    try:
        stacks = asyncio.run(profile(given.part, given.command, given.players, given.seconds))
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    show(stacks, given.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
