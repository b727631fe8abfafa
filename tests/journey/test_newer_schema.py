"""A later version has migrated the database, and this one runs again: everything works with it, and says so."""

import asyncio
import json
import shutil
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path

from starwake.client import Starwake
from tests.support.players import unique_player
from tests.support.postgres import connect
from tests.support.stack import Stack


async def test_up_and_doctor_work_with_a_newer_schema(database_url: str) -> None:
    operator = await connect(database_url)
    await operator.execute("UPDATE alembic_version SET version_num = '9999'")
    await operator.close()
    directory = Path(tempfile.mkdtemp(prefix="starwake-newer-"))
    stack = Stack(directory, "--no-durable", "--database-url", database_url)
    try:
        await stack.start()
        async with Starwake.connect(stack.ws_url, token=stack.token(unique_player())) as session:
            assert (await session.build_start("beacon", "luna-1")).kind == "beacon"
        process = await asyncio.create_subprocess_exec(*stack.run("doctor", "--json"), stdout=PIPE)
        out, _ = await asyncio.wait_for(process.communicate(), 60)
        [schema] = [finding for finding in json.loads(out)["findings"] if finding["name"] == "schema"]
        assert (process.returncode, schema["state"]) == (0, "warning")
        assert "newer" in schema["detail"]
        assert "newer" in stack.output()
    finally:
        if stack.exit_code is None:
            await stack.stop()
        shutil.rmtree(directory, ignore_errors=True)
