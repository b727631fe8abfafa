"""Least privilege on the bus, tried on a real server that runs the very files of deploy/nats."""

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Literal

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error, NoServersError

from deploy.credentials.identities import SLOTS, Slot
from tests.deploy.support.nats import NATS_FILES, Identity, NatsServer, sign_in, tls_context

COLUMNS = ("gateway", "command", "scheduler", "provision", "operator")
ROW = re.compile(r"\| (publish|subscribe) `([^`]+)`(?: in queue `(\w+)`)? \| (.+) \|$")
STREAMS = {"TIMERS": ["timer.set.>", "timer.due.>"], "NOTIFICATIONS": ["notify.>"], "REVOCATIONS": ["revoked.*"]}

Act = tuple[Literal["publish", "subscribe"], str, str]


def permission_table() -> dict[Act, dict[str, bool]]:
    """The table of deploy/nats/README.md."""
    table: dict[Act, dict[str, bool]] = {}
    for line in (NATS_FILES / "README.md").read_text().splitlines():
        if match := ROW.match(line):
            cells = match[4].split(" | ")
            assert len(cells) == len(COLUMNS), line
            verb: Literal["publish", "subscribe"] = "publish" if match[1] == "publish" else "subscribe"
            table[verb, match[2], match[3] or ""] = {
                name: {"yes": True, "-": False}[cell] for name, cell in zip(COLUMNS, cells, strict=True)
            }
    return table


@pytest.fixture(scope="module", autouse=True)
async def streams(guarded_nats: NatsServer) -> None:
    """The streams, made by the identity that is there for it."""
    provisioner = await sign_in(guarded_nats, "provision")
    for name, subjects in STREAMS.items():
        config = {"name": name, "subjects": subjects, "allow_direct": True, "allow_msg_schedules": name == "TIMERS"}
        answer = await provisioner.client.request(
            f"$JS.API.STREAM.CREATE.{name}", json.dumps(config | {"allow_msg_ttl": True}).encode(), timeout=5
        )
        assert "error" not in json.loads(answer.data), answer.data
    await provisioner.client.close()


@pytest.fixture(params=SLOTS)
async def identities(guarded_nats: NatsServer, request: pytest.FixtureRequest) -> AsyncIterator[dict[str, Identity]]:
    slot: Slot = request.param
    signed_in = {name: await sign_in(guarded_nats, name, slot) for name in COLUMNS}
    yield signed_in
    for identity in signed_in.values():
        await identity.client.close()


async def is_allowed(identity: Identity, act: Act) -> bool:
    """Try the act; the server refuses, if it does, before it answers what comes behind."""
    verb, subject, queue = act
    identity.denials.texts.clear()
    if verb == "publish":
        await identity.client.publish(subject, b"")
        await identity.settle()
    else:
        subscription = await identity.client.subscribe(subject, queue)  # pyright: ignore[reportUnknownMemberType] - untyped
        await identity.settle()
        if not identity.denials.texts:
            await subscription.unsubscribe()
    assert not identity.denials.texts or identity.denials.of(subject), identity.denials.texts
    return not identity.denials.texts


async def test_each_identity_may_do_what_the_table_says_and_nothing_else(identities: dict[str, Identity]) -> None:
    table = permission_table()
    assert len(table) > 50
    seen = {act: {name: await is_allowed(identities[name], act) for name in COLUMNS} for act in table}
    assert seen == table


async def test_every_service_appears_with_both_keys_and_the_permissions_of_its_own_file() -> None:
    accounts = (NATS_FILES / "config" / "accounts.conf").read_text()
    for name in COLUMNS:
        for slot in SLOTS:
            assert f"{{ nkey: ${name.upper()}_{slot.upper()}, permissions: ${name}_may }}" in accounts
    assert {path.stem for path in (NATS_FILES / "permissions").iterdir()} == set(COLUMNS)


async def test_a_denied_publish_has_no_effect_and_both_sides_log_it(guarded_nats: NatsServer) -> None:
    gateway, operator = await sign_in(guarded_nats, "gateway"), await sign_in(guarded_nats, "operator")
    before = await stream_state(operator, "NOTIFICATIONS")
    await gateway.client.publish("notify.player.ada", b"forged")
    await gateway.client.publish("$JS.API.STREAM.PURGE.NOTIFICATIONS", b"")
    await gateway.settle()
    assert await stream_state(operator, "NOTIFICATIONS") == before
    assert gateway.denials.of("notify.player.ada")
    assert gateway.denials.of("$JS.API.STREAM.PURGE.NOTIFICATIONS")
    assert "Publish Violation" in guarded_nats.log
    assert "forged" not in guarded_nats.log
    await gateway.client.close()
    await operator.client.close()


async def test_the_command_service_answers_whom_it_was_asked_by_once_and_nobody_else(guarded_nats: NatsServer) -> None:
    gateway, command = await sign_in(guarded_nats, "gateway"), await sign_in(guarded_nats, "command")
    asked: list[Msg] = []

    async def answer(message: Msg) -> None:
        asked.append(message)
        await message.respond(b"done")

    await command.client.subscribe("cmd.*.build.start", "q", cb=answer)  # pyright: ignore[reportUnknownMemberType] - untyped
    await command.settle()
    reply = await gateway.client.request("cmd.ada.build.start", b"{}", timeout=5)
    assert reply.data == b"done"
    assert not command.denials.texts
    await command.client.publish(asked[0].reply, b"a second answer")
    await command.settle()
    assert command.denials.of(asked[0].reply)
    await gateway.client.close()
    await command.client.close()


async def test_a_schedule_cannot_carry_a_message_out_of_its_stream(guarded_nats: NatsServer) -> None:
    command = await sign_in(guarded_nats, "command")
    headers = {"Nats-Schedule": "@at 2030-01-01T00:00:00Z", "Nats-Schedule-Target": "notify.player.ada"}
    answer = await command.client.request(
        "timer.set.build.0190f3a4-0000-7000-8000-000000000009.r1", b"{}", timeout=5, headers=headers
    )
    assert "error" in json.loads(answer.data)
    await command.client.close()


async def test_nobody_enters_without_a_key_of_the_house(guarded_nats: NatsServer) -> None:
    async def silent(_error: Exception) -> None:
        return

    strangers: list[dict[str, object]] = [
        {},
        {"user": "gateway", "password": "gateway"},
        {"nkeys_seed_str": "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY"},
    ]
    for options in strangers:
        client = Client()
        with pytest.raises((NoServersError, Error)):
            await client.connect(
                guarded_nats.url,
                tls=tls_context(guarded_nats),
                allow_reconnect=False,
                max_reconnect_attempts=0,
                error_cb=silent,
                **options,  # pyright: ignore[reportArgumentType] - the options differ in type
            )
        assert not client.is_connected


async def test_the_server_speaks_tls_alone_and_shows_a_certificate_of_our_authority(guarded_nats: NatsServer) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", guarded_nats.port)
    info = json.loads((await asyncio.wait_for(reader.readline(), 5)).removeprefix(b"INFO "))
    assert info["tls_required"] is True
    writer.write(b'CONNECT {"verbose":true}\r\nPING\r\n')
    await writer.drain()
    assert b"PONG" not in await asyncio.wait_for(reader.read(), 10)
    writer.close()
    with socket.create_connection(("127.0.0.1", guarded_nats.port), 5) as plain:
        plain.recv(4096)
        with pytest.raises(ssl.SSLCertVerificationError):
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")


async def stream_state(operator: Identity, stream: str) -> object:
    answer = await operator.client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=5)
    return json.loads(answer.data)["state"]
