"""`python -m tests.chaos.broken <service> <patch> ...`: a service with something in it broken."""

import sys

from starwake.cli.services import SERVICES, serve
from tests.chaos.broken import patches

if __name__ == "__main__":
    service, *names = sys.argv[1:]
    if service not in SERVICES:
        raise SystemExit(f"no such service: {service}")
    for name in names:
        getattr(patches, name)()
    sys.exit(serve(service))
