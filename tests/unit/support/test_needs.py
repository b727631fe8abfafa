"""A machine that lacks what some tests need: they are left out loudly, and the rest runs."""

import os
import subprocess
import sys
from pathlib import Path

from tests.support import needs

ROOT = Path(__file__).resolve().parents[3]
TESTS = """
import pytest

@pytest.mark.needs("promtool")
def test_that_needs_it(): pass

def test_other(): pass
"""


def run_without_programs(folder: Path, mode: str) -> str:
    """What pytest prints of TESTS where no program can be found."""
    (folder / "test_two.py").write_text(TESTS)
    words = [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.run_report", "-c", os.devnull, str(folder)]
    environment = {"PATH": str(folder), "HOME": str(folder), "STARWAKE_TEST_NEEDS": mode}
    done = subprocess.run(words, capture_output=True, text=True, timeout=100, check=True, cwd=ROOT, env=environment)
    return done.stdout


def test_what_is_left_out_is_said_with_its_number_and_how_to_get_it() -> None:
    assert needs.in_words({"promtool": 25}) == [
        "25 tests left out: promtool is missing (as root: apt-get install prometheus)"
    ]


def test_tests_whose_need_is_not_met_are_left_out_and_the_others_run(tmp_path: Path) -> None:
    said = run_without_programs(tmp_path, "auto")
    assert "1 passed, 1 deselected" in said
    assert "1 tests left out: promtool is missing" in said


def test_where_all_is_required_nothing_is_left_out(tmp_path: Path) -> None:
    assert "2 passed" in run_without_programs(tmp_path, "require")
