"""The limit on file descriptors is raised to what the settings need, and no further than it may be."""

import resource
import subprocess
import sys

from starwake.gateway.descriptors import Descriptors

PROGRAM = """
import resource
from starwake.gateway.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))
print(*raise_limit({connections}, 100), resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


def outcome(soft: int, hard: int, connections: int) -> tuple[Descriptors, int]:
    """What a process of its own, with these limits, says and then has."""
    text = PROGRAM.format(soft=soft, hard=hard, connections=connections)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=True)
    limit, needed, has = map(int, done.stdout.split())
    return Descriptors(limit, needed), has


def test_the_soft_limit_is_raised_to_what_is_needed() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 2000
    assert outcome(300, 2000, 1000) == (Descriptors(1356, 1356), 1356)


def test_it_is_raised_no_further_than_the_hard_limit() -> None:
    assert outcome(300, 1000, 5000) == (Descriptors(1000, 5356), 1000)


def test_a_limit_that_is_enough_stays() -> None:
    assert outcome(900, 1000, 500) == (Descriptors(900, 856), 900)
