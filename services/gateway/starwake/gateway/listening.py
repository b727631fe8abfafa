"""The socket that players connect to, and uvicorn's server over it."""

import contextlib
import socket
from collections.abc import Generator
from typing import Final

import uvicorn
from typing_extensions import override

from starwake.runtime.errors import StartError

_USER_TIMEOUT_MS: Final = 30_000
"""TCP gives a peer up that acknowledges nothing for so long (RFC 5482); application pings take longer to tell."""
BACKLOG: Final = 65_535
"""Connections that wait to be accepted; the kernel bounds it further (`net.core.somaxconn`, 4096 by default)."""

_ACCEPTED_AT_ONCE: Final = 16


class PlayersServer(uvicorn.Server):
    """uvicorn without its signal handling: on SIGTERM it would close every socket before they are drained."""

    @override
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


def listen(host: str, port: int, *, send_buffer_bytes: int) -> socket.socket:
    """The players' port; its options pass on to every accepted socket.

    Raises:
        StartError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # The kernel doubles it; without a bound it grows to megabytes for a peer that does not read.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes // 2)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _USER_TIMEOUT_MS)
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise StartError(f"STARWAKE_PORT: {host}:{port} cannot be used: {error.strerror or error}") from error
    listening.setblocking(False)
    return listening


def several_times(listening: socket.socket) -> list[socket.socket]:
    """The same socket under several descriptors, so that the event loop accepts as many connections in one turn.

    Of each descriptor libuv accepts one connection a turn (its pull request 3696), and while thousands connect a turn
    takes long: the backlog would overflow. Who is dropped there tries again one second later, then three (RFC 6298).
    """
    return [listening, *(listening.dup() for _ in range(_ACCEPTED_AT_ONCE - 1))]
