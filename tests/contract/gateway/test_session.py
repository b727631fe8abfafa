"""From the handshake to the end: authentication, life signs, refresh, limits."""

import asyncio
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from starwake.bus.revocations import publish_revocation
from starwake.contracts.ids import PlayerId
from tests.contract.gateway.conftest import Gateway, StartGateway

Names = Callable[[], str]


async def refused_status(gateway: Gateway, **headers: str) -> int:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(gateway.url, additional_headers=headers, proxy=None):
            pass
    return refused.value.response.status_code


# --- authentication ----------------------------------------------------------------------------------------------


async def test_hello_says_who_plays_where_the_feeds_stand_and_what_is_allowed(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    hello = (await gateway.connect(player)).hello
    assert hello["player"] == player
    assert hello["seq"] == 0
    assert hello["recovered"] is None
    assert hello["epoch"]
    assert hello["session"]
    assert hello["ping_interval_s"] == 25
    assert hello["limits"]["max_frame_bytes"] == 65_536
    assert set(hello["limits"]) == {"max_frame_bytes", "commands_per_s", "burst", "connections_per_player"}
    told = datetime.fromisoformat(hello["server_time"])
    assert abs((datetime.now(UTC) - told).total_seconds()) < 5
    expires_in = (datetime.fromisoformat(hello["token_expires_at"]) - told).total_seconds()
    assert 590 < expires_in <= 601


async def test_the_token_may_come_in_the_first_frame(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    socket = await gateway.open()
    await socket.send({"id": "1", "command": "auth", "args": {"token": gateway.token(player)}})
    hello = await socket.frame()
    assert (hello["type"], hello["player"]) == ("hello", player)


async def test_a_token_in_the_header_that_does_not_hold_is_refused_before_the_upgrade(gateway: Gateway) -> None:
    assert await refused_status(gateway, Authorization="Bearer nonsense") == 401
    other = gateway.token("ada", secret="another-secret-of-at-least-32-bytes!")  # noqa: S106 - made up
    assert await refused_status(gateway, Authorization=f"Bearer {other}") == 401


async def test_a_token_in_the_first_frame_that_does_not_hold_closes_with_4500(gateway: Gateway) -> None:
    socket = await gateway.open()
    await socket.send({"id": "1", "command": "auth", "args": {"token": gateway.token("ada", ttl_s=-1)}})
    assert await socket.closed() == 4500


async def test_a_token_in_the_query_does_not_authenticate(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_AUTHENTICATION_S="0.5")
    async with connect(f"{gateway.url}?token={gateway.token('ada')}", proxy=None) as socket:
        await asyncio.wait_for(socket.wait_closed(), 5)
        assert socket.close_code == 4502


async def test_without_authentication_in_time_the_connection_is_closed_with_4502(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_AUTHENTICATION_S="0.5")
    socket = await gateway.open()
    await socket.send({"id": "1", "command": "build.list"})
    assert (await socket.frame())["error"]["code"] == "forbidden"
    assert await socket.closed() == 4502


async def test_pages_of_other_origins_are_refused(gateway: Gateway) -> None:
    assert await refused_status(gateway, Origin="https://evil.example") == 403
    same = f"http://127.0.0.1:{gateway.process.port}"
    assert (await gateway.open(Origin=same)).connection.close_code is None


async def test_commands_sent_together_with_the_token_are_answered_after_hello(
    gateway: Gateway, unique_player: Names
) -> None:
    socket = await gateway.open()
    await socket.send({"id": "1", "command": "auth", "args": {"token": gateway.token(unique_player())}})
    await socket.send({"id": "2", "command": "time"})
    assert [(await socket.frame())["type"] for _ in range(2)] == ["hello", "reply"]


@pytest.mark.parametrize("player", ["*", ">", "a.b", "a b", "é", "\u0001", "%41", "a\r\nPUB x 0", "x" * 255, "cmd.*.>"])
async def test_no_player_id_reaches_another_players_subjects(
    gateway: Gateway, player: str, unique_player: Names
) -> None:
    hostile = await gateway.connect(player)
    victim = unique_player()
    await gateway.push(victim, secret=True)
    seq = await gateway.push(player, mine=True)
    push = await hostile.frame()
    assert (push["seq"], push["data"]) == (seq, {"mine": True})
    assert (await hostile.ask("build.list"))["error"]["code"] == "unavailable"


# --- refresh, expiry, revocation ---------------------------------------------------------------------------------


async def test_a_refreshed_token_keeps_the_session_and_an_expired_one_ends_it(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_TOKEN_GRACE_S="0.5")  # noqa: S106 - seconds
    kept, lost = unique_player(), unique_player()
    first, second = await gateway.connect(kept, ttl_s=1), await gateway.connect(lost, ttl_s=1)
    reply = await first.ask("auth.refresh", {"token": gateway.token(kept)})
    assert reply["result"]["token_expires_at"] > first.hello["token_expires_at"]

    frames = [await second.frame()]
    assert (frames[0]["type"], frames[0]["code"], frames[0]["reconnect"]) == ("bye", 4005, True)
    assert await second.closed() == 4005
    assert (await first.ask("time"))["type"] == "reply"


async def test_another_players_or_a_bad_token_refreshes_nothing(gateway: Gateway, unique_player: Names) -> None:
    socket = await gateway.connect(unique_player())
    for token in (gateway.token("somebody-else"), "nonsense", gateway.token("x", ttl_s=-5)):
        assert (await socket.ask("auth.refresh", {"token": token}))["error"]["code"] == "forbidden"
    assert (await socket.ask("time"))["type"] == "reply"


async def test_a_revocation_ends_live_sessions_and_refuses_older_tokens_but_not_newer_ones(
    gateway: Gateway, unique_player: Names
) -> None:
    player = unique_player()
    before = gateway.token(player)
    socket = await gateway.connect(player)
    await publish_revocation(gateway.bus, PlayerId(player), datetime.now(UTC))
    assert (await socket.frame())["code"] == 4503
    assert await socket.closed() == 4503

    again = await gateway.open(Authorization=f"Bearer {before}")
    assert await again.closed() == 4503
    stranger = await gateway.open()
    await stranger.send({"id": "1", "command": "auth", "args": {"token": before}})
    assert await stranger.closed() == 4503
    assert (await gateway.connect(player)).hello["player"] == player


async def test_a_revoked_token_refreshes_nothing(gateway: Gateway, unique_player: Names) -> None:
    player = unique_player()
    old = gateway.token(player, iat=time.time() - 10)
    # Not now: a revocation takes in all of its own millisecond, and the token of `connect` could be of the same.
    await publish_revocation(gateway.bus, PlayerId(player), datetime.now(UTC) - timedelta(seconds=5))
    socket = await gateway.connect(player)
    await socket.send({"id": "1", "command": "auth.refresh", "args": {"token": old}})
    assert await socket.closed() == 4503


# --- life signs --------------------------------------------------------------------------------------------------


async def test_pings_carry_the_positions_and_a_silent_peer_is_given_up(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_PING_INTERVAL_S="0.5")
    player = unique_player()
    socket = await gateway.connect(player)
    seq = await gateway.push(player)
    while (frame := json.loads(await socket.connection.recv()))["type"] != "ping" or frame["seq"] != seq:
        await socket.send({"command": "pong"})
    assert set(frame) == {"type", "seq", "all", "server_time"}
    # From here on it says nothing; its library would answer WebSocket pings, but none are sent.
    assert await socket.closed() == 4012


# --- limits ------------------------------------------------------------------------------------------------------


async def test_commands_beyond_the_rate_are_limited_and_abuse_ends_the_session(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_COMMANDS_PER_S="1", STARWAKE_COMMAND_BURST="3", STARWAKE_ABUSE_REFUSALS="5")
    socket = await gateway.connect(unique_player())
    for _ in range(12):
        await socket.send({"id": "c", "command": "time"})
    frames = [await socket.frame() for _ in range(9)]
    assert [frame["type"] for frame in frames] == ["reply"] * 3 + ["error"] * 5 + ["bye"]
    assert frames[3]["error"]["code"] == "rate_limited"
    assert 0 < frames[3]["error"]["retry_after_ms"] <= 1000
    assert await socket.closed() == 4013


async def test_a_frame_over_64_kib_closes_with_1009(gateway: Gateway, unique_player: Names) -> None:
    socket = await gateway.connect(unique_player())
    await socket.send(" " * 65_537)
    assert await socket.closed() == 1009


async def test_twenty_bad_frames_in_a_row_close_with_4501(gateway: Gateway, unique_player: Names) -> None:
    socket = await gateway.connect(unique_player())
    for _ in range(20):
        await socket.send("{")
    assert await socket.closed() == 4501


async def test_a_binary_frame_closes_with_4501(gateway: Gateway, unique_player: Names) -> None:
    socket = await gateway.connect(unique_player())
    await socket.send(b"{}")
    assert await socket.closed() == 4501


async def test_one_connection_too_many_ends_the_oldest_across_gateways(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    limit = {"STARWAKE_CONNECTIONS_PER_PLAYER": "3"}
    one, two = await asyncio.gather(start_gateway(**limit), start_gateway(**limit))
    player = unique_player()
    sockets = [await gateway.connect(player) for gateway in (one, two, one, two)]
    assert sockets[0].hello["limits"]["connections_per_player"] == 3
    assert await sockets[0].closed() == 4504
    newest = await one.connect(player)
    assert await sockets[1].closed() == 4504
    for socket in (*sockets[2:], newest):
        assert (await socket.ask("time"))["type"] == "reply"


async def test_beyond_the_gateways_connections_upgrades_get_503(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_MAX_CONNECTIONS="2")
    first = await gateway.connect(unique_player())
    await gateway.connect(unique_player())
    assert await refused_status(gateway, Authorization=f"Bearer {gateway.token('x')}") == 503
    await first.connection.close()
    assert (await gateway.connect(unique_player())).hello["type"] == "hello"


async def test_connections_without_a_token_are_bounded_by_themselves(
    start_gateway: StartGateway, unique_player: Names
) -> None:
    gateway = await start_gateway(STARWAKE_MAX_UNAUTHENTICATED="2", STARWAKE_AUTHENTICATION_S="100")
    await gateway.connect(unique_player())
    await gateway.open()
    await gateway.open()
    assert await refused_status(gateway) == 503


# --- HTTP --------------------------------------------------------------------------------------------------------


async def test_the_players_port_serves_the_page_and_tokens_but_neither_metrics_nor_health(gateway: Gateway) -> None:
    base = f"http://127.0.0.1:{gateway.process.port}"
    async with httpx.AsyncClient(base_url=base, trust_env=False) as http:
        page = await http.get("/")
        assert page.status_code == 200
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert (await http.get("/ws")).status_code == 426
        for path in ("/metrics", "/healthz", "/readyz", "/web/../app.py", "/web/%2e%2e/app.py", "/docs", "/redoc"):
            assert (await http.get(path)).status_code == 404
        token = (await http.post("/dev/token", json={"player": "ada", "ttl_s": 60})).json()
        assert datetime.fromisoformat(token["expires_at"]).timestamp() - time.time() < 61
        bad_bodies: list[object] = [{"player": ""}, {"player": "x" * 256}, {"player": "a", "ttl_s": -1}, {}, []]
        for bad in bad_bodies:
            assert (await http.post("/dev/token", json=bad)).status_code == 422
    assert (await gateway.open(Authorization=f"Bearer {token['token']}")).connection.close_code is None


async def test_the_development_sign_in_exists_only_where_it_is_switched_on(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(STARWAKE_DEV_SIGN_IN="false")
    async with httpx.AsyncClient(trust_env=False) as http:
        url = f"http://127.0.0.1:{gateway.process.port}/dev/token"
        assert (await http.post(url, json={"player": "ada"})).status_code == 404


async def test_a_gateway_without_a_key_refuses_to_start_and_says_why(
    service_process: Callable[..., object],
) -> None:
    with pytest.raises(
        RuntimeError, match=r"gateway ended with 2:\n.*no key to verify tokens with.*STARWAKE_JWT_SECRET"
    ):
        await service_process("gateway", STARWAKE_PORT="0")  # type: ignore[misc]  # awaitable by its fixture


async def test_no_token_is_ever_logged(start_gateway: StartGateway, unique_player: Names) -> None:
    gateway = await start_gateway(STARWAKE_LOG_LEVEL="debug")
    tokens = [gateway.token(unique_player()) for _ in range(3)]
    await gateway.open(Authorization=f"Bearer {tokens[0]}")
    socket = await gateway.open()
    await socket.send({"id": "1", "command": "auth", "args": {"token": tokens[1]}})
    await socket.ask("auth.refresh", {"token": tokens[2] + "x"})
    async with httpx.AsyncClient(trust_env=False) as http:
        await http.get(f"http://127.0.0.1:{gateway.process.port}/ws?token={tokens[2]}")
    log = gateway.process.log()
    assert log
    for token in tokens:
        for part in token.split("."):
            assert part not in log
