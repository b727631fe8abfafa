"""Fixtures of the client's unit tests."""

from collections.abc import AsyncGenerator

import pytest

from starwake.client import backoff
from tests.unit.client.universe import Universe


@pytest.fixture
async def universe() -> AsyncGenerator[Universe]:
    async with Universe().running() as universe:
        yield universe


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconnects within milliseconds: what is tested is that it happens; how long it waits has tests of its own."""
    monkeypatch.setattr(backoff, "SHORTEST_S", 0.01)
    monkeypatch.setattr(backoff, "FIRST_CEILING_S", 0.02)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.05)
