"""A server that allows this user little: what is denied is known at once and counted, and the rest goes on."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from starwake.bus.connection import Bus, BusOptions
from starwake.bus.errors import PermissionDenied
from starwake.cli.embedded.nats import nats_server_binary
from starwake.cli.embedded.ports import free_ports
from tests.support.eventually import eventually


@pytest.fixture
async def guarded_bus(tmp_path: Path) -> AsyncIterator[Bus]:
    (port,) = free_ports(1)
    permissions = {
        "publish": {"allow": ["may.>", "_INBOX.narrow.>"]},
        "subscribe": {"allow": ["may.>", "_INBOX.narrow.>"]},
    }
    users = [{"user": "narrow", "password": "hush", "permissions": permissions}]
    config = tmp_path / "nats.json"
    config.write_text(json.dumps({"listen": f"127.0.0.1:{port}", "authorization": {"users": users}}))
    server = await asyncio.create_subprocess_exec(
        str(nats_server_binary()), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    url = f"nats://narrow:hush@127.0.0.1:{port}"
    bus = await Bus.connect(BusOptions(url=url, inbox_prefix="_INBOX.narrow"))
    yield bus
    await bus.close()
    server.kill()
    await server.wait()


def violations() -> float:
    return REGISTRY.get_sample_value("starwake_bus_errors_total", {"kind": "permissions_violation"}) or 0


async def test_a_denied_request_fails_at_once_and_not_by_its_timeout(guarded_bus: Bus) -> None:
    before, begun = violations(), time.monotonic()
    with pytest.raises(PermissionDenied, match="Permissions Violation"):
        await guarded_bus.request("mayNot.Ask", b"", timeout_s=30)
    assert time.monotonic() - begun < 5
    assert violations() == before + 1


async def test_after_a_denial_the_connection_goes_on(guarded_bus: Bus) -> None:
    changes: list[bool] = []
    guarded_bus.on_connection_change(changes.append)
    await guarded_bus.subscribe("may.echo", lambda message: guarded_bus.publish(message.reply, b"yes"))
    before = violations()
    await guarded_bus.subscribe("mayNot.hear", lambda _: None)
    guarded_bus.publish("mayNot.tell", b"")
    await eventually(lambda: violations() == before + 2)
    assert (await guarded_bus.request("may.echo", b"", timeout_s=5)).payload == b"yes"
    assert changes == []
