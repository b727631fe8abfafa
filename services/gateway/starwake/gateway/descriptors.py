"""File descriptors: one for each socket, so the process's limit must fit the settings."""

import sys
from typing import Final, NamedTuple

_OF_THE_PROCESS: Final = 256
"""For NATS, logs, the page's files, the health port, and connections that are still asking over HTTP."""


class Descriptors(NamedTuple):
    """How many the process may have open, and how many its settings can come to."""

    limit: int
    needed: int


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
