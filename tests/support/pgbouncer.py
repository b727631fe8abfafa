"""A real PgBouncer in front of a test's Postgres."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

from starwake.cli.embedded.ports import free_ports
from starwake.cli.embedded.probes import probe
from tests.support.eventually import eventually
from tests.support.programs import find_program


@asynccontextmanager
async def pgbouncer(url: str, directory: Path, mode: Literal["session", "transaction"]) -> AsyncGenerator[str]:
    """The URL of the same database through a PgBouncer with few server connections."""
    program = find_program("pgbouncer")
    assert program is not None
    parts = urlsplit(url)
    (port,) = free_ports(1)
    directory.chmod(0o755)  # noqa: ASYNC240 - a moment, in a test
    users = directory / "users.txt"
    users.write_text(f'"{parts.username}" "{parts.password}"\n')
    settings = directory / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={parts.port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
        f"listen_port = {port}\nunix_socket_dir =\nauth_type = plain\nauth_file = {users}\npool_mode = {mode}\n"
        "default_pool_size = 20\n" + ("user = nobody\n" if os.geteuid() == 0 else "")  # it does not run as root
    )
    through = urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{port}"))
    process = await asyncio.create_subprocess_exec(program, "-q", str(settings))

    async def answers() -> bool:
        return await probe(through)

    try:
        await eventually(answers, within_s=20)
        yield through
    finally:
        process.terminate()
        await process.wait()
