"""File descriptors: one for each socket, so the process's limit must fit the settings."""

import asyncio
import errno
import os
import sys
from typing import Final, NamedTuple

from starwake.runtime.logs import get_logger
from starwake.runtime.rate_limited_logging import RateLimitedLogger

_log = RateLimitedLogger(get_logger("gateway.descriptors"))

_OF_THE_PROCESS: Final = 256
"""For NATS, logs, the page's files, the health port, and connections that are still asking over HTTP."""

_SPARE: Final = 192
"""Kept from players: for the health port, the page's files, NATS, and what is accepted and refused in one turn."""
_LOOK_EVERY_S: Final = 1.0


class Descriptors(NamedTuple):
    """How many the process may have open, and how many its settings can come to."""

    limit: int
    needed: int

    def left_for_players(self, in_use: int) -> int:
        """How many sockets of players may be open, where so many descriptors are in use without them.

        Without descriptors to spare the health port would not answer: libuv accepts and closes what it has none for.
        """
        return max(1, self.limit - in_use - min(_SPARE, self.limit // 4))


def raise_limit(max_connections: int, max_unauthenticated: int) -> Descriptors:
    """Raise the soft limit (RLIMIT_NOFILE) as far as the hard one allows and the settings need; what came of it."""
    needed = max_connections + max_unauthenticated + _OF_THE_PROCESS
    if sys.platform == "win32":  # it has no such limit
        return Descriptors(needed, needed)
    import resource  # noqa: PLC0415 - not there on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return Descriptors(needed if soft == resource.RLIM_INFINITY else soft, needed)
    wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return Descriptors(max(wanted, soft), needed)


def in_use() -> int:
    """How many descriptors are open, those of a moment apart: a new one gets the lowest free number (POSIX, 2.6)."""
    number = os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    return number


async def watch() -> None:
    """Say for as long as the process, or the machine, has none left.

    The event loop does not: libuv accepts and closes what it has no descriptor for, and tells nobody.
    """
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        try:
            in_use()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            _log.error("descriptors.exhausted", error=errno.errorcode[error.errno])
