"""One page in front of one player: what they can do there, and what they see."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from playwright.async_api import ConsoleMessage, Error, Locator, Page, Request, expect

from tests.support.eventually import eventually

if TYPE_CHECKING:
    from tests.support.stack import Stack

ARTIFACTS: Final = Path(__file__).resolve().parents[1] / ".artifacts"
WAIT_MS: Final = 20_000


class Cockpit:
    """A page, driven as a player would: by what is written on it.

    Attributes:
        page: Playwright's page.
        player: who sits before it.
        requests: the URLs of all that the page asked for.
    """

    def __init__(self, page: Page, stack: Stack, player: str) -> None:
        self.page = page
        self.player = player
        self.requests: list[str] = []
        self._stack = stack
        self._complaints: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", self._failed)
        page.on("console", self._said)
        page.on("request", self._asked)

    def _failed(self, error: Error) -> None:
        self._complaints.append(f"uncaught: {error.message}\n{error.stack}")

    def _said(self, message: ConsoleMessage) -> None:
        # A line that breaks is an error to the browser, not to the page; what breaks the policy is one to us.
        if message.type == "error" and "Content Security Policy" in message.text:
            self._complaints.append(message.text)

    def _asked(self, request: Request) -> None:
        self.requests.append(request.url)

    def no_complaints(self) -> None:
        """Fails if the page threw an error or wanted more than its policy allows."""
        assert self._complaints == []

    def foreign_requests(self) -> list[str]:
        """What was asked for elsewhere than at the stack's own address."""
        own = urlsplit(self._stack.url).netloc
        return [url for url in self.requests if urlsplit(url).scheme != "data" and urlsplit(url).netloc != own]

    async def visit(self) -> None:
        """Open the page, again if the network changes under it: Chromium gives up what it was loading then."""

        async def ready() -> bool:
            try:
                await self.page.goto(self._stack.url)
                await self.page.wait_for_selector("body[data-ready]", timeout=5000)
            except Error:
                return False
            return True

        await eventually(ready, within_s=30)

    async def sign_in(self) -> None:
        """Come aboard under the player's name."""
        await self.page.get_by_label("Your name").fill(self.player)
        await self.page.get_by_role("button", name="Come aboard").click()
        await self.live()

    async def live(self) -> None:
        """Wait until the line is live."""
        await expect(self.line).to_have_attribute("data-state", "live", timeout=WAIT_MS)

    @property
    def line(self) -> Locator:
        """The state of the line."""
        return self.page.get_by_role("button", name="State of the line")

    async def choose(self, site: str) -> None:
        """Choose a site by its name on the wire."""
        await self.page.get_by_label("Site", exact=True).select_option(site)

    def kind(self, title: str) -> Locator:
        """A kind's entry in the orders."""
        return self.page.locator(".kind").filter(has=self.page.get_by_role("heading", name=title, exact=True))

    async def order(self, title: str) -> None:
        """Build, or queue, a kind at the chosen site."""
        await self.kind(title).get_by_role("button").click()

    @property
    def builds(self) -> Locator:
        """All that is under way, as rows."""
        return self.page.locator(".build")

    def told(self, text: str) -> Locator:
        """A transmission with this text."""
        return self.page.locator("#feed .entry").filter(has_text=text)

    def body(self, site: str) -> Locator:
        """A site's body on the map."""
        return self.page.locator(f'#map [data-site="{site}"]')

    async def picture(self, name: str) -> None:
        """A screenshot among the run's artifacts."""
        ARTIFACTS.mkdir(exist_ok=True)
        await self.page.screenshot(animations="disabled", path=ARTIFACTS / f"{name}.png")
