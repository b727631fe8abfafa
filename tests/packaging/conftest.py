"""Wheels of this checkout, built once a run, and empty environments to install them into."""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def uv(*words: str, cwd: Path | None = None) -> str:
    """Run uv; what it prints.

    Raises:
        AssertionError: it failed; the text is what it said.
    """
    done = subprocess.run(["uv", *words], capture_output=True, text=True, timeout=300, check=False, cwd=cwd)
    assert done.returncode == 0, f"uv {' '.join(words)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


def projects() -> dict[str, Path]:
    """The folder of each distribution, by its name."""
    found = sorted(ROOT.glob("services/*/pyproject.toml")) + sorted(ROOT.glob("libs/*/pyproject.toml"))
    return {tomllib.loads(each.read_text())["project"]["name"]: each.parent for each in found}


def interpreters() -> dict[str, str]:
    """Every CPython of a version that Starwake supports that this machine has: its program, by `3.x`."""
    listed = json.loads(uv("python", "list", "--only-installed", "--output-format", "json"))
    return {
        f"3.{each['version_parts']['minor']}": each["path"]
        for each in reversed(listed)
        if each["implementation"] == "cpython" and each["version_parts"]["minor"] >= 11
    }


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of each distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    uv("build", "--all-packages", "--wheel", "--quiet", "--out-dir", str(folder), cwd=ROOT)
    return folder


@pytest.fixture
def outside() -> Iterator[Path]:
    """An empty directory outside of the checkout, which other users may walk through (Postgres runs as one)."""
    with tempfile.TemporaryDirectory(prefix="starwake-outside-") as name:
        path = Path(name)
        path.chmod(0o755)
        yield path


@pytest.fixture
def install(wheels: Path, outside: Path) -> Callable[..., Path]:
    """`install("starwake-client", python="3.12")`: an empty environment with that alone; its Python."""

    def installed(requirement: str, *, python: str = f"3.{sys.version_info.minor}", link: bool = True) -> Path:
        home = outside / "environment"
        uv("venv", "--quiet", "--python", interpreters()[python], str(home))
        program = home / "bin" / "python"
        # Links into uv's cache: copying takes most of the time. Another user (Postgres' own) may not follow them.
        options = ("--link-mode", "symlink" if link else "copy", "--find-links", str(wheels))
        uv("pip", "install", "--quiet", "--python", str(program), *options, requirement)
        return program

    return installed
