"""Programs of the machine that tests run."""

import shutil


def find_program(name: str) -> str | None:
    """Where it is, None where it is missing; Debian puts servers where an ordinary user's PATH does not look."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")
