"""One child process: in a session of its own, never outliving its parent, its output in a file.

A session of its own keeps the terminal's Ctrl-C from the child: whoever supervises decides the order in which
parts stop. On Linux the kernel itself ends the child when its parent dies, `kill -9` included
(PR_SET_PDEATHSIG, prctl(2)).
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_ROTATE_AT_BYTES = 10 * 1024 * 1024
# Loaded once, here: the hook that runs between fork and exec must not import or allocate more than it has to.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True, slots=True)
class Account:
    """The user and group that a child runs as; only root can choose another than its own."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start one process.

    `directory` is where it runs (the caller's own by default), `stop_signal` asks it to end by itself, and
    `orphan_signal` is what the kernel sends it when its parent died.
    """

    name: str
    argv: tuple[str, ...]
    log: Path
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    account: Account | None = None
    directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL


class Child:
    """A running process that was started from a `Launch`."""

    def __init__(self, launch: Launch, process: asyncio.subprocess.Process) -> None:
        self.launch = launch
        self._process = process

    @property
    def pid(self) -> int:
        """The process's id; it stays the same after the end."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs, the exit status after, the negative signal number if one ended it."""
        return self._process.returncode

    async def wait(self) -> int:
        """Wait, without limit, for its end."""
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process.returncode is None:
            try:
                self._process.send_signal(number)
            except ProcessLookupError:
                return  # it ended a moment ago and is being reaped

    async def stop(self, *, within: float) -> bool:
        """Ask it to end; kill its whole session when it has not after `within` seconds. True if it ended itself."""
        self.send(self.launch.stop_signal)
        try:
            await asyncio.wait_for(self._process.wait(), within)
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return False
        return True

    def kill(self) -> None:
        """Kill it and everything in its session that shares its process group."""
        if self._process.returncode is None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                self.send(signal.SIGKILL)


async def start(launch: Launch) -> Child:
    """Start the process; its output is appended to the launch's log file.

    Call it from the main thread: the kernel's "parent died" is the death of the thread that forked.

    Raises:
        OSError: the program cannot be executed.
    """
    rotate(launch.log)
    account = launch.account
    with launch.log.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *launch.argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(launch.env),
            cwd=launch.directory,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # After the change of user, which would clear it again (prctl(2)).
            preexec_fn=die_with_parent(launch.orphan_signal),
        )
    return Child(launch, process)


def die_with_parent(number: signal.Signals) -> Callable[[], None]:
    """Build the hook for between fork and exec that ties the child's life to this process."""
    parent = os.getpid()

    def hook() -> None:
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
            if os.getppid() != parent:  # the parent died between fork and prctl
                os.kill(os.getpid(), signal.SIGKILL)

    return hook


def die_with_my_parent(number: signal.Signals) -> None:
    """Have the kernel send this very process a signal when the process that started it dies."""
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def rotate(log: Path) -> None:
    """Keep a log file from growing over restarts: one older generation stays beside it."""
    if log.exists() and log.stat().st_size > _ROTATE_AT_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def tail(log: Path, lines: int = 5) -> str:
    """The last lines of a log, for an error message."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8192))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])


def last_words(log: Path) -> str:
    """Why a process ended, as far as its log says: the last error it told in JSON, else its last lines."""
    for line in reversed(tail(log, 20).splitlines()):
        try:
            event = json.loads(line)
        except ValueError:
            continue
        if isinstance(event, dict) and event.get("level") == "error":  # pyright: ignore[reportUnknownMemberType]
            told = {str(key): str(value) for key, value in event.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            why = told.get("reason") or told.get("error") or told.get("exception", "").rpartition("\n")[2]
            return f"{told.get('event', '')}: {why}" if why else told.get("event", "")
    return tail(log)
