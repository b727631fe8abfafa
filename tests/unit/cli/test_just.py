"""The recipes of the justfile run what they are asked to run, and no more."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("words", "runs"),
    [
        (("test-unit",), "pytest tests/unit"),
        (("test-unit", "-k", "cancel"), "pytest tests/unit -k cancel"),
        (("test-contract", "tests/contract/command"), "pytest tests/contract/command"),
        (("test-unit", "tests/unit/cli/test_words.py::test_a"), "pytest tests/unit/cli/test_words.py::test_a"),
    ],
)
def test_a_path_among_the_options_replaces_the_recipes_own(words: tuple[str, ...], runs: str, tmp_path: Path) -> None:
    just = shutil.which("just")
    assert just is not None
    echo = tmp_path / "uv"
    echo.write_text('#!/bin/sh\nwhile [ "$1" != pytest ]; do shift; done\necho "$@"\n')
    echo.chmod(0o755)
    said = subprocess.run(
        [just, "--justfile", str(ROOT / "justfile"), *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={"PATH": f"{tmp_path}:{Path(just).parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
    )
    assert said.stdout.strip() == runs
