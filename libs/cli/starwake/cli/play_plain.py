"""The terminal client without a terminal: orders are lines of stdin, one line of stdout for each push and answer."""

import asyncio
import threading
from datetime import datetime
from typing import TextIO

from starwake.cli.play_orders import NotUnderstood, Quit, parse
from starwake.cli.play_session import PlaySession
from starwake.client import Push, Starwake

WAITING_LINES = 100


class PlainDisplay:
    """Writes `TIME EVENT SENTENCE` for a push (the server's time, UTC), and `TIME - SENTENCE` for everything else."""

    def __init__(self, output: TextIO) -> None:
        self.player: Starwake | None = None
        self._output = output

    def push(self, push: Push, text: str) -> None:
        """A push came."""
        self._write(push.at, push.event, text)

    def say(self, text: str) -> None:
        """Something else is to be said."""
        assert self.player is not None  # noqa: S101 - set before the session begins
        self._write(self.player.now(), "-", text)

    def _write(self, moment: datetime, mark: str, text: str) -> None:
        self._output.write(f"{moment:%H:%M:%S}.{moment.microsecond // 1000:03} {mark} {text}\n")
        self._output.flush()


def _lines_of(source: TextIO) -> "asyncio.Queue[str | None]":
    """The lines of a stream as they come, then None.

    By a thread, because a pipe, a terminal and a file have nothing else in common; a daemon, because a read that
    waits for ever must not keep the process.
    """
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue(WAITING_LINES)

    def read() -> None:
        try:
            for line in source:
                asyncio.run_coroutine_threadsafe(lines.put(line), loop).result()
            asyncio.run_coroutine_threadsafe(lines.put(None), loop).result()
        except RuntimeError:
            return  # the loop is closed: nobody reads any more

    threading.Thread(target=read, name="play-stdin", daemon=True).start()
    return lines


async def play_plain(player: Starwake, source: TextIO, output: TextIO) -> int:
    """Play by lines until `quit` or the end of the input.

    Returns:
        0, or 1 if an order was refused or not understood.

    Raises:
        SessionError: the session is over.
    """
    display = PlainDisplay(output)
    display.player = player
    session = PlaySession(player, display)
    await session.begin()
    listener = asyncio.create_task(session.listen(), name="play-listener")
    orders = asyncio.create_task(_carry_out(session, display, _lines_of(source)), name="play-orders")
    try:
        done, _ = await asyncio.wait([listener, orders], return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        return 0 if orders.result() else 1
    finally:
        for task in (listener, orders):
            task.cancel()
        await asyncio.wait([listener, orders])


async def _carry_out(session: PlaySession, display: PlainDisplay, lines: "asyncio.Queue[str | None]") -> bool:
    well = True
    while (line := await lines.get()) is not None:
        try:
            order = parse(line)
        except NotUnderstood as error:
            display.say(str(error))
            well = False
            continue
        if isinstance(order, Quit):
            return well
        if order is not None:
            well &= await session.carry_out(order)
    return well
