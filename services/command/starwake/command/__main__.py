"""`python -m starwake.command` and `starwake-command`: the service where nothing else is installed."""

import sys

from starwake.command.app import run
from starwake.runtime.alone import run_alone


def main() -> int:
    """Run the service until it is asked to stop; the process's exit code."""
    return run_alone("command", run)


if __name__ == "__main__":
    sys.exit(main())
