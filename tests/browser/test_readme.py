"""The README's browser snippet works as printed."""

import pytest
from playwright.async_api import Browser, Route

from tests.journey.test_readme import printed
from tests.support.stack import Stack

pytestmark = pytest.mark.needs("browser")


async def test_the_snippet_orders_and_hears_of_it(browser: Browser, stack: Stack) -> None:
    async def deliver(route: Route) -> None:
        await route.fulfill(content_type="text/html", body=printed("player.html"))

    page = await browser.new_page()
    await page.route("**/player.html", deliver)
    await page.goto(f"{stack.url}/player.html")
    await page.wait_for_function("document.title.startsWith('due ')", timeout=20_000)
    await page.wait_for_function("document.body.innerText.includes('build.started')", timeout=20_000)
    await page.close()
