"""The page behind a proxy that hides from the gateway under which name it was asked for."""

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.cockpit import WAIT_MS
from tests.support.players import unique_player
from tests.support.proxies import proxy
from tests.support.stack import Stack

pytestmark = [pytest.mark.needs("browser"), pytest.mark.needs("proxies")]

_HOST = "proxy_set_header Host $http_host;"


@pytest.mark.parametrize("passes_host", [False, True])
async def test_the_page_says_which_origin_and_host_do_not_match_and_what_mends_it(
    browser: Browser,
    stack: Stack,
    tmp_path: Path,
    passes_host: bool,  # noqa: FBT001
) -> None:
    changes = () if passes_host else ((_HOST, ""),)
    async with proxy("nginx.conf", stack.port, tmp_path, *changes) as port:
        origin = f"http://127.0.0.1:{port}"
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
