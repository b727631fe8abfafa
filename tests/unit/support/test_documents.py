"""What the documents list is what there is."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from starwake.cli.main import app
from tests.support.documents import ROOT, section

README = ROOT / "README.md"
NOT_THE_HOUSE = {"__pycache__", "node_modules", "dist", "build"}


def folders(parent: Path) -> set[str]:
    return {
        path.name
        for path in parent.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in NOT_THE_HOUSE
    }


def test_the_readme_lists_every_command_and_no_others() -> None:
    table = "".join(re.findall(r"^\| (.*?) \|", section(README, "From the terminal"), re.MULTILINE))
    listed = re.findall(r"`starwake ([a-z-]+)", table)
    click = typer.main.get_command(app)
    commands = getattr(click, "commands", {})
    assert sorted(listed) == sorted(commands)


def test_every_option_that_the_readme_names_is_one_of_its_command() -> None:
    commands = getattr(typer.main.get_command(app), "commands", {})
    for names, text in re.findall(
        r"^\| (`starwake .*?) \| (.*) \|$", section(README, "From the terminal"), re.MULTILINE
    ):
        for name in re.findall(r"`starwake ([a-z-]+)", names):
            known = {"--help", *(each for option in commands[name].params for each in option.opts)}
            assert set(re.findall(r"`(--[a-z-]+)", text)) <= known, name


def test_the_map_of_the_house_names_every_folder() -> None:
    map_of_the_house = section(README, "The house").split("```")[1]
    words = set(re.findall(r"[\w-]+", map_of_the_house))
    for parent in (ROOT, ROOT / "services", ROOT / "libs", ROOT / "tests"):
        missing = folders(parent) - words - ({"support"} if parent.name == "tests" else set())
        assert missing == set(), parent


def local_links() -> Iterator[tuple[Path, str]]:
    documents = [
        path
        for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "findings/*.md", "libs/*/*.md", "services/*/*.md")
        for path in ROOT.glob(pattern)
    ]
    for document in [*documents, ROOT / "deploy" / "README.md", ROOT / "tests" / "bench" / "README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", document.read_text()):
            if "://" not in target:
                yield document, target


def test_every_link_within_the_documents_leads_somewhere() -> None:
    links = list(local_links())
    assert len(links) > 20
    assert [f"{document.name}: {target}" for document, target in links if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "LICENSE"])
def test_every_distribution_brings_what_its_metadata_names(name: str) -> None:
    distributions = [
        path.parent for pattern in ("libs/*", "services/*") for path in ROOT.glob(f"{pattern}/pyproject.toml")
    ]
    assert len(distributions) >= 10
    assert [path.name for path in distributions if not (path / name).is_file()] == []
