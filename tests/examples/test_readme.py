"""The README's programs work as printed, on a stack that takes its time."""

import re
import shlex
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.examples.programs import output_of, serving
from tests.support.documents import ROOT, printed, section, shell_lines
from tests.support.players import unique_player
from tests.support.stack import Stack, players_port

if TYPE_CHECKING:
    from playwright.async_api import Browser

README = ROOT / "README.md"
BROWSER = section(README, "Play from a browser")
PAGE_PORT = players_port()


def on_its_ports(line: str, stack: Stack | None = None) -> str:
    """A line of the README with this run's ports in place of the usual ones."""
    return line.replace("8000", str(PAGE_PORT)).replace("8080", str(stack.port) if stack else "8080")


@pytest.fixture(scope="module")
async def stack(server_directory: Path) -> AsyncIterator[Stack]:
    """`starwake up` as the README's block for the browser starts it: no time scale, the page's origin allowed."""
    (up,) = [line for line in shell_lines(BROWSER) if line.endswith("uv run starwake up")]
    settings = dict(word.split("=", 1) for word in shlex.split(on_its_ports(up)) if "=" in word)
    assert set(settings) == {"STARWAKE_ALLOWED_ORIGINS"}
    running = Stack(server_directory / "readme", "--no-durable", env=settings)
    running.output_file.parent.mkdir(mode=0o711)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


async def test_the_python_player_orders_and_sees_it_completed_within_seconds_and_again(
    stack: Stack, tmp_path: Path
) -> None:
    program = tmp_path / "player.py"
    program.write_text(printed(README, "player.py"))
    token = stack.token(unique_player())
    for _ in range(2):
        lines = (await output_of(sys.executable, str(program), stack.url, token)).splitlines()
        assert any(re.match(r"beacon on luna-\w+ will be done at", line) for line in lines)
        assert "build.completed" in lines[-1]


@pytest.mark.needs("browser")
async def test_a_page_of_an_allowed_origin_orders_and_sees_it_completed_and_again(
    browser: "Browser", stack: Stack, tmp_path: Path
) -> None:
    (tmp_path / "player.html").write_text(on_its_ports(printed(README, "player.html"), stack))
    _, copy, serve = (on_its_ports(line, stack) for line in shell_lines(BROWSER))
    address = copy.removeprefix("curl -O ")
    async with httpx.AsyncClient() as client:
        (tmp_path / address.rpartition("/")[2]).write_bytes((await client.get(address)).raise_for_status().content)
    (opened,) = re.findall(r"`(http\S+)#TOKEN`", on_its_ports(BROWSER))
    token = stack.token(unique_player())
    command = [sys.executable, "-u", *shlex.split(serve.removeprefix("python3"))]
    async with serving(command, tmp_path):
        for _ in range(2):
            page = await browser.new_page()
            await page.goto(f"{opened}#{token}")
            await page.wait_for_function("document.title.startsWith('due ')", timeout=20_000)
            await page.wait_for_function("document.body.innerText.includes('build.completed')", timeout=30_000)
            await page.close()
