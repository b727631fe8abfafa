"""What the documents print, to be run as a reader would run it."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def printed(document: Path, name: str) -> str:
    """The block of `document` whose first line names this file."""
    match = re.search(rf"```\w+\n((?:#|<!--) {re.escape(name)}.*?)```", document.read_text(), re.DOTALL)
    assert match is not None, f"{document} prints no {name}"
    return match[1]


def section(document: Path, title: str) -> str:
    """What stands under the heading `## title`."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", document.read_text(), re.DOTALL | re.MULTILINE)
    assert match is not None, f"{document} has no section {title}"
    return match[1]


def shell_lines(text: str) -> list[str]:
    """The commands in a text's blocks of shell, without their comments; what ends in a backslash goes on."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s{2,}#.*", "", line).strip() for line in lines if line.strip()]
