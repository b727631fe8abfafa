"""A world for the directed tests of a module: they restart its services as they need them."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.chaos.world import Shape, World, universe


@pytest.fixture(scope="module")
def module_directory() -> Iterator[Path]:
    """A directory for servers' data that another user may enter (Postgres does not run as root)."""
    path = Path(tempfile.mkdtemp(prefix="starwake-chaos-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
async def shared_world(module_directory: Path) -> AsyncIterator[World]:
    """Two of each service."""
    async with universe(module_directory, Shape()) as world:
        yield world


@pytest.fixture
async def world(shared_world: World) -> AsyncIterator[World]:
    """The module's world, whole and calm again after each test; what was ordered here ends here."""
    shared_world.forget_deadlocks()
    yield shared_world
    await shared_world.recover()
