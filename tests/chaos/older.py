"""Takes Postgres or NATS back in time, as an operator does who restores an older copy of its data."""

import asyncio
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.chaos.world import World
from tests.support.eventually import eventually

_SERVES_S = 120.0


async def copy_of(world: World, name: str) -> Path:
    """What `postgres` or `nats` keeps now; it is killed for it, and comes back."""
    copy = world.directory / f"{name}-{secrets.token_hex(4)}"
    async with world.down(name):
        await asyncio.to_thread(_copy, _store(world, name), copy)
    await eventually(lambda: world.serves(name), within_s=_SERVES_S)
    return copy


async def take_back(world: World, name: str, copy: Path) -> None:
    """Have it come back with what it kept then."""
    async with world.down(name):
        await asyncio.to_thread(shutil.rmtree, _store(world, name))
        await asyncio.to_thread(_copy, copy, _store(world, name))
        world.happens(f"{name} is taken back to an older copy")
    await eventually(lambda: world.serves(name), within_s=_SERVES_S)


def _store(world: World, name: str) -> Path:
    return world.postgres.directory if name == "postgres" else world.nats.directory / "jetstream"


def _copy(source: Path, target: Path) -> None:
    """With its owner: Postgres does not run as root."""
    subprocess.run(["cp", "-a", source, target], check=True, timeout=60)
