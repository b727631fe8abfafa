"""Fixtures for the tests of deploy/."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.support.nats import NatsServer, single_server


@pytest.fixture(scope="module")
def guarded_nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One running nats-server with the files of deploy/nats."""
    with single_server(Path(tmp_path_factory.mktemp("nats"))) as server:
        yield server
