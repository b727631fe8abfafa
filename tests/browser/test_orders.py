"""Orders on the page, against the whole stack."""

import re

import pytest
from playwright.async_api import expect

from tests.browser.conftest import Cockpits

pytestmark = pytest.mark.needs("browser")


async def test_a_player_signs_in_builds_and_sees_it_complete(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("luna-1")
    await cockpit.order("Ore mine")
    await expect(cockpit.body("luna-1")).to_have_class(re.compile("building"))
    await expect(cockpit.builds.get_by_role("progressbar")).to_have_attribute("aria-label", "Ore mine at Luna")
    await cockpit.picture("building")
    await expect(cockpit.told("Ore mine at Luna is complete.")).to_be_visible()
    await expect(cockpit.body("luna-1").locator(".satellite")).to_have_count(1)
    await expect(cockpit.builds).to_have_count(0)
    await cockpit.picture("completed")


async def test_a_survey_ends_in_new_stars_on_the_rim(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("farwatch-1")
    await cockpit.order("Sky survey")
    await expect(cockpit.page.locator(".entry.stars")).to_have_count(1)
    await expect(cockpit.page.locator("#map .discovered").first).to_be_visible()


async def test_cancelling_asks_once_in_place_and_then_does_it(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("terra-1")
    await cockpit.order("Shipyard")
    row = cockpit.builds.first
    await row.get_by_role("button", name="Cancel").click()
    await row.get_by_role("button", name="Keep building").click()
    await expect(cockpit.body("terra-1")).to_have_class(re.compile("building"))
    await row.get_by_role("button", name="Cancel").click()
    await row.get_by_role("button", name="Yes, call it off").click()
    await expect(cockpit.told("Shipyard at Terra was called off.")).to_be_visible()
    await expect(cockpit.builds).to_have_count(0)
    await expect(cockpit.body("terra-1")).not_to_have_class(re.compile("building"))


async def test_a_speed_up_moves_the_end_nearer(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("ares-1")
    await cockpit.order("Observatory")
    await cockpit.builds.first.get_by_role("button", name="Speed up").click()
    await expect(cockpit.told("Observatory at Ares is now due at")).to_be_visible()
    seconds = await cockpit.builds.first.get_by_role("timer").inner_text()
    assert re.fullmatch(r"0:[012]\d", seconds), seconds


async def test_what_is_ordered_at_a_busy_site_waits_its_turn_and_then_begins(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("io-1")
    await cockpit.order("Ore mine")
    await cockpit.order("Dock")
    await expect(cockpit.page.locator("#site-queue")).to_contain_text("then Dock")
    await expect(cockpit.told("Work on the dock at Io has begun.")).to_be_visible()
    await expect(cockpit.told("Dock at Io is complete.")).to_be_visible()
    await expect(cockpit.page.locator("#site-queue")).to_be_hidden()


async def test_what_waits_can_be_withdrawn(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("io-1")
    await cockpit.order("Shipyard")
    await cockpit.order("Dock")
    await cockpit.page.get_by_role("button", name="Withdraw the Dock").click()
    await expect(cockpit.told("Dock no longer waits at Io.")).to_be_visible()
    await expect(cockpit.page.locator("#site-queue")).to_be_hidden()


async def test_a_refusal_is_told_beside_the_button_in_words(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("europa-1")
    await cockpit.order("Shipyard")
    for waiting in range(1, 6):
        await cockpit.order("Ore mine")
        await expect(cockpit.page.locator("#site-queue li")).to_have_count(waiting)
    await cockpit.order("Ore mine")
    await expect(cockpit.kind("Ore mine")).to_contain_text("No more orders can wait at Europa.")


async def test_a_kind_that_needs_another_one_says_so(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("luna-1")
    refinery = cockpit.kind("Refinery")
    await expect(refinery).to_contain_text("Needs first: Ore mine.")
    await expect(refinery.get_by_role("button")).to_have_attribute("aria-disabled", "true")
    await cockpit.order("Ore mine")
    await expect(cockpit.told("Ore mine at Luna is complete.")).to_be_visible()
    await expect(refinery).not_to_contain_text("Needs first")


async def test_two_tabs_are_in_step(cockpits: Cockpits) -> None:
    first = await cockpits.open()
    second = await cockpits.open(first.player)
    await first.choose("titan-1")
    await first.order("Ore mine")
    await expect(second.body("titan-1")).to_have_class(re.compile("building"))
    await expect(second.told("Ore mine at Titan is complete.")).to_be_visible()
    await expect(first.told("Ore mine at Titan is complete.")).to_be_visible()
    await expect(second.body("titan-1").locator(".satellite")).to_have_count(1)


async def test_a_reload_stays_signed_in_and_keeps_the_feed(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.told("Dock at Luna is complete.")).to_be_visible()
    await cockpit.page.reload()
    await expect(cockpit.line).to_have_attribute("data-state", re.compile("live|resumed"))
    await expect(cockpit.told("Dock at Luna is complete.")).to_have_count(1)
    await expect(cockpit.body("luna-1").locator(".satellite")).to_have_count(1)


async def test_who_signs_out_leaves_nothing_behind_on_the_device(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.told("Dock at Luna is complete.")).to_be_visible()
    # Written once a second; only then there is something to forget.
    await cockpit.page.wait_for_function("localStorage.length === 1")
    await cockpit.page.get_by_role("button", name="Sign out").click()
    await expect(cockpit.page.get_by_label("Your name")).to_be_visible()
    assert await cockpit.page.evaluate("localStorage.length + sessionStorage.length") == 0
    await cockpit.page.reload()
    await expect(cockpit.page.get_by_label("Your name")).to_be_visible()
    assert await cockpit.page.evaluate("localStorage.length + sessionStorage.length") == 0


async def test_countdowns_are_right_whatever_the_players_clock_says(cockpits: Cockpits) -> None:
    two_hours_ahead = """
        const now = Date.now.bind(Date);
        Date.now = () => now() + 7_200_000;
    """
    cockpit = await cockpits.open(script=two_hours_ahead)
    await cockpit.choose("saga-1")
    await cockpit.order("Shipyard")
    seconds = await cockpit.builds.first.get_by_role("timer").inner_text()
    assert re.fullmatch(r"0:3\d", seconds), seconds
    await cockpit.line.click()
    await expect(cockpit.page.locator("#line-details")).to_contain_text("+2 h off")
