"""Django Channels with channels-redis: each player a group, pushes by `group_send` from another process.

As the Channels documentation's tutorial, part 2, with `AsyncWebsocketConsumer`; served by Daphne, its own server.
"""

import json
import os

import django
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.conf import settings
from django.urls import path

from tests.bench.peers.identity import player_of

settings.configure(
    CHANNEL_LAYERS={
        "default": {
            "BACKEND": "channels_redis.core.RedisChannelLayer",
            # redis-py's own bound of 100 connections refuses sockets that come at the same time.
            "CONFIG": {
                "hosts": [{"address": os.environ["BENCH_REDIS_URL"], "max_connections": 10_000}],
                "capacity": 10_000,
            },
        }
    },
    SECRET_KEY=os.environ["BENCH_JWT_SECRET"],
)
django.setup()


class Session(AsyncWebsocketConsumer):
    """One socket in the group of its player."""

    async def connect(self) -> None:
        headers = {name.decode(): value.decode() for name, value in self.scope["headers"]}
        self.group = f"player.{player_of(headers['authorization'])}"
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.channel_layer.group_add("everybody", self.channel_name)
        await self.accept()
        await self.send(text_data='{"type":"hello"}')

    async def disconnect(self, code: int) -> None:
        del code
        await self.channel_layer.group_discard(self.group, self.channel_name)
        await self.channel_layer.group_discard("everybody", self.channel_name)

    async def receive(self, text_data: str = "", bytes_data: bytes | None = None) -> None:
        del bytes_data
        frame = json.loads(text_data)
        await self.send(text_data=json.dumps({"type": "reply", "id": frame["id"], "result": {}}))

    async def push(self, event: dict[str, str]) -> None:
        await self.send(text_data=event["frame"])


app = ProtocolTypeRouter({"websocket": URLRouter([path("ws", Session.as_asgi())])})
