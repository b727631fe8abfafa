"""What the universe does to the page: dragons, and very many builds."""

import re
from typing import Any, cast

import pytest
from playwright.async_api import CDPSession, expect

from tests.browser.conftest import Cockpits
from tests.browser.world import announce_dragons, operator, order_everywhere
from tests.support.stack import Stack

pytestmark = pytest.mark.needs("browser")

MANY = 200
FRAMES = 10
FRAME_S = 0.2


async def main_thread_s(tools: CDPSession) -> float:
    """The processor's time that the page's main thread has taken, in seconds (DevTools Protocol, Performance)."""
    answer = cast("dict[str, Any]", await tools.send("Performance.getMetrics"))  # pyright: ignore[reportUnknownMemberType]
    return float(next(each["value"] for each in answer["metrics"] if each["name"] == "TaskDuration"))


async def test_dragons_reach_everybody_with_a_countdown_and_then_arrive(cockpits: Cockpits, stack: Stack) -> None:
    desk = await cockpits.open()
    phone = await cockpits.open(width=390, height=844, phone=True, light=True)
    async with operator(stack) as bus:
        await announce_dragons(bus, in_s=12)
    for cockpit in (desk, phone):
        banner = cockpit.page.get_by_role("region", name="Warnings")
        await expect(banner).to_contain_text("Space dragons inbound")
        await expect(banner.get_by_role("timer").first).to_have_text(re.compile(r"^(0:)?\d+(\.\d)?$"))
        await expect(cockpit.page.locator("#map .flight .trail.core").first).to_have_attribute("d", re.compile("^M"))
    await expect(desk.page.locator("#assertive")).to_contain_text("Space dragons are inbound")
    await desk.picture("dragons")
    await phone.picture("dragons-phone-light")
    await expect(desk.page.get_by_role("region", name="Warnings")).to_contain_text("The space dragons are here")
    await desk.page.get_by_role("button", name="Dismiss").first.click()
    await expect(desk.told("The space dragons are here.")).not_to_have_count(0)


async def test_two_hundred_builds_are_a_list_that_stays_quick(cockpits: Cockpits, stack: Stack) -> None:
    cockpit = await cockpits.open()
    async with operator(stack) as bus:
        await order_everywhere(bus, cockpit.player, "shipyard", MANY)
    await expect(cockpit.builds).to_have_count(MANY)
    await expect(cockpit.page.get_by_role("button", name="List")).to_have_attribute("aria-pressed", "true")
    await expect(cockpit.page.locator("#list-body tr").first).to_contain_text("Shipyard")
    await expect(cockpit.page.locator("#under-way-title")).to_have_text(f"Under way · {MANY}")
    # By the processor's time, not the clock's: whatever else the machine does, a frame costs what it costs.
    tools = await cockpit.page.context.new_cdp_session(cockpit.page)
    await tools.send("Performance.enable", {"timeDomain": "threadTicks"})  # pyright: ignore[reportUnknownMemberType]
    before = await main_thread_s(tools)
    await cockpit.page.evaluate(
        "async (frames) => { while (frames-- > 0) await new Promise(requestAnimationFrame); }", FRAMES
    )
    assert (await main_thread_s(tools) - before) / FRAMES < FRAME_S, "the page came to a stop"
    await cockpit.picture("two-hundred-list")
    await cockpit.page.get_by_role("button", name="Map").click()
    await expect(cockpit.page.locator("#map .site.building")).to_have_count(MANY)
    await cockpit.picture("two-hundred-map")
    await cockpit.page.get_by_role("button", name="List").click()
    await expect(cockpit.builds).to_have_count(0, timeout=90_000)
    await expect(cockpit.page.locator("#feed .entry.done")).not_to_have_count(0)


async def test_a_second_device_sees_what_was_told_and_announced_before(cockpits: Cockpits, stack: Stack) -> None:
    desk = await cockpits.open()
    await desk.choose("ceres-1")
    await desk.order("Dock")
    await expect(desk.told("Dock at Ceres is complete.")).to_have_count(1)
    async with operator(stack) as bus:
        await announce_dragons(bus, in_s=90)
    await expect(desk.page.get_by_role("region", name="Warnings")).to_contain_text("Space dragons inbound")
    second = await cockpits.open(desk.player)
    await expect(second.told("Dock at Ceres is complete.")).to_have_count(1)
    await expect(second.page.get_by_role("region", name="Warnings")).to_contain_text("Space dragons inbound")
    await second.picture("second-device")
