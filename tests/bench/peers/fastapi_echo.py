"""A plain FastAPI WebSocket loop: receive, answer, receive; and `broadcast` to all who are connected.

The loop of FastAPI's own tutorial (WebSockets, "Handling disconnections and multiple clients").
"""

from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

from tests.bench.peers.identity import player_of

app = FastAPI()
active: set[WebSocket] = set()


@app.websocket("/ws")
async def session(socket: WebSocket) -> None:
    player = player_of(socket.headers["authorization"])
    await socket.accept()
    active.add(socket)
    await socket.send_json({"type": "hello", "player": player})
    try:
        while True:
            frame = await socket.receive_json()
            await socket.send_json({"type": "reply", "id": frame["id"], "command": frame["command"], "result": {}})
    except WebSocketDisconnect:
        active.discard(socket)


@app.post("/broadcast")
async def broadcast(request: Request) -> dict[str, int]:
    text = (await request.body()).decode()
    for socket in list(active):
        await socket.send_text(text)
    return {"sockets": len(active)}
