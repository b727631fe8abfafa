"""The programs in the Python client's README work as printed."""

import asyncio
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from starwake.client import Starwake
from tests.support.players import unique_player
from tests.support.stack import Stack

README = Path(__file__).parents[3] / "libs" / "client" / "README.md"
WITHIN_S = 30.0


def printed(name: str, directory: Path) -> Path:
    match = re.search(rf"```python\n(# {re.escape(name)}\n.*?)```", README.read_text(), re.DOTALL)
    assert match is not None, f"the README prints no {name}"
    program = directory / name
    program.write_text(match[1])
    return program


@asynccontextmanager
async def running(program: Path, *arguments: str) -> AsyncGenerator[asyncio.StreamReader]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", str(program), *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_builder_builds(stack: Stack, tmp_path: Path) -> None:
    async with running(printed("builder.py", tmp_path), stack.url, stack.token(unique_player())) as output:
        assert await output.read() == b"beacon stands on luna-1\n"


async def test_the_watcher_sees_pushes_and_the_line(stack: Stack, tmp_path: Path) -> None:
    token = stack.token(unique_player())
    async with running(printed("watcher.py", tmp_path), stack.url, token) as output:
        assert await output.readline() == b"connected\n"
        async with Starwake.connect(stack.url, token=token) as player:
            await player.build_start("beacon", "luna-1")
        assert (await output.readline()).endswith(b" build.started\n")
        assert (await output.readline()).endswith(b" build.completed\n")


async def test_the_diary_goes_on_where_it_stopped(stack: Stack, tmp_path: Path) -> None:
    token, kept = stack.token(unique_player()), str(tmp_path / "position.json")
    program = printed("diary.py", tmp_path)
    async with running(program, stack.url, token, kept) as output:
        assert await output.read() == b""
    async with Starwake.connect(stack.url, token=token) as player:
        await player.build_start("beacon", "luna-1")
        async for push in player.events():
            if push.event == "build.completed":
                break
    async with running(program, stack.url, token, kept) as output:
        assert await output.read() == b"build.started\nbuild.completed\n"
