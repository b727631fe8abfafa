"""The README's programs work as printed."""

import asyncio
import re
import sys
from pathlib import Path

from tests.support.players import unique_player
from tests.support.stack import Stack

README = Path(__file__).parents[2] / "README.md"


def printed(name: str) -> str:
    """The README's block whose first line names this file."""
    match = re.search(rf"```\w+\n((?:#|<!--) {re.escape(name)}.*?)```", README.read_text(), re.DOTALL)
    assert match is not None, f"the README prints no {name}"
    return match[1]


async def test_the_python_player_orders_and_sees_it_completed(stack: Stack, tmp_path: Path) -> None:
    program = tmp_path / "player.py"
    program.write_text(printed("player.py"))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(program), stack.url, stack.token(unique_player())),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    lines = output.decode().splitlines()
    assert process.returncode == 0
    assert any(line.startswith("solar_array on luna-1 will be done at") for line in lines)
    assert "build.completed" in lines[-1]
