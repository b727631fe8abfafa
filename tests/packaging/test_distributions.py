"""Each distribution installs and imports where nothing else of this checkout is."""

import json
import re
import subprocess
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, interpreters, projects

pytestmark = pytest.mark.timeout(400)

VERSIONS = sorted(interpreters())
IMPORT_ALL = """
import importlib, pkgutil, sys, warnings
warnings.simplefilter("error")
for name in sys.argv[1:]:
    package = importlib.import_module(name)
    for module in pkgutil.walk_packages(package.__path__, name + "."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
"""
INSTALLED = "import importlib.metadata as m, json; print(json.dumps(sorted(d.name.lower() for d in m.distributions())))"


def package_of(distribution: str) -> str:
    return "starwake.cli" if distribution == "starwake" else distribution.replace("-", ".")


def run(python: Path, code: str, *words: str) -> str:
    done = subprocess.run(
        [str(python), "-I", "-c", code, *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=python.parent,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("name", projects())
def test_a_distribution_alone_brings_all_that_its_modules_import(name: str, install: Callable[..., Path]) -> None:
    python = install("starwake[local]" if name == "starwake" else name)
    run(python, IMPORT_ALL, package_of(name))


@pytest.mark.parametrize("version", VERSIONS)
def test_the_whole_imports_on_every_python_of_this_machine(version: str, install: Callable[..., Path]) -> None:
    run(install("starwake[local]", python=version), IMPORT_ALL, *map(package_of, projects()))


def test_a_bot_installs_the_client_and_little_else(install: Callable[..., Path]) -> None:
    installed = json.loads(run(install("starwake-client"), INSTALLED))
    assert installed == ["msgspec", "starwake-client", "starwake-contracts", "uuid_utils", "websockets"]


def test_the_gateway_installs_nothing_that_speaks_to_postgres(install: Callable[..., Path]) -> None:
    installed = json.loads(run(install("starwake-gateway"), INSTALLED))
    assert not {"asyncpg", "sqlalchemy", "sqlmodel", "alembic", "starwake-store"} & set(installed)


def test_who_installs_the_client_has_its_types(install: Callable[..., Path], tmp_path: Path) -> None:
    bot = tmp_path / "bot.py"
    bot.write_text("from starwake.client import Starwake\n\nplayer: int = Starwake\n")
    python = install("starwake-client")
    checked = subprocess.run(
        ["basedpyright", "--pythonpath", str(python), "--outputjson", str(bot)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=tmp_path,
    )
    errors = [
        each["message"] for each in json.loads(checked.stdout)["generalDiagnostics"] if each["severity"] == "error"
    ]
    assert len(errors) == 1, errors
    assert "type[Starwake]" in errors[0]


@pytest.mark.parametrize("name", projects())
def test_the_metadata_of_a_distribution_is_complete(name: str, wheels: Path) -> None:
    (wheel,) = wheels.glob(f"{name.replace('-', '_')}-[0-9]*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = [archive.read(each).decode() for each in names if each.endswith("/METADATA")]
        (licence,) = [archive.read(each).decode() for each in names if each.endswith("/licenses/LICENSE")]
    assert licence == (ROOT / "LICENSE").read_text()
    for line in (
        f"Name: {name}",
        "License-Expression: Apache-2.0",
        "Author: the Starwake developers",
        "Requires-Python: >=3.11",
        "Classifier: Typing :: Typed",
        "Description-Content-Type: text/markdown",
    ):
        assert line in metadata.splitlines()
    assert f"{package_of(name).replace('.', '/')}/py.typed" in names
    assert "starwake/__init__.py" not in names


def test_no_folder_of_the_namespace_itself_is_a_package() -> None:
    """One such file would hide the packages of all other distributions."""
    namespaces = [folder / "starwake" for folder in projects().values()]
    assert all(each.is_dir() for each in namespaces)
    assert [each for each in namespaces if (each / "__init__.py").exists()] == []


def test_all_distributions_have_one_version_and_ask_for_it() -> None:
    versions: set[str] = set()
    for folder in projects().values():
        declared = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
        versions.add(declared["version"])
        for requirement in declared["dependencies"]:
            if own := re.fullmatch(r"(starwake[a-z-]*)(.*)", requirement):
                assert own[2] == f"=={declared['version']}", f"{declared['name']}: {requirement}"
    assert len(versions) == 1


def test_the_classifiers_name_the_versions_that_are_tried_here() -> None:
    declared = tomllib.loads((ROOT / "libs/cli/pyproject.toml").read_text())["project"]["classifiers"]
    named = {each.rpartition(" ")[2] for each in declared if re.fullmatch(r".*Python :: 3\.\d+", each)}
    assert set(VERSIONS) <= named | {"3.14"}, "a version that runs here is not named"
