"""Which NATS servers are known to lose alarms."""

import pytest

from starwake.bus.connection import is_too_old


@pytest.mark.parametrize(
    ("version", "too_old"),
    [("2.12.4", True), ("2.14.2", True), ("2.14.3", False), ("2.15.0-RC.1", False), ("3.0.0", False), ("", False)],
)
def test_a_server_that_loses_alarms_is_told(version: str, too_old: bool) -> None:  # noqa: FBT001 - a parameter
    assert is_too_old(version) is too_old
