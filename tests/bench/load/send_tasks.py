"""Sends Celery's completing tasks for builds of its table, all with one ETA.

`python -m tests.bench.load.send_tasks ETA`. Its addresses are in the environment, as the tasks' module has it.
"""

import json
import os
import sys
from datetime import UTC, datetime
from typing import Any, cast

import psycopg

from tests.bench.peers import celery_tasks


def main(eta_s: float) -> None:
    """One task for each build that is under way; `eta_s` is seconds since 1970."""
    task = cast("Any", celery_tasks.complete_build)
    eta = datetime.fromtimestamp(eta_s, UTC)
    with psycopg.connect(os.environ["BENCH_DATABASE_URL"]) as connection:
        builds = connection.execute("SELECT player, id::text FROM build WHERE state = 'building'").fetchall()
    for player, build_id in builds:
        task.apply_async((player, build_id), eta=eta)
    sys.stdout.write(json.dumps({"sent": len(builds)}) + "\n")


if __name__ == "__main__":
    main(float(sys.argv[1]))
