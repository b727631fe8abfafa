"""A NATS server for many tests: in a container where an engine is there, else the wheel's program."""

import os
from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from tests.support.containers import NoContainerEngine, nats_container
from tests.support.nats import LocalNats, NatsAddress


@asynccontextmanager
async def shared_nats(directory: Path) -> AsyncGenerator[tuple[NatsAddress, str]]:
    """A running server, and in words where it runs; STARWAKE_TEST_CONTAINERS decides (see tests/conftest.py).

    Raises:
        NoContainerEngine: a container is required, and cannot be had.
    """
    mode = os.environ.get("STARWAKE_TEST_CONTAINERS", "auto")
    reason = "STARWAKE_TEST_CONTAINERS=never"
    with ExitStack() as stack:
        address = None
        if mode != "never":
            try:
                address = stack.enter_context(nats_container())
            except NoContainerEngine as error:
                if mode == "require":
                    raise
                reason = str(error)
        if address is not None:
            yield address, "NATS ran in a container"
            return
        directory.mkdir()  # noqa: ASYNC240 - once, before anything runs
        server = LocalNats(directory)
        await server.start()
        try:
            yield server.address, f"NATS ran as the wheel's program, not in a container: {reason}"
        finally:
            await server.stop()
