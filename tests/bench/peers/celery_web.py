"""The seed design's web process: FastAPI's WebSocket with a listener and a poster side by side, Redis pub/sub between.

One Redis subscription connection serves the whole process, with a bounded queue for each socket, which
is redis-py's recommended way (one PubSub object, many channels); a connection per player would favour Starwake.
"""

import asyncio
import json
import os
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import redis.asyncio as redis
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from tests.bench.peers.celery_tasks import start_build
from tests.bench.peers.identity import player_of

queues: defaultdict[str, set[asyncio.Queue[str]]] = defaultdict(set)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    client = redis.Redis.from_url(os.environ["BENCH_REDIS_URL"], decode_responses=True)
    app.state.pubsub = client.pubsub(ignore_subscribe_messages=True)
    await app.state.pubsub.subscribe("everybody")
    dispatcher = asyncio.create_task(dispatch(app.state.pubsub))
    yield
    dispatcher.cancel()
    await client.aclose()


app = FastAPI(lifespan=lifespan)


async def dispatch(pubsub: redis.client.PubSub) -> None:
    async for message in pubsub.listen():
        channel = message["channel"]
        targets = [queue for held in queues.values() for queue in held] if channel == "everybody" else queues[channel]
        for queue in targets:
            queue.put_nowait(message["data"])


@app.websocket("/ws")
async def session(socket: WebSocket) -> None:
    player = player_of(socket.headers["authorization"])
    await socket.accept()
    channel = f"player:{player}"
    queue: asyncio.Queue[str] = asyncio.Queue(10_000)
    queues[channel].add(queue)
    await app.state.pubsub.subscribe(channel)
    await socket.send_json({"type": "hello", "player": player})
    poster = asyncio.create_task(post(socket, queue))
    try:
        while True:
            frame = json.loads(await socket.receive_text())
            args = frame["args"]
            # Sending a task is a blocking call to the broker; the documentation's answer is a thread.
            await asyncio.to_thread(
                start_build.delay, player, frame["id"], args["kind"], args["site"], float(args["seconds"])
            )
    except WebSocketDisconnect:
        pass
    finally:
        poster.cancel()
        queues[channel].discard(queue)


async def post(socket: WebSocket, queue: asyncio.Queue[str]) -> None:
    while True:
        await socket.send_text(await queue.get())
