"""Free ports for the inner parts, and a clear answer about a port that was asked for."""

import errno
import socket
from contextlib import ExitStack

LOOPBACK = "127.0.0.1"


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Choose distinct TCP ports that nobody listens on at this moment.

    All of them are held open until the last is found, so that no two are the same. Between this call and the
    child's own bind another process may still take one; the child then fails and says so.
    """
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server((host, 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could bind this port now.

    Raises:
        PermissionError: the port is below the range that this user may bind.
        OSError: the host is not an address of this machine.
    """
    try:
        # SO_REUSEADDR, as create_server sets it on POSIX: a port that is only in TIME_WAIT is free to a server.
        with socket.create_server((host, port)):
            return True
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return False
        raise
