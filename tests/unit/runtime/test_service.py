"""A service process from its start to its end, with signals from outside."""

import json
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from starwake.cli.embedded.process import Child, Launch, start
from tests.support.eventually import eventually

PROGRAM = """
import asyncio, sys
from starwake.runtime.errors import StartError
from starwake.runtime.service import Runtime, run_service
from starwake.runtime.settings import ServiceSettings, load_settings

async def main(runtime: Runtime) -> None:
    runtime.health.set_ready(True)
    if "refuses" in sys.argv:
        raise StartError("no key is configured")
    if "fails" in sys.argv:
        raise ZeroDivisionError
    if "ends" in sys.argv:
        return
    await runtime.stopping.wait()
    if "hangs" in sys.argv:
        await asyncio.Event().wait()

sys.exit(run_service("demo", main, load_settings(ServiceSettings)))
"""
Start = Callable[[str], Awaitable[Child]]


@pytest.fixture
async def begin(tmp_path: Path) -> AsyncIterator[Start]:
    children: list[Child] = []

    async def run(word: str) -> Child:
        env = {
            "STARWAKE_HEALTH_PORT": "0",
            "STARWAKE_PORT_FILE": str(tmp_path / "ports"),
            "STARWAKE_DRAIN_SECONDS": "0.1",
        }
        log = tmp_path / "log"
        children.append(await start(Launch("demo", (sys.executable, "-c", PROGRAM, word), log, env)))
        return children[-1]

    yield run
    for child in children:
        await child.stop(within=5)


def events(tmp_path: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()]


async def test_it_is_ready_until_it_is_told_to_stop_and_then_ends_with_0(begin: Start, tmp_path: Path) -> None:
    child = await begin("runs")
    await eventually((tmp_path / "ports").exists)
    port = json.loads((tmp_path / "ports").read_text())["health"]
    async with httpx.AsyncClient(trust_env=False) as http:

        async def ready() -> bool:
            return (await http.get(f"http://127.0.0.1:{port}/readyz")).is_success

        await eventually(ready)
    child.send(signal.SIGTERM)
    await eventually(lambda: child.exit_code is not None)
    assert child.exit_code == 0
    assert events(tmp_path)[-2:] == ["service.stopping", "service.stopped"]


@pytest.mark.parametrize(
    ("word", "event"), [("refuses", "service.refused"), ("fails", "service.failed"), ("ends", "service.ended_unasked")]
)
async def test_an_end_that_nobody_asked_for_is_a_failure_that_says_why(
    begin: Start, tmp_path: Path, word: str, event: str
) -> None:
    child = await begin(word)
    await eventually(lambda: child.exit_code is not None)
    assert child.exit_code == 1
    assert events(tmp_path)[-1] == event


async def test_a_drain_that_hangs_is_broken_off(begin: Start, tmp_path: Path) -> None:
    child = await begin("hangs")
    await eventually((tmp_path / "ports").exists)
    child.send(signal.SIGINT)
    await eventually(lambda: child.exit_code is not None, within_s=15)
    assert child.exit_code == 1
    assert "service.broken_off" in events(tmp_path)
