"""`pip install "starwake[local]"` into an empty environment, outside of any checkout, and then `starwake up`."""

import asyncio
import json
import os
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.stack import players_port

pytestmark = pytest.mark.timeout(300)

BOT = """
import asyncio, sys
from starwake.client import Starwake

async def main(url, token):
    async with Starwake.connect(url, token=token) as player:
        await player.build_start("solar_array", "luna-1")
        async for push in player.events():
            if push.event == "build.completed":
                print(push.event)
                break

asyncio.run(main(*sys.argv[1:]))
"""


async def test_the_stack_runs_and_completes_an_order_without_a_checkout(
    install: Callable[..., Path], outside: Path
) -> None:
    python = install("starwake[local]", link=False)
    data = outside / "data"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}

    async def run(*words: str | Path) -> str:
        done = await asyncio.create_subprocess_exec(*words, stdout=PIPE, cwd=outside, env=environment)
        printed, _ = await asyncio.wait_for(done.communicate(), 60)
        return printed.decode().strip()

    starwake = python.with_name("starwake")
    with (outside / "up.log").open("w") as log:
        up = await asyncio.create_subprocess_exec(
            *(starwake, "up", "--data", data, "--port", str(players_port()), "--no-durable", "--time-scale", "600"),
            stdout=log,
            stderr=STDOUT,
            cwd=outside,
            env=environment,
        )
    try:

        async def healthy() -> bool:
            assert up.returncode is None, (outside / "up.log").read_text()
            parts = json.loads(await run(starwake, "status", "--json", "--data", data) or "{}").get("parts", [])
            return bool(parts) and all(each["healthy"] for each in parts)

        await eventually(healthy, within_s=120, every_s=0.5)
        url = json.loads((data / "stack.json").read_text())["url"]
        token = await run(starwake, "token", "ada", "--data", data)
        assert await run(python, "-c", BOT, url, token) == "build.completed"
    finally:
        if up.returncode is None:
            up.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(up.wait(), 60) == 0
