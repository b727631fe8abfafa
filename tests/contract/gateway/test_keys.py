"""Tokens of an identity provider: its keys are fetched, rotated, and remembered while it is down."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm
from websockets.exceptions import InvalidStatus

from tests.contract.gateway.conftest import Gateway, StartGateway
from tests.support.eventually import eventually


class Provider:
    """An identity provider's key set, over HTTP."""

    def __init__(self) -> None:
        self.broken = False
        self.keys = {"first": rsa.generate_private_key(65537, 2048)}
        self.visits = 0
        self.port = 0

    def token(self, player: str, kid: str, **claims: object) -> str:
        """Signed with one of its keys."""
        payload = {"sub": player, "exp": time.time() + 60, "iss": "https://id.example", "aud": "starwake", **claims}
        return jwt.encode(payload, self.keys[kid], algorithm="RS256", headers={"kid": kid})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        self.visits += 1
        await reader.readuntil(b"\r\n\r\n")
        if self.broken:
            writer.write(b"HTTP/1.1 500 Internal Server Error\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        keys = [{**RSAAlgorithm.to_jwk(key.public_key(), as_dict=True), "kid": kid} for kid, key in self.keys.items()]
        body = json.dumps({"keys": keys}).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    """A provider that is up."""
    provider = Provider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0)
    provider.port = server.sockets[0].getsockname()[1]
    async with server:
        yield provider


async def status_of(gateway: Gateway, token: str) -> int:
    try:
        await gateway.open(Authorization=f"Bearer {token}")
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


async def test_a_gateway_fetches_its_keys_and_checks_issuer_and_audience(
    start_gateway: StartGateway, provider: Provider, unique_player: Callable[[], str]
) -> None:
    gateway = await start_gateway(
        STARWAKE_JWKS_URL=f"http://127.0.0.1:{provider.port}/jwks.json",
        STARWAKE_JWT_ISSUER="https://id.example",
        STARWAKE_JWT_AUDIENCE="starwake",
    )
    player = unique_player()
    ada = await gateway.open(Authorization=f"Bearer {provider.token(player, 'first')}")
    assert (await ada.frame())["player"] == player
    assert await status_of(gateway, provider.token(player, "first", iss="https://evil.example")) == 401
    assert await status_of(gateway, provider.token(player, "first", aud="shop")) == 401
    provider.keys["unpublished"] = rsa.generate_private_key(65537, 2048)
    # Asked for just now: an unknown key id does not make the gateway ask again at once.
    assert await status_of(gateway, provider.token(player, "unpublished")) == 401
    assert provider.visits == 1


async def test_while_the_provider_has_never_been_reached_tokens_are_not_to_blame(
    start_gateway: StartGateway, provider: Provider, unique_player: Callable[[], str]
) -> None:
    gateway = await start_gateway(STARWAKE_JWKS_URL="http://127.0.0.1:9/jwks.json")
    assert await status_of(gateway, provider.token(unique_player(), "first")) == 503
    # The shared secret stands beside it and goes on working.
    assert await status_of(gateway, gateway.token(unique_player())) == 101


async def test_while_the_provider_fails_a_token_with_an_unknown_key_is_not_to_blame(
    start_gateway: StartGateway, provider: Provider, unique_player: Callable[[], str]
) -> None:
    gateway = await start_gateway(STARWAKE_JWKS_URL=f"http://127.0.0.1:{provider.port}/keys")
    assert await status_of(gateway, provider.token(unique_player(), "first")) == 101
    provider.keys["second"] = rsa.generate_private_key(65537, 2048)
    provider.broken = True
    token = provider.token(unique_player(), "second")

    async def refused_for_now() -> bool:  # once the time between two fetches for unknown keys is over
        return await status_of(gateway, token) == 503

    await eventually(refused_for_now, within_s=30)
    assert await status_of(gateway, provider.token(unique_player(), "first")) == 101
    socket = await gateway.open()
    await socket.send({"id": "a1", "command": "auth", "args": {"token": token}})
    assert await socket.closed() < 4500  # come back
