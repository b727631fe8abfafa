"""The page's line breaks, ends and comes back, against the whole stack."""

import re

import pytest
from playwright.async_api import Route, expect

from tests.browser.conftest import Cockpits
from tests.support.eventually import eventually
from tests.support.stack import Stack

pytestmark = pytest.mark.needs("browser")


async def test_a_killed_gateway_costs_no_order_and_no_transmission(cockpits: Cockpits, stack: Stack) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("luna-1")
    await cockpit.order("Sky survey")
    await expect(cockpit.told("Work on the sky survey at Luna has begun.")).to_be_visible()
    await cockpit.choose("terra-1")
    killed = await stack.kill("gateway")
    await expect(cockpit.line).to_have_attribute("data-state", "waiting")
    await cockpit.order("Dock")
    await expect(cockpit.kind("Dock")).to_contain_text("Goes out when the line is back.")
    await cockpit.picture("line-down")

    async def back() -> bool:
        part = await stack.part("gateway")
        return part["pid"] != killed and part["healthy"]

    await eventually(back, within_s=60, every_s=0.2)
    await expect(cockpit.line).to_have_attribute("data-state", "resumed", timeout=40_000)
    await cockpit.picture("line-resumed")
    await expect(cockpit.told("Dock at Terra is complete.")).to_have_count(1)
    await expect(cockpit.told("Sky survey at Luna is complete.")).to_have_count(1)
    await expect(cockpit.told("Work on the dock at Terra has begun.")).to_have_count(1)


async def test_what_was_told_while_the_player_was_away_is_caught_up_and_marked(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    other = await cockpits.open(cockpit.player)
    await cockpit.choose("luna-1")
    await cockpit.order("Greenhouse")
    await expect(cockpit.told("Work on the greenhouse at Luna has begun.")).to_be_visible()
    await cockpit.page.goto("about:blank")
    await expect(other.told("Greenhouse at Luna is complete.")).to_be_visible()
    await cockpit.visit()
    await expect(cockpit.line).to_contain_text(re.compile("Resumed · 1 transmission caught up"))
    await expect(cockpit.told("Greenhouse at Luna is complete.")).to_contain_text("caught up")
    await expect(cockpit.told("Work on the greenhouse at Luna has begun.")).to_have_count(1)


async def test_an_expiring_token_is_renewed_without_leaving_the_line(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(sign_in=False)
    asked = 0

    async def short_lived(route: Route) -> None:
        nonlocal asked
        asked += 1
        await route.continue_(post_data={"player": cockpit.player, "ttl_s": 6})

    await cockpit.page.route("**/dev/token", short_lived)
    await cockpit.sign_in()
    await eventually(lambda: asked >= 4, within_s=40)
    await expect(cockpit.line).to_have_attribute("data-state", "live")
    await cockpit.line.click()
    await expect(cockpit.page.locator("#line-details")).to_contain_text("0 times")
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.told("Dock at Luna is complete.")).to_be_visible()


async def test_a_pass_that_cannot_be_renewed_ends_in_words_and_a_way_out(cockpits: Cockpits, stack: Stack) -> None:
    cockpit = await cockpits.open(sign_in=False)

    async def none_here(route: Route) -> None:
        await route.fulfill(status=404, json={"detail": "Not Found"})

    await cockpit.page.route("**/dev/token", none_here)
    await cockpit.page.get_by_label("Your name").fill(cockpit.player)
    await cockpit.page.get_by_role("button", name="Come aboard").click()
    await cockpit.page.get_by_label("Your pass").fill(stack.token(cockpit.player, ttl_s=2))
    await cockpit.page.get_by_role("button", name="Come aboard").click()
    await cockpit.live()
    # The gateway gives an expired session 25 seconds to bring a new token.
    await expect(cockpit.page.locator("#ended")).to_contain_text("Your pass ran out.", timeout=45_000)
    await expect(cockpit.line).to_contain_text("Signed out")
    await cockpit.page.get_by_role("button", name="Sign in again").click()
    await expect(cockpit.page.get_by_label("Your pass")).to_be_visible()


async def test_a_token_of_another_key_is_replaced_once_and_then_holds(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.page.evaluate(
        """() => {
            const pass = JSON.parse(sessionStorage.getItem("starwake.pass"));
            pass.token = pass.token.slice(0, -6) + "AAAAAA";
            sessionStorage.setItem("starwake.pass", JSON.stringify(pass));
        }"""
    )
    await cockpit.page.reload()
    await expect(cockpit.line).to_have_attribute("data-state", re.compile("live|resumed"))
