"""A key is replaced while its service goes on: the other slot takes over, then the old key is worth nothing."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from nats.errors import Error, NoServersError

from tests.deploy.support.nats import Identity, NatsServer, eventually, sign_in, single_server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[NatsServer]:
    with single_server(tmp_path) as server:
        yield server


async def answer_commands(service: Identity) -> None:
    async def answer(message: Msg) -> None:
        await message.respond(service.name.encode())

    await service.client.subscribe("cmd.>", "q", cb=answer)  # pyright: ignore[reportUnknownMemberType] - untyped
    await service.settle()


async def test_a_key_is_replaced_while_every_request_is_answered(server: NatsServer) -> None:
    gateway = await sign_in(server, "gateway")
    old = await sign_in(server, "command", "a")
    await answer_commands(old)
    answered = 0

    async def ask() -> None:
        nonlocal answered
        reply = await gateway.client.request("cmd.ada.build.list", b"{}", timeout=2)
        assert reply.data == b"command"
        answered += 1

    await ask()
    # 1. The workload is rolled to the key in waiting: new copies sign in with slot b before the old ones leave.
    new = await sign_in(server, "command", "b")
    await answer_commands(new)
    await ask()
    await old.client.drain()
    await ask()
    # 2. The old key is replaced; the server reads the new list without dropping anybody who signed in otherwise.
    old_seed = server.vault.seed_file("command", "a").read_text()
    server.vault.renew("command", "a")
    server.write_keys()
    server.reload()
    await ask()
    assert not gateway.client.is_closed
    assert not new.client.is_closed
    # 3. The old key opens nothing any more, the new one does.
    renewed = server.vault.seed_file("command", "a").read_text()
    server.vault.seed_file("command", "a").write_text(old_seed)
    with pytest.raises((NoServersError, Error)):
        await sign_in(server, "command", "a")
    server.vault.seed_file("command", "a").write_text(renewed)
    back = await sign_in(server, "command", "a")
    await ask()
    assert answered == 5
    for identity in (gateway, new, back):
        await identity.client.close()


async def test_whoever_still_uses_a_withdrawn_key_is_thrown_out_at_once(server: NatsServer) -> None:
    thief = await sign_in(server, "gateway", "a")
    server.vault.renew("gateway", "a")
    server.write_keys()
    server.reload()
    await eventually(lambda: thief.client.is_closed, 5, "the withdrawn key's connection is closed")
    with contextlib.suppress(Error):
        await thief.client.close()


async def test_a_broken_file_of_keys_does_not_bring_the_server_down(server: NatsServer) -> None:
    gateway = await sign_in(server, "gateway")
    keys = server.directory / "nats" / "keys" / "keys.conf"
    keys.write_text(keys.read_text().replace('GATEWAY_A: "U', 'GATEWAY_A: "X'))
    server.signal_reload()
    await eventually(lambda: "Failed to reload" in server.log, 10, "the refusal in the log")
    await gateway.settle()
    assert server.healthy()
    await gateway.client.close()
