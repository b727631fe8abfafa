"""Frames get lost between the page and the server; what the player ordered happens once all the same."""

import json

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.browser.cockpit import Cockpit
from tests.browser.conftest import Cockpits

pytestmark = pytest.mark.needs("browser")


class Wire:
    """What lies between the page and the gateway, in the test's hand.

    Attributes:
        cut: whether new connections are refused.
        swallow: the command whose next reply is lost, with the connection.
        commands: the frames that the page sent, in order.
    """

    def __init__(self) -> None:
        self.cut = False
        self.swallow: str | None = None
        self.commands: list[dict[str, object]] = []
        self._route: WebSocketRoute | None = None

    async def lay(self, cockpit: Cockpit) -> None:
        """Put it between."""
        await cockpit.page.route_web_socket("**/ws", self._connect)

    async def drop(self) -> None:
        """Break the connection."""
        assert self._route is not None
        await self._route.close(code=4010, reason="cut by a test")

    async def _connect(self, route: WebSocketRoute) -> None:
        if self.cut:
            await route.close(code=4010, reason="cut by a test")
            return
        self._route = route
        server = route.connect_to_server()

        def to_server(message: str | bytes) -> None:
            self.commands.append(json.loads(message))
            server.send(message)

        async def to_page(message: str | bytes) -> None:
            frame = json.loads(message)
            if self.swallow is not None and frame["type"] == "reply" and frame["command"] == self.swallow:
                self.swallow = None
                await self.drop()
            else:
                route.send(message)

        route.on_message(to_server)
        server.on_message(to_page)

    def ids(self, command: str) -> list[object]:
        """The ids under which a command was sent."""
        return [frame["id"] for frame in self.commands if frame["command"] == command]


async def test_an_order_whose_reply_is_lost_is_sent_again_and_carried_out_once(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(sign_in=False)
    wire = Wire()
    await wire.lay(cockpit)
    await cockpit.sign_in()
    await cockpit.choose("luna-1")
    wire.swallow = "build.start"
    await cockpit.order("Ore mine")
    await expect(cockpit.told("Ore mine at Luna is complete.")).to_have_count(1)
    await expect(cockpit.told("Work on the ore mine at Luna has begun.")).to_have_count(1)
    await expect(cockpit.page.locator(".kind.refused")).to_have_count(0)
    ids = wire.ids("build.start")
    assert len(ids) == 2
    assert ids[0] == ids[1]


async def test_an_order_that_waits_for_the_line_survives_a_reload(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(sign_in=False)
    wire = Wire()
    await wire.lay(cockpit)
    await cockpit.sign_in()
    await cockpit.choose("luna-1")
    await expect(cockpit.kind("Dock")).to_be_visible()  # the catalogue is here: it comes over the line, too
    wire.cut = True
    await wire.drop()
    await expect(cockpit.line).to_have_attribute("data-state", "waiting")
    await cockpit.order("Dock")
    await expect(cockpit.kind("Dock")).to_contain_text("Goes out when the line is back.")
    wire.cut = False
    await cockpit.page.reload()
    await expect(cockpit.told("Dock at Luna is complete.")).to_have_count(1)
    assert len(set(wire.ids("build.start"))) == 1
