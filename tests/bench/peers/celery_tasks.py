"""The seed design's worker: Celery over Redis, a build table in Postgres, completions by ETA.

Configured as Celery's documentation asks for: late acknowledgement and a prefetch of one for long tasks (Optimizing),
a visibility timeout beyond the longest ETA (Using Redis), a connection opened in each worker process after the fork
(`worker_process_init`), results ignored where nobody reads them.
"""

import json
import os
import uuid
from datetime import UTC, datetime, timedelta

import psycopg
import redis
from celery import Celery
from celery.signals import worker_process_init, worker_process_shutdown

broker = os.environ["BENCH_REDIS_URL"]
app = Celery("seed", broker=broker)
app.conf.update(
    task_acks_late=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": 86_400},
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
)


class _Connections:
    """What one worker process holds open."""

    database: psycopg.Connection
    redis: redis.Redis


held = _Connections()


@worker_process_init.connect
def _open(**_: object) -> None:
    held.database = psycopg.connect(os.environ["BENCH_DATABASE_URL"], autocommit=True)
    held.redis = redis.Redis.from_url(broker)


@worker_process_shutdown.connect
def _close(**_: object) -> None:
    held.database.close()
    held.redis.close()


@app.task
def start_build(player: str, command_id: str, kind: str, site: str, seconds: float) -> None:
    """Write the row, set the delayed task, answer the player."""
    now = datetime.now(UTC)
    due = now + timedelta(seconds=seconds)
    build_id = str(uuid.uuid4())
    try:
        held.database.execute(
            "INSERT INTO build VALUES (%s, %s, %s, %s, 'building', %s, %s, NULL)",
            (build_id, player, kind, site, now, due),
        )
    except psycopg.errors.UniqueViolation:
        _publish(player, {"type": "error", "id": command_id, "error": {"code": "site_busy"}})
        return
    complete_build.apply_async((player, build_id), eta=due)
    build = {"id": build_id, "kind": kind, "site": site, "state": "building", "due_at": due.isoformat()}
    _publish(player, {"type": "reply", "id": command_id, "command": "build.start", "result": {"build": build}})


@app.task
def complete_build(player: str, build_id: str) -> None:
    """Check that the build is still valid, complete it, tell the player."""
    row = held.database.execute(
        "UPDATE build SET state = 'completed', completed_at = now() WHERE id = %s AND state = 'building'"
        " RETURNING kind, site, due_at",
        (build_id,),
    ).fetchone()
    if row is None:
        return
    kind, site, due = row
    build = {"id": build_id, "kind": kind, "site": site, "state": "completed", "due_at": due.isoformat()}
    _publish(player, {"type": "push", "event": "build.completed", "data": {"build": build}})


def _publish(player: str, frame: dict[str, object]) -> None:
    held.redis.publish(f"player:{player}", json.dumps(frame))
