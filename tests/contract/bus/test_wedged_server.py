"""A nats-server whose disk was full once refuses everything until it is restarted: who keeps one restarts it."""

import resource
import secrets
import shlex
import shutil
import subprocess
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from starwake.bus.connection import Bus
from starwake.bus.errors import BusTimeout
from starwake.bus.options import BusOptions
from starwake.bus.provision import provision
from starwake.bus.publish import JetStreamPublisher
from starwake.cli.embedded.keeper import Ailing, Event, Keeper, Started
from starwake.cli.embedded.nats import NatsServer
from starwake.cli.embedded.plan import server_part
from starwake.cli.embedded.ports import free_ports
from starwake.cli.embedded.probes import trouble
from tests.support.eventually import eventually
from tests.support.nats import LocalNats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

STATEFUL_SET = Path(__file__).parents[3] / "deploy/kubernetes/components/nats/stateful-set.yaml"


@asynccontextmanager
async def connected(url: str) -> "AsyncGenerator[JetStreamPublisher]":
    bus = await Bus.connect(BusOptions(url=url, name="test"))
    try:
        await provision(bus, 1)
        yield JetStreamPublisher(bus)
    finally:
        await bus.close()


def _netcat() -> str:
    """BusyBox's, as in the image (Alpine's), where it is installed."""
    if shutil.which("busybox"):
        return "busybox nc -w 5"
    code = (
        "import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5);"
        "s.sendall(sys.stdin.buffer.read()); sys.stdout.buffer.write(s.makefile('rb').read())"
    )
    return f"{sys.executable} -c {shlex.quote(code)}"


async def wedge(publisher: JetStreamPublisher) -> None:
    with pytest.raises(BusTimeout):
        await publisher.publish("timer.due.junk", b"", timeout_s=1)


async def test_a_kept_server_is_restarted_once_there_is_room_again(tmp_path: Path) -> None:
    port, monitor = free_ports(2)
    server = NatsServer(tmp_path / "nats", tmp_path / "nats.log", port, monitor, secrets.token_urlsafe(12))
    events: list[Event] = []
    keeper = Keeper(server_part("nats", server), events.append, lambda: None)
    await keeper.start()
    try:
        async with connected(server.url) as publisher:
            pid = keeper.state.pid
            assert pid is not None
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            await wedge(publisher)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            assert "write error" in (await trouble(keeper.state.probe) or "")
            await eventually(lambda: sum(isinstance(event, Started) for event in events) == 2, within_s=60)
            assert [event.reason for event in events if isinstance(event, Ailing)]
        async with connected(server.url) as publisher:
            await publisher.publish("timer.due.junk", b"")
        assert await trouble(keeper.state.probe) is None
    finally:
        await keeper.stop()


async def test_kubernetes_sees_a_server_that_has_to_be_restarted_and_no_other(fresh_nats: LocalNats) -> None:
    probes = yaml.safe_load(STATEFUL_SET.read_text())["spec"]["template"]["spec"]["containers"][0]
    port = fresh_nats.monitor_url.rpartition(":")[2]
    script = probes["livenessProbe"]["exec"]["command"][2].replace("nc -w 5", _netcat()).replace("8222", port)

    def alive() -> bool:
        return subprocess.run(["sh", "-c", script], timeout=30, check=False).returncode == 0

    assert alive()
    async with connected(fresh_nats.url) as publisher:
        assert alive()
        fresh_nats.fill_disk()
        await wedge(publisher)
        fresh_nats.free_disk()
        assert not alive()
        for kind in ("startupProbe", "readinessProbe"):
            path = probes[kind]["httpGet"]["path"]
            assert await trouble(fresh_nats.monitor_url + path) is None, "they ask of the server alone"
    await fresh_nats.stop()
    assert not alive()
    await fresh_nats.start()
    assert alive()
