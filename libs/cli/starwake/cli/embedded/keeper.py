"""Keeps one part of the stack running: starts it, sees that it is healthy, starts it again when it dies."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from starwake.cli.embedded.errors import EmbeddedError, PartFailedError
from starwake.cli.embedded.probes import probe
from starwake.cli.embedded.process import Child, Launch, last_words, start
from starwake.cli.embedded.state import PartState

_POLL_SECONDS: Final = 0.1
# A part that lived this long was well: the next restart is immediate again.
_WELL_AFTER_SECONDS: Final = 10.0
_LONGEST_PAUSE_SECONDS: Final = 10.0
_AILING_POLL_SECONDS: Final = 2.0
_AILING_LOOKS: Final = 5
"""Ten seconds: a server that is restarted in vain is not restarted all the time."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: how to start it, how to tell that it serves, how long its start and its end may take.

    `health` is asked by `status` where that is not `probe`; `ailment` says why it has to be restarted though it runs.
    """

    name: str
    url: str
    probe: str
    prepare: Callable[[], Awaitable[Launch]]
    start_within_s: float
    stop_within_s: float
    health: str = ""
    ailment: Callable[[], Awaitable[str | None]] | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """The part serves; `restarts` is 0 the first time."""

    name: str
    url: str
    pid: int
    after_s: float
    restarts: int


@dataclass(frozen=True, slots=True)
class Died:
    """The part ended without being asked to; it is started again after a pause. `why` is what its log says last."""

    name: str
    exit_code: int
    again_in_s: float
    why: str = ""


@dataclass(frozen=True, slots=True)
class NotServing:
    """The part was started again and runs, but did not serve within the time that its start may take."""

    name: str
    why: str


@dataclass(frozen=True, slots=True)
class StartFailed:
    """An attempt to start the part again did not even run it."""

    name: str
    reason: str
    again_in_s: float


@dataclass(frozen=True, slots=True)
class Ailing:
    """The part runs, but only a restart can make it well: it is ended and started again."""

    name: str
    reason: str


Event = Started | Died | NotServing | StartFailed | Ailing


def pause_before_restart(quick_deaths: int) -> float:
    """Seconds to wait after this many deaths in a row that each followed soon after a start."""
    return 0.0 if quick_deaths <= 0 else min(0.5 * 2.0 ** (quick_deaths - 1), _LONGEST_PAUSE_SECONDS)


class Keeper:
    """Owns one part's process from its first start to its end."""

    def __init__(self, part: Part, tell: Callable[[Event], None], changed: Callable[[], None]) -> None:
        """`tell` hears what a person wants to know, `changed` that `state` is another now."""
        self.part = part
        self._tell = tell
        self._changed = changed
        self._child: Child | None = None
        self._since = datetime.now(UTC)
        self._restarts = 0
        self._stopping = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @property
    def watch(self) -> asyncio.Task[None] | None:
        """The task that keeps the part; it ends when the part was stopped, earlier only by a fault of its own."""
        return self._watch

    @property
    def state(self) -> PartState:
        """The part as stack.json tells it."""
        return PartState(
            name=self.part.name,
            pid=None if self._child is None else self._child.pid,
            url=self.part.url,
            probe=self.part.health or self.part.probe,
            since="" if self._child is None else self._since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            restarts=self._restarts,
        )

    async def start(self) -> None:
        """Start the part for the first time and return once it serves.

        Raises:
            PartFailedError: it ended, or did not serve in time; the text carries the end of its log.
            EmbeddedError: it cannot be started at all.
        """
        began = time.monotonic()
        try:
            child = await self._launch()
        except OSError as error:
            raise PartFailedError(f"{self.part.name} cannot be started: {error}") from error
        if not await self._until_it_serves(child):
            why = "did not become healthy in time" if child.exit_code is None else f"ended ({_words(child.exit_code)})"
            raise PartFailedError(f"{self.part.name} {why}: {last_words(child.launch.log)} (see {child.launch.log})")
        self._tell(Started(self.part.name, self.part.url, child.pid, time.monotonic() - began, 0))
        self._watch = asyncio.create_task(self._keep(child), name=f"keep {self.part.name}")

    async def stop(self) -> None:
        """End the part for good; it is killed when it takes too long."""
        self._stopping.set()
        if self._child is not None:
            await self._child.stop(within=self.part.stop_within_s)
        if self._watch is not None:
            await self._watch

    def kill(self) -> None:
        """Kill it at once; `stop` still has to be awaited."""
        self._stopping.set()
        if self._child is not None:
            self._child.kill()

    async def _keep(self, child: Child) -> None:
        quick_deaths = 0
        while True:
            started = time.monotonic()
            served = asyncio.create_task(self._tell_when_it_serves(child)) if self._restarts else None
            cure = asyncio.create_task(self._cure(child, self.part.ailment)) if self.part.ailment else None
            try:
                code = await child.wait()
            finally:
                if cure is not None:
                    cure.cancel()
                    await asyncio.gather(cure, return_exceptions=True)
            if served is not None:
                await served
            if self._stopping.is_set():
                return
            well = time.monotonic() - started > _WELL_AFTER_SECONDS
            again = await self._start_again(0 if well else quick_deaths, code, child.launch.log)
            quick_deaths = 1 if well else quick_deaths + 1
            if again is None:
                return
            child = again

    async def _cure(self, child: Child, ailment: Callable[[], Awaitable[str | None]]) -> None:
        """End the part once it has been ailing for a while; `_keep` starts it again."""
        seen = 0
        while seen < _AILING_LOOKS:
            await asyncio.sleep(_AILING_POLL_SECONDS)
            reason = await ailment()
            seen = seen + 1 if reason is not None else 0
            if reason is not None and seen == _AILING_LOOKS:
                self._tell(Ailing(self.part.name, reason))
        await child.stop(within=self.part.stop_within_s)

    async def _start_again(self, quick_deaths: int, code: int, log: Path) -> Child | None:
        """Pause, then start; None when the stack is stopping."""
        pause = pause_before_restart(quick_deaths)
        # Killed by a signal it had no time to say anything: the last lines are about something else.
        why = last_words(log) if code > 0 else ""
        self._tell(Died(self.part.name, code, pause, why))
        while not await self._stopping_within(pause):
            self._restarts += 1
            try:
                child = await self._launch()
            except (EmbeddedError, OSError) as error:
                quick_deaths += 1
                pause = pause_before_restart(quick_deaths)
                self._tell(StartFailed(self.part.name, str(error), pause))
                continue
            if self._stopping.is_set():
                await child.stop(within=self.part.stop_within_s)
                return None
            return child
        return None

    async def _launch(self) -> Child:
        launch = await self.part.prepare()
        self._child = await start(launch)
        self._since = datetime.now(UTC)
        self._changed()
        return self._child

    async def _tell_when_it_serves(self, child: Child) -> None:
        began = time.monotonic()
        if await self._until_it_serves(child):
            self._tell(Started(self.part.name, self.part.url, child.pid, time.monotonic() - began, self._restarts))
        elif child.exit_code is None and not self._stopping.is_set():
            self._tell(NotServing(self.part.name, last_words(child.launch.log)))

    async def _until_it_serves(self, child: Child) -> bool:
        deadline = time.monotonic() + self.part.start_within_s
        while child.exit_code is None and time.monotonic() < deadline and not self._stopping.is_set():
            # Between the two looks another process could serve at that address, were ours already gone.
            if await probe(self.part.probe) and child.exit_code is None:
                return True
            await asyncio.sleep(_POLL_SECONDS)
        return False

    async def _stopping_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return self._stopping.is_set()
        return True


def _words(exit_code: int) -> str:
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
