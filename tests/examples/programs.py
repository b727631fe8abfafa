"""Runs programs as a reader would, with what they print."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

WITHIN_S = 60.0


async def output_of(*command: str, cwd: Path | None = None) -> str:
    """What it printed, once it has ended well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(WITHIN_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, output.decode()
    return output.decode()


@asynccontextmanager
async def serving(command: Sequence[str], cwd: Path | None = None) -> AsyncGenerator[None]:
    """A server, from the first line that it prints until the block's end."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WITHIN_S):
            assert await process.stdout.readline(), "it ended without a word"
        yield
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
