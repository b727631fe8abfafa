"""python-socketio with its Redis manager: each player a room, pushes emitted through Redis by another process.

As the documentation's "Using a Message Queue" and "Emitting from external processes" have it.
"""

import os

import socketio

from tests.bench.peers.identity import player_of

manager = socketio.AsyncRedisManager(os.environ["BENCH_REDIS_URL"])
server = socketio.AsyncServer(async_mode="asgi", client_manager=manager, transports=["websocket"])
app = socketio.ASGIApp(server)


@server.event
async def connect(sid: str, environ: dict[str, str], _auth: object) -> None:
    await server.enter_room(sid, player_of(environ["HTTP_AUTHORIZATION"]))
    await server.emit("hello", {}, to=sid)


@server.event
async def command(_sid: str, frame: dict[str, object]) -> dict[str, object]:
    return {"type": "reply", "id": frame["id"], "result": {}}
