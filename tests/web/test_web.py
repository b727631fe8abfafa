"""The page's modules under node: their unit tests, as one test of this suite."""

import subprocess
from pathlib import Path

from tests.support.node import node_environment, node_folder

_HERE = Path(__file__).parent


def test_the_modules_of_the_page_pass_their_unit_tests_under_node() -> None:
    """Each file is named: what `node --test` makes of a folder differs between its versions."""
    files = sorted(str(file) for file in _HERE.glob("*.test.js"))
    assert files
    command = [str(node_folder() / "node"), "--test", "--test-reporter=spec", *files]
    run = subprocess.run(command, env=node_environment(), capture_output=True, text=True, timeout=100, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}"
