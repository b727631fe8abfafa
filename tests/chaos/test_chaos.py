"""Everything is killed at random, and every promise is kept."""

import sys
import time

import pytest

from tests.chaos.conftest import StartFleet
from tests.chaos.oracle import judge
from tests.chaos.run import Plan, rampage, summary
from tests.chaos.story import told

_ROUND_SECONDS = 45.0


@pytest.mark.timeout(6 * 3600)
async def test_whatever_is_killed_whenever_every_promise_is_kept(
    fleet: StartFleet, chaos_seconds: float, seed: int
) -> None:
    running = await fleet()
    end = time.monotonic() + chaos_seconds
    while (left := end - time.monotonic()) > 0:
        sys.stderr.write(f"\nchaos: seed {seed}\n")
        seconds = min(_ROUND_SECONDS, max(left, 10.0))
        running.sabotage.clear()
        history = await rampage(running, seed, Plan(seconds=seconds))
        violations = judge(history)
        if violations:
            pytest.fail(told(history, violations, seed), pytrace=False)
        sys.stderr.write(f"chaos: {summary(history, seconds)}\n")
        seed += 1
