"""Real proxies before a gateway: the configurations of deploy/proxies, as they are or changed by a test."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from tests.support.eventually import eventually
from tests.support.programs import find_program
from tests.support.stack import players_port

COMMANDS: Final = {
    "nginx.conf": ("nginx", "-g", "daemon off; error_log stderr warn;", "-c"),
    "haproxy.cfg": ("haproxy", "-db", "-f"),
    "Caddyfile": ("caddy", "run", "--adapter", "caddyfile", "--config"),
}
_CONFIGURATIONS: Final = Path(__file__).parents[2] / "deploy" / "proxies"


@asynccontextmanager
async def proxy(name: str, gateway_port: int, directory: Path, *changes: tuple[str, str]) -> AsyncGenerator[int]:
    """The port of a running proxy through which the gateway's page comes.

    Args:
        name: of a file in deploy/proxies.
        gateway_port: the players' port of the gateway behind it.
        directory: for its files.
        changes: texts of the configuration, and what stands there instead.
    """
    port = players_port()
    text = (_CONFIGURATIONS / name).read_text()
    for was, instead in changes:
        assert text.count(was) == 1, was
        text = text.replace(was, instead)
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{gateway_port}")
    configuration = directory / f"{port}-{name}"
    text = text.replace("/tmp/nginx-starwake.pid", str(directory / "nginx.pid"))  # noqa: S108 - the file's own
    # nginx's own folders are root's alone.
    kept = (f"{what}_temp_path {directory / what};" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    configuration.write_text(text.replace("\nhttp {\n", f"\nhttp {{\n{' '.join(kept)}\n", 1))
    places = dict.fromkeys(("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME"), str(directory))
    program, *options = COMMANDS[name]
    found = find_program(program)
    assert found is not None
    output = directory / f"{port}.log"
    with output.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            found, *options, str(configuration), stdout=log, stderr=log, env={**os.environ, **places}
        )
    try:

        async def serves() -> bool:
            assert process.returncode is None, output.read_text()
            return await _serves_the_page(port)

        await eventually(serves, within_s=30)
        yield port
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


async def _serves_the_page(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    try:
        writer.write(f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode())
        return (await asyncio.wait_for(reader.read(), 10)).startswith(b"HTTP/1.1 200 ")
    except ConnectionError:
        return False
    finally:
        writer.close()
