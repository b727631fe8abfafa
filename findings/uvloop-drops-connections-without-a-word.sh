#!/usr/bin/env bash
# uvloop 0.23.0: when a process has no file descriptor left, a listening socket goes on accepting: each connection is closed at
# once, and neither the server's protocol nor the loop's exception handler hears of it. libuv keeps a spare descriptor for that.
# It does so on every listening socket of the loop, so a health check in the same process fails while the log says nothing.
# One would guess what asyncio does in the same place: the exception handler is called with EMFILE, and the connection waits.
# Seen: limit 64, all used: under uvloop a client is connected and gets an end of file within 2 s, the handler was called 0 times;
# under asyncio it is kept waiting, and the handler was called with "socket.accept() out of system resource".
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv venv --quiet "$work/venv"
uv pip install --quiet --python "$work/venv/bin/python" uvloop==0.23.0
cat >"$work/seen.py" <<'PYTHON'
import asyncio, os, resource, subprocess, sys

import uvloop

CLIENT = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2) as client:
    client.settimeout(2)
    try:
        print("closed" if client.recv(1) == b"" else "answered")
    except ConnectionResetError:
        print("closed")
    except TimeoutError:
        print("waits")
"""


async def main() -> tuple[str, int]:
    loop, errors = asyncio.get_running_loop(), []
    loop.set_exception_handler(lambda _loop, context: errors.append(context["message"]))
    server = await loop.create_server(asyncio.Protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    # The client is a process of its own: it has descriptors.
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "import sys; sys.stdin.readline()\n" + CLIENT, str(port),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )
    held = []
    try:
        while True:
            held.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    client.stdin.write(b"now\n")
    said = (await asyncio.wait_for(client.stdout.read(), 20)).decode().strip()
    for each in held:
        os.close(each)
    await client.wait()
    server.close()
    return said, len(errors), errors[:1]


soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
asyncio_says = asyncio.run(main())
uvloop_says = uvloop.run(main())
print("asyncio:", *asyncio_says)
print("uvloop: ", *uvloop_says)
sys.exit(0 if uvloop_says[:2] == ("closed", 0) and asyncio_says[0] == "waits" and asyncio_says[1] else "it has changed")
PYTHON
"$work/venv/bin/python" "$work/seen.py"
