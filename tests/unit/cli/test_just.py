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
    assert run_just(words, tmp_path / "uv", {"PATH": f"{tmp_path}:/usr/bin:/bin"}) == runs


def test_recipes_use_the_uv_that_started_them_should_it_not_be_on_the_path(tmp_path: Path) -> None:
    uv = tmp_path / "not on the path"
    assert run_just(("test-unit",), uv, {"PATH": "/usr/bin:/bin", "UV": str(uv)}) == "pytest tests/unit"


def run_just(words: tuple[str, ...], uv: Path, environment: dict[str, str]) -> str:
    """What a stand-in for uv at that place is told to run."""
    just = shutil.which("just")
    assert just is not None
    uv.write_text('#!/bin/sh\nwhile [ "$1" != pytest ]; do shift; done\necho "$@"\n')
    uv.chmod(0o755)
    said = subprocess.run(
        [just, "--justfile", str(ROOT / "justfile"), *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        env={**environment, "HOME": str(uv.parent)},
    )
    return said.stdout.strip()
