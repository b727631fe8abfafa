"""FastAPI's WebSocket loop with `nats-py`'s own `request`: the obvious way to reach a service behind the socket."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nats
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from tests.bench.peers.identity import player_of


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.nats = await nats.connect(os.environ["BENCH_NATS_URL"])
    yield
    await app.state.nats.close()


app = FastAPI(lifespan=lifespan)


@app.websocket("/ws")
async def session(socket: WebSocket) -> None:
    player = player_of(socket.headers["authorization"])
    await socket.accept()
    await socket.send_json({"type": "hello", "player": player})
    try:
        while True:
            text = await socket.receive_text()
            frame = json.loads(text)
            answer = await app.state.nats.request(f"cmd.{player}.{frame['command']}", text.encode(), timeout=5)
            reply = {"type": "reply", "id": frame["id"], "command": frame["command"]}
            await socket.send_json(reply | json.loads(answer.data))
    except WebSocketDisconnect:
        return
