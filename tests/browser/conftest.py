"""The browser, and players in it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
from playwright.async_api import Browser

from tests.browser.cockpit import Cockpit
from tests.support.players import unique_player
from tests.support.stack import Stack


class Cockpits:
    """Opens pages for players; what they complained about fails the test when it ends."""

    def __init__(self, browser: Browser, stack: Stack, closing: AsyncExitStack) -> None:
        self._browser = browser
        self._stack = stack
        self._closing = closing

    async def open(  # noqa: PLR0913 - what a context may differ in
        self,
        player: str | None = None,
        *,
        width: int = 1440,
        height: int = 900,
        light: bool = False,
        reduced_motion: bool = False,
        phone: bool = False,
        script: str | None = None,
        sign_in: bool = True,
    ) -> Cockpit:
        """A page in a context of its own (nothing remembered), signed in unless told otherwise.

        Args:
            player: a new one by default.
            width: in CSS pixels.
            height: in CSS pixels.
            light: whether the player's system asks for a light scheme.
            reduced_motion: whether it asks for less motion.
            phone: whether it has a touch screen and twice the pixels.
            script: run before the page's own.
            sign_in: whether to go aboard at once.
        """
        context = await self._browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="light" if light else "dark",
            reduced_motion="reduce" if reduced_motion else "no-preference",
            has_touch=phone,
            is_mobile=phone,
            device_scale_factor=2 if phone else 1,
        )
        self._closing.push_async_callback(context.close)
        if script is not None:
            await context.add_init_script(script)
        cockpit = Cockpit(await context.new_page(), self._stack, player or unique_player())
        self._closing.callback(cockpit.no_complaints)
        await cockpit.visit()
        if sign_in:
            await cockpit.sign_in()
        return cockpit


@pytest.fixture
async def cockpits(browser: Browser, stack: Stack) -> AsyncIterator[Cockpits]:
    """Opens pages for players."""
    async with AsyncExitStack() as closing:
        yield Cockpits(browser, stack, closing)
