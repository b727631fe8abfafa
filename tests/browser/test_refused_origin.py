"""The page behind a proxy that hides from the gateway under which name it was asked for."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.cockpit import WAIT_MS
from tests.support.eventually import eventually
from tests.support.players import unique_player
from tests.support.stack import Stack, players_port

pytestmark = [pytest.mark.needs("browser"), pytest.mark.needs("proxies")]

_NGINX = Path(__file__).parents[2] / "deploy" / "proxies" / "nginx.conf"
_HOST = "proxy_set_header Host $http_host;"


@asynccontextmanager
async def nginx(directory: Path, stack: Stack, *, passes_host: bool) -> AsyncGenerator[str]:
    """The origin of deploy's nginx before the stack's gateway."""
    port = players_port()
    text = _NGINX.read_text()
    assert _HOST in text
    text = text.replace("127.0.0.1:8000", f"127.0.0.1:{port}").replace("127.0.0.1:8080", f"127.0.0.1:{stack.port}")
    text = text.replace("/tmp/nginx-starwake.pid", str(directory / "nginx.pid"))  # noqa: S108 - the file's own
    configuration = directory / f"nginx-{port}.conf"
    configuration.write_text(text if passes_host else text.replace(_HOST, ""))
    log = directory / "nginx.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *("nginx", "-g", "daemon off; error_log stderr warn;", "-c", str(configuration)),
            stdout=output,
            stderr=output,
        )

    async def listens() -> bool:
        assert process.returncode is None, log.read_text()
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.close()
        return True

    try:
        await eventually(listens, within_s=30)
        yield f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(20):
            await process.wait()


@pytest.mark.parametrize("passes_host", [False, True])
async def test_the_page_says_which_origin_and_host_do_not_match_and_what_mends_it(
    browser: Browser,
    stack: Stack,
    tmp_path: Path,
    passes_host: bool,  # noqa: FBT001
) -> None:
    async with nginx(tmp_path, stack, passes_host=passes_host) as origin:
        context = await browser.new_context()
        page = await context.new_page()
        page.set_default_timeout(WAIT_MS)
        await page.goto(origin)
        await page.get_by_label("Your name").fill(unique_player())
        await page.get_by_role("button", name="Come aboard").click()
        line = page.get_by_role("button", name="State of the line")
        refused = page.locator("#refused")
        if passes_host:
            await expect(line).to_have_attribute("data-state", "live")
            await expect(refused).to_be_hidden()
        else:
            for told in (
                origin,
                "gateways",
                "Host header",
                "STARWAKE_ALLOWED_ORIGINS",
            ):  # nginx sends the upstream's name
                await expect(refused).to_contain_text(told)
            await expect(line).not_to_have_attribute("data-state", "live")
        await context.close()
