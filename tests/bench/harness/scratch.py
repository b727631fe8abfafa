"""Folders for servers' data, gone at the end."""

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

_OPEN_TO_ENTER = 0o711
"""Postgres runs as somebody else where the benchmark runs as root."""


@contextmanager
def scratch() -> Generator[Path]:
    """A temporary folder for the time of the block."""
    with tempfile.TemporaryDirectory(prefix="starwake-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(_OPEN_TO_ENTER)
        yield folder


def folder_in(parent: Path, name: str) -> Path:
    """A new folder in `parent` whose name begins with `name`."""
    folder = Path(tempfile.mkdtemp(prefix=f"{name.replace(' ', '-')}-", dir=parent))
    folder.chmod(_OPEN_TO_ENTER)
    return folder
