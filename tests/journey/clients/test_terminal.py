"""`starwake play` against the real stack, by a pipe and on a terminal."""

import asyncio
import contextlib
import fcntl
import os
import pty
import struct
import termios
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import IO

from tests.support.eventually import eventually
from tests.support.players import unique_player
from tests.support.stack import Stack

WITHIN_S = 30.0
LEFT_ALTERNATE_SCREEN = b"\x1b[?1049l"


async def test_a_script_plays_by_lines(stack: Stack) -> None:
    process = await asyncio.create_subprocess_exec(
        *stack.run("play", "--player", unique_player()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN_S):
        output, _ = await process.communicate(b"start beacon luna-1\nwait\nstart death_star luna-1\n")
    told = [line.split(" ", maxsplit=1)[1] for line in output.decode().splitlines()]
    assert "build.completed Navigation beacon on luna-1 (#1) is complete" in told
    assert told[-1].startswith("- refused: ")
    assert process.returncode == 1


class Terminal:
    """The other side of a pseudo-terminal: what was shown so far, and a keyboard."""

    def __init__(self, master: int) -> None:
        self.shown = b""
        self._master = master
        os.set_blocking(master, False)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def shows(self, text: bytes) -> bool:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self._master, 65_536):
                self.shown += data
        return text in self.shown


@contextmanager
def terminal() -> Generator[tuple[Terminal, IO[bytes]]]:
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    try:
        with os.fdopen(slave, "r+b", buffering=0) as player_side:
            yield Terminal(master), player_side
    finally:
        os.close(master)


@asynccontextmanager
async def playing(stack: Stack) -> AsyncGenerator[tuple[Terminal, asyncio.subprocess.Process]]:
    with terminal() as (screen, player_side):
        process = await asyncio.create_subprocess_exec(
            *stack.run("play", "--player", unique_player()),
            stdin=player_side,
            stdout=player_side,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        try:
            await eventually(lambda: screen.shows(b"nothing is being built"), within_s=WITHIN_S)
            yield screen, process
            await eventually(lambda: screen.shows(LEFT_ALTERNATE_SCREEN), within_s=WITHIN_S)
            async with asyncio.timeout(WITHIN_S):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()


async def test_on_a_terminal_a_player_sees_bars_and_leaves_it_as_it_was(stack: Stack) -> None:
    async with playing(stack) as (screen, _):
        screen.type("start dock luna-1\r")
        await eventually(lambda: screen.shows("━".encode()), within_s=WITHIN_S)
        await eventually(lambda: screen.shows(b"Dock on luna-1 (#1) is complete"), within_s=WITHIN_S)
        screen.type("quit\r")


async def test_the_terminal_is_left_as_it_was_when_play_is_terminated(stack: Stack) -> None:
    async with playing(stack) as (_, process):
        process.terminate()
