"""The commands that operators give to a running stack, as processes of their own."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from tests.support.eventually import eventually
from tests.support.nats import LocalNats
from tests.support.stack import Stack


async def starwake(stack: Stack, *words: str, text: str = "") -> tuple[int, str, str]:
    """Run one command; its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(*stack.run(*words), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, err = await asyncio.wait_for(process.communicate(text.encode()), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def session(stack: Stack, player: str) -> ClientConnection:
    """A player's open socket, after its hello."""
    headers = {"Authorization": f"Bearer {stack.token(player)}"}
    socket = await connect(stack.ws_url, additional_headers=headers)
    assert json.loads(await socket.recv())["type"] == "hello"
    return socket


async def until_closed(socket: ClientConnection) -> None:
    while True:
        await socket.recv()


async def next_push(socket: ClientConnection) -> dict[str, Any]:
    while True:
        frame = json.loads(await asyncio.wait_for(socket.recv(), 20))
        if frame["type"] == "push":
            return frame


async def test_an_announcement_to_a_player_is_pushed_to_that_player(
    stack: Stack, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    async with await session(stack, player) as socket:
        code, out, _ = await starwake(
            stack, "announce", "comet.seen", "--player", player, "--payload", '{"tail": 3}', "--json"
        )
        assert code == 0
        assert json.loads(out)["player"] == player
        push = await next_push(socket)
    assert (push["event"], push["data"]["tail"]) == ("comet.seen", 3)


async def test_an_announcement_with_warnings_comes_at_each_and_then_at_its_time(
    stack: Stack, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    async with await session(stack, player) as socket:
        code, out, _ = await starwake(
            stack, "announce", "dragons.inbound", "--player", player, "--at", "in 3s", "--warn", "2s"
        )
        assert code == 0
        assert "dragons.arrived" in out
        assert [(await next_push(socket))["event"] for _ in range(2)] == ["dragons.inbound", "dragons.arrived"]


async def test_what_is_taken_back_is_not_pushed(stack: Stack, unique_player: Callable[[], str]) -> None:
    player = unique_player()
    _, out, _ = await starwake(stack, "announce", "comet.seen", "--player", player, "--at", "in 1h", "--json")
    event_id = json.loads(out)["event_id"]
    assert await starwake(stack, "unannounce", event_id) == (0, "1 pushes taken back\n", "")
    code, _, err = await starwake(stack, "unannounce", "01a20389-e536-766e-860f-000000000000")
    assert (code, "not_found" in err) == (1, True)


async def test_a_revoked_players_socket_closes_and_the_old_token_no_longer_holds(
    stack: Stack, unique_player: Callable[[], str]
) -> None:
    player = unique_player()
    async with await session(stack, player) as socket:
        assert (await starwake(stack, "revoke", player))[0] == 0
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(until_closed(socket), 20)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4503


@pytest.mark.parametrize("how", [("--dry-run",), ()])
async def test_reconcile_of_a_healthy_stack_finds_nothing_to_mend(stack: Stack, how: tuple[str, ...]) -> None:
    async def nothing_differs() -> bool:
        code, out, _ = await starwake(stack, "reconcile", *how, "--json")
        found: dict[str, Any] = json.loads(out) if code == 0 else {}  # 1: the scheduler is at it at this moment
        return code == 0 and (found["streams"], found["arm"], found["tombstone"]) == ([], 0, 0)

    await eventually(nothing_differs, within_s=60, every_s=0.5)


async def test_doctor_finds_a_healthy_stack_healthy(stack: Stack) -> None:
    code, out, _ = await starwake(stack, "doctor", "--json")
    found = json.loads(out)
    assert [finding for finding in found["findings"] if finding["state"] == "wrong"] == []
    assert (code, found["ok"]) == (0, True)
    assert {"NATS", "JetStream", "stream TIMERS", "Postgres", "schema", "clock", "part gateway"} <= {
        finding["name"] for finding in found["findings"]
    }


async def test_doctor_names_what_is_wrong_and_says_how_to_mend_it(
    stack: Stack, fresh_nats: LocalNats, empty_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A NATS without streams, a database without a schema, a misspelt setting."""
    monkeypatch.setenv("STARWAKE_NATS_URL", fresh_nats.url)
    monkeypatch.setenv("STARWAKE_DATABASE_URL", empty_database_url)
    monkeypatch.setenv("STARWAKE_LOG_LEVLE", "info")
    code, out, _ = await starwake(stack, "doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(out)["findings"]}
    assert code == 1
    assert findings["schema"]["state"] == "wrong"
    assert "starwake migrate" in findings["schema"]["advice"]
    assert findings["stream TIMERS"]["detail"] == "does not exist yet"
    assert "did you mean STARWAKE_LOG_LEVEL?" in findings["settings"]["detail"]


async def test_play_takes_orders_from_a_pipe(stack: Stack, unique_player: Callable[[], str]) -> None:
    code, out, err = await starwake(stack, "play", "--player", unique_player(), text="list\nquit\n")
    assert (code, err) == (0, "")
    assert "connected" in out


async def test_a_service_without_its_key_refuses_to_start_in_one_line() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "starwake.cli.main", "gateway"), stdout=PIPE, stderr=PIPE, env={"PATH": "/usr/bin:/bin"}
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 2
    assert err.decode().count("\n") == 1
    assert "STARWAKE_JWT_SECRET" in err.decode()
