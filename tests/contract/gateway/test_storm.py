"""Thousands at once, as after a gateway died: nobody is left outside."""

import selectors
import signal
import socket
from contextlib import ExitStack
from pathlib import Path

from tests.contract.gateway.conftest import StartGateway
from tests.contract.gateway.raw import handshake
from tests.support.eventually import eventually

_CALLERS = min(3000, int(Path("/proc/sys/net/core/somaxconn").read_text()) - 1)


def call(port: int, open_sockets: ExitStack) -> socket.socket:
    """A connection attempt under way."""
    caller = open_sockets.enter_context(socket.socket())
    caller.setblocking(False)
    caller.connect_ex(("127.0.0.1", port))
    return caller


async def test_while_the_gateway_is_busy_thousands_wait_at_the_door_and_all_come_in(
    start_gateway: StartGateway,
) -> None:
    gateway = await start_gateway()
    with ExitStack() as open_sockets, selectors.DefaultSelector() as connecting:
        gateway.process.send(signal.SIGSTOP)
        try:
            players = [call(gateway.process.port, open_sockets) for _ in range(_CALLERS)]
            for player in players:
                connecting.register(player, selectors.EVENT_WRITE)
            # Whom the backlog does not hold is not connected before the gateway goes on, however often it tries.
            await eventually(lambda: len(connecting.select(timeout=0)) == _CALLERS, within_s=5)
            for player in players:
                player.send(handshake(None))
        finally:
            gateway.process.send(signal.SIGCONT)
        for player in players:
            connecting.modify(player, selectors.EVENT_READ)
        await eventually(lambda: len(connecting.select(timeout=0)) == _CALLERS, within_s=20)
        assert all(player.recv(12) == b"HTTP/1.1 101" for player in players)
