"""Server processes under measurement: started, pinned, accounted for by the kernel's own figures, and ended."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil

from starwake.cli.embedded.process import die_with_parent

SERVER_CORE = 0
CLIENT_CORE = 1
STOP_SECONDS = 10.0


class Server:
    """One process of a contestant."""

    def __init__(self, process: asyncio.subprocess.Process, name: str) -> None:
        self.name = name
        self.process = process

    @property
    def root(self) -> list[psutil.Process]:
        """The process itself."""
        return [psutil.Process(self.process.pid)]


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """User and system time that these processes have used so far, their ended children's included, in seconds."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue  # a database's helper that has just ended: its parent's figure has it now
        total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_bytes(processes: Iterable[psutil.Process]) -> int:
    """Unique memory of these processes in bytes (USS: what ending them would free)."""
    return sum(process.memory_full_info().uss for process in processes)


def pin(pid: int, core: int | None) -> None:
    """Bind a process to one core; None leaves it to the kernel. Children inherit it."""
    if core is not None:
        os.sched_setaffinity(pid, {core})


def before_exec(core: int | None) -> Callable[[], None]:
    """What a child does before it becomes a program: it binds itself to `core`, and to this process's life.

    A benchmark that is killed leaves nothing behind that way.
    """
    tie = die_with_parent(signal.SIGKILL)

    def hook() -> None:
        tie()
        pin(0, core)

    return hook


@contextmanager
def pinned(core: int) -> Generator[None]:
    """Bind this process for the time of the block, so that what it starts meanwhile is bound for good."""
    before = os.sched_getaffinity(0)
    pin(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def server(
    name: str,
    argv: Iterable[str],
    *,
    env: Mapping[str, str] | None = None,
    core: int | None = SERVER_CORE,
    log_folder: Path,
) -> AsyncGenerator[Server]:
    """Run a server process for the time of the block; its output goes to `<log_folder>/<name>.log`."""
    with (log_folder / f"{name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *argv,
            env={**os.environ, **(env or {})},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=before_exec(core),
        )
    try:
        yield Server(process, name)
    finally:
        await end(process)


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to stop, and kill its session when it does not."""
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.wait()
    except TimeoutError:
        os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class Load:
    """The load client while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def ready(self, within_s: float = 120) -> None:
        """Wait until its players are connected.

        Raises:
            RuntimeError: it ended before.
        """
        await self.line(within_s)

    async def line(self, within_s: float) -> None:
        """Wait for the next line that it prints while it goes on.

        Raises:
            RuntimeError: it ended before.
            TimeoutError: it said nothing in time.
        """
        assert self.process.stdout is not None
        async with asyncio.timeout(within_s):
            line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("the load client ended before it had done its work")

    async def figures(self, within_s: float = 600) -> dict[str, object]:
        """What it measured, after it has ended (its standard input is closed, which ends an idle one)."""
        async with asyncio.timeout(within_s):
            output, _ = await self.process.communicate(b"")
        if self.process.returncode != 0:
            raise RuntimeError(f"the load client failed with status {self.process.returncode}")
        return json.loads(output.splitlines()[-1])


@asynccontextmanager
async def load(spec: Mapping[str, object], *, core: int | None = CLIENT_CORE) -> AsyncGenerator[Load]:
    """Run the load client with this spec, on a core of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.load.client", json.dumps(spec)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        preexec_fn=before_exec(core),
    )
    try:
        yield Load(process)
    finally:
        await end(process)
