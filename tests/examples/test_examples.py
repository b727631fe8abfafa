"""Each file of `examples/` runs as its README says."""

import json
import re
import shlex
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin, Subprotocol

from starwake.client import Refused, Starwake
from tests.examples.programs import output_of, serving
from tests.support.documents import ROOT, section, shell_lines
from tests.support.node import node_folder
from tests.support.players import unique_player
from tests.support.stack import Stack, players_port

if TYPE_CHECKING:
    from playwright.async_api import Browser

EXAMPLES = ROOT / "examples"
PAGE_PORT = players_port()
PAGE = f"http://127.0.0.1:{PAGE_PORT}"


def settings_of(folder: str) -> dict[str, str]:
    """The settings with which an example's README starts the stack, for this run's ports and folder."""
    (up,) = [line for line in shell_lines((EXAMPLES / folder / "README.md").read_text()) if "starwake up" in line]
    text = up.replace("8000", str(PAGE_PORT)).replace("examples/", f"{EXAMPLES}/")
    return dict(word.split("=", 1) for word in shlex.split(text) if "=" in word)


@pytest.fixture(scope="module")
async def stack(server_directory: Path) -> AsyncIterator[Stack]:
    """One stack with the settings of all examples; times 6,000 times shorter."""
    settings = {**settings_of("probe-game"), **settings_of("page-elsewhere")}
    running = Stack(server_directory / "examples", "--time-scale", "6000", "--no-durable", env=settings)
    running.output_file.parent.mkdir(mode=0o711)
    await running.start()
    try:
        yield running
    finally:
        await running.stop()


def test_every_example_is_in_the_index() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert folders == set(re.findall(r"^\| \[([\w-]+)\]\(\1\)", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    assert all((EXAMPLES / folder / "README.md").is_file() for folder in folders)


def test_the_probe_of_the_main_readme_is_the_examples_own() -> None:
    guide = re.sub(r"^   ", "", section(ROOT / "README.md", "A new order"), flags=re.MULTILINE)
    assert (EXAMPLES / "probe-game" / "orders" / "probe.py").read_text() in guide
    (kind,) = re.findall(r"```toml\n(.*?)```", guide, re.DOTALL)
    assert kind in (EXAMPLES / "probe-game" / "catalogue.toml").read_text()


async def test_a_probe_needs_an_observatory_and_says_when_it_arrives(stack: Stack) -> None:
    async with Starwake.connect(stack.url, token=stack.token(unique_player())) as player:
        assert {kind.kind for kind in await player.catalogue()} == {"observatory", "probe"}
        launch = {"site": "luna-1", "star": "Vega"}
        with pytest.raises(Refused, match="observatory"):
            await player.command("probe.launch", launch)
        await player.build_start("observatory", "luna-1")
        async for push in player.events():
            if push.event == "build.completed":
                break
        with pytest.raises(Refused, match="we live there"):
            await player.command("probe.launch", {**launch, "star": "Sol"})
        await player.command("probe.launch", launch)
        async for push in player.events():
            if push.event == "probe.arrived":
                assert push.data_as(dict[str, str]) == {"star": "Vega", "site": "luna-1"}
                break


BUILT = re.compile(r"(ordered Observatory on base-\w+, due at \S.*\nObservatory stands on base-\w+\n){2}")


async def test_the_python_bot_builds_as_much_as_it_is_told_to(stack: Stack) -> None:
    bot = str(EXAMPLES / "bot-python" / "bot.py")
    assert BUILT.fullmatch(await output_of(sys.executable, bot, stack.url, stack.token(unique_player()), "2"))


async def test_the_javascript_bot_builds_as_much_as_it_is_told_to(stack: Stack, tmp_path: Path) -> None:
    folder = tmp_path / "bot-javascript"
    shutil.copytree(EXAMPLES / "bot-javascript", folder)
    _, copy, run = shell_lines((folder / "README.md").read_text())
    address = copy.removeprefix("curl -O ").replace("8080", str(stack.port))
    async with httpx.AsyncClient() as client:
        (folder / address.rpartition("/")[2]).write_bytes((await client.get(address)).raise_for_status().content)
    words = run.replace("8080", str(stack.port)).replace('"$(uv run starwake token ada)"', stack.token(unique_player()))
    node, *arguments = shlex.split(words)
    assert (node, arguments.pop()) == ("node", "3")
    assert BUILT.fullmatch(await output_of(str(node_folder() / node), *arguments, "2", cwd=folder))


@pytest.fixture
async def site(stack: Stack) -> AsyncIterator[str]:
    """The page that is served from elsewhere."""
    async with serving((sys.executable, str(EXAMPLES / "page-elsewhere" / "serve.py"), str(PAGE_PORT), stack.url)):
        yield PAGE


async def test_the_site_serves_its_page_and_hands_out_tokens_that_open_a_session(site: str, stack: Stack) -> None:
    async with httpx.AsyncClient(base_url=site) as client:
        assert "./starwake.js" in (await client.get("/")).raise_for_status().text
        assert "class Starwake" in (await client.get("/starwake.js")).raise_for_status().text
        assert (await client.get("/elsewhere")).status_code == 404
        assert (await client.post("/elsewhere")).status_code == 404
        session = (await client.post("/session")).raise_for_status().json()
    assert session["url"] == stack.ws_url
    await greeted(session, site)
    for other in ("http://127.0.0.1:1", f"http://localhost:{PAGE_PORT}"):
        with pytest.raises(InvalidStatus, match="403"):
            await greeted(session, other)


async def greeted(session: dict[str, str], origin: str) -> None:
    """Open a session as a page of this origin would."""
    async with connect(
        session["url"],
        origin=Origin(origin),
        additional_headers={"authorization": f"Bearer {session['token']}"},
        subprotocols=[Subprotocol("starwake.v1")],
    ) as socket:
        assert json.loads(await socket.recv())["type"] == "hello"


@pytest.mark.needs("browser")
async def test_the_page_elsewhere_orders_and_shows_the_pushes(browser: "Browser", site: str) -> None:
    page = await browser.new_page()
    await page.goto(site)
    await page.get_by_role("button", name="Order what is quickest").click(timeout=20_000)
    await page.get_by_text("build.started").wait_for(timeout=20_000)
    await page.get_by_text("build.completed").wait_for(timeout=20_000)
    await page.close()


@pytest.mark.needs("browser")
async def test_the_page_is_refused_under_a_name_that_the_gateway_was_not_told_of(browser: "Browser", site: str) -> None:
    page = await browser.new_page()
    await page.goto(site.replace("127.0.0.1", "localhost"))
    await page.get_by_text("waiting").wait_for(timeout=20_000)
    assert await page.get_by_role("button", name="Order what is quickest").is_disabled()
    await page.close()
