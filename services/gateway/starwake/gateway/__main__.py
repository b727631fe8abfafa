"""`python -m starwake.gateway` and `starwake-gateway`: the service where nothing else is installed."""

import sys

from starwake.gateway.app import run
from starwake.runtime.alone import run_alone


def main() -> int:
    """Run the service until it is asked to stop; the process's exit code."""
    return run_alone("gateway", run)


if __name__ == "__main__":
    sys.exit(main())
