"""`python -m starwake.scheduler` and `starwake-scheduler`: the service where nothing else is installed."""

import sys

from starwake.runtime.alone import run_alone
from starwake.scheduler.app import run


def main() -> int:
    """Run the service until it is asked to stop; the process's exit code."""
    return run_alone("scheduler", run)


if __name__ == "__main__":
    sys.exit(main())
