"""A bare echo: picows' compiled WebSocket on uvloop, one fixed answer, no token, no JSON.

A frame that begins with `!` goes, without it, to everybody.
"""

import asyncio
import os
from typing import TYPE_CHECKING, Any, Final, cast

import picows
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_serve: Final = cast("Callable[..., Awaitable[Any]]", picows.ws_create_server)  # pyright: ignore[reportUnknownMemberType]
_connected: set[WSTransport] = set()
_ID: Final = b'"id": "'


class Echo(WSListener):
    """Answers each frame with a reply of the same id."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        _connected.add(transport)
        transport.send(WSMsgType.TEXT, b'{"type":"hello"}')

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is not WSMsgType.TEXT:
            if frame.msg_type is WSMsgType.CLOSE:
                transport.disconnect()
            return
        payload = frame.get_payload_as_bytes()
        if payload.startswith(b"!"):
            for each in _connected:
                each.send(WSMsgType.TEXT, payload[1:])
            return
        start = payload.index(_ID) + len(_ID)
        command_id = payload[start : payload.index(b'"', start)]
        transport.send(WSMsgType.TEXT, b'{"type":"reply","id":"' + command_id + b'","result":{}}')

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        _connected.discard(transport)


async def main(port: int) -> None:
    """Serve until the process is ended."""

    def listener(_request: object) -> Echo:
        return Echo()

    # A buffer as small as the load client's: 10,000 of the usual 16 KiB would be what its memory is measured by.
    await _serve(listener, "127.0.0.1", port, backlog=8192, read_buffer_init_size=2048)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(os.environ["BENCH_PORT"])))
