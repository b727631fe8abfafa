"""A Postgres queue for delays: procrastinate, a job per build, `schedule_at` its due time.

Its worker listens for notifications and polls besides, since a future job wakes nobody: every five seconds, the
documented default, or every second in the variant that says so.
"""

import json
import os
import time

import procrastinate

app = procrastinate.App(
    connector=procrastinate.PsycopgConnector(conninfo=os.environ.get("BENCH_DATABASE_URL", ""), max_size=8)
)
LOG = os.environ.get("BENCH_COMPLETIONS")


@app.task(name="complete")
async def complete(due_at: float) -> None:
    """Note how late this job ran, one JSON line each (there is no player's socket in this peer)."""
    late = time.time() - due_at
    if LOG:
        with open(LOG, "a") as log:  # noqa: ASYNC230, PTH123 - a line to a local file, cheaper than any thread
            log.write(json.dumps({"late_s": late}) + "\n")
