"""Everything is killed, frozen and restarted at random while players play; then the oracle judges.

STARWAKE_TEST_CHAOS_FOR says how long (`90s`, `30m`, `2h`), STARWAKE_TEST_CHAOS_SEED which round to begin with.
"""

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.campaign import Round, play_round
from tests.chaos.world import Shape, World, universe
from tests.support.run_report import note

_ARTIFACTS = Path(__file__).resolve().parents[1] / ".artifacts"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LAST_ROUND_S = 75.0
"""What a round takes, calm and judgement included, on a quiet machine."""


def duration_s(text: str) -> float:
    """`90s`, `30m` or `2h` in seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if match is None:
        raise ValueError(f"not a duration: {text!r} (such as 90s, 30m, 2h)")
    return float(match[1]) * _UNITS[match[2]]


@contextmanager
def logs_kept(world: World, directory: Path, seed: int) -> Generator[None]:
    """Where the round fails, put what the processes wrote, and what was done to them, where it survives the test."""
    try:
        yield
    except BaseException:
        kept = _ARTIFACTS / f"chaos-{seed:#x}"
        kept.mkdir(parents=True, exist_ok=True)
        for log in directory.glob("*.log*"):
            shutil.copy(log, kept)
        happenings = (f"{each.at:%H:%M:%S.%f} {each.what}\n" for each in world.happenings)
        (kept / "happenings").write_text("".join(happenings))
        raise


FOR_S = duration_s(os.environ.get("STARWAKE_TEST_CHAOS_FOR", "150s"))
SEED = int(os.environ.get("STARWAKE_TEST_CHAOS_SEED", "0"), 0) or secrets.randbits(32)


@pytest.fixture
def directory() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="starwake-chaos-"))
    path.chmod(0o711)  # Postgres runs as another user where the tests run as root
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.timeout(FOR_S + 900)
async def test_whatever_is_killed_whenever_what_is_promised_holds(
    directory: Path, request: pytest.FixtureRequest
) -> None:
    began = time.monotonic()
    rounds = 0
    async with universe(directory, Shape(schedulers=3)) as world:
        while not rounds or time.monotonic() - began < FOR_S - _LAST_ROUND_S / 2:
            seed = SEED + rounds
            rounds += 1
            last = time.monotonic() - began > FOR_S - 1.5 * _LAST_ROUND_S
            with logs_kept(world, directory, seed):
                verdict = await play_round(world, Round(seed=seed), last=last)
                note(request.config, f"chaos {seed:#x}: {verdict.summary()}")
                assert not verdict.violations, f"{verdict.text}\n\nSTARWAKE_TEST_CHAOS_SEED={seed:#x} plays it again"
