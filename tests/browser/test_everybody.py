"""The page for everybody: keyboard, small screens, less motion, a strict policy."""

import re
from typing import cast

import pytest
from playwright.async_api import expect

from tests.browser.cockpit import Cockpit
from tests.browser.conftest import Cockpits

pytestmark = pytest.mark.needs("browser")

SMALL_TARGETS = """() => [...document.querySelectorAll("button, select, input, textarea")]
    .filter((element) => element.checkVisibility() && !element.closest(".sr-only"))
    .map((element) => [element.innerText || element.id, element.getBoundingClientRect()])
    .filter(([, box]) => box.width > 0 && (box.height < 43.5 || box.width < 43.5))
    .map(([name, box]) => `${name}: ${box.width} x ${box.height}`)
"""


async def _focused(cockpit: Cockpit) -> str:
    return cast("str", await cockpit.page.evaluate("document.activeElement.dataset.site ?? document.activeElement.id"))


async def test_a_build_is_ordered_and_cancelled_by_keyboard_alone(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(sign_in=False)
    keyboard = cockpit.page.keyboard
    await keyboard.type(cockpit.player)
    await keyboard.press("Enter")
    await cockpit.live()
    for _ in range(12):
        await keyboard.press("Tab")
        if await _focused(cockpit) == "helia-1":
            break
    assert await _focused(cockpit) == "helia-1"
    await keyboard.press("ArrowLeft")
    site = await _focused(cockpit)
    assert site != "helia-1"
    await keyboard.press("Enter")
    await expect(cockpit.page.get_by_label("Site", exact=True)).to_have_value(site)
    await cockpit.kind("Shipyard").get_by_role("button").focus()
    await keyboard.press("Enter")
    await expect(cockpit.body(site)).to_have_class(re.compile("building"))
    await cockpit.builds.first.get_by_role("button", name="Cancel").focus()
    await keyboard.press("Enter")
    await expect(cockpit.page.get_by_role("button", name="Keep building")).to_be_focused()
    await keyboard.press("Escape")
    await expect(cockpit.builds.first.get_by_role("button", name="Cancel")).to_be_focused()
    await keyboard.press("Enter")
    await keyboard.press("Shift+Tab")
    await keyboard.press("Enter")
    await expect(cockpit.builds).to_have_count(0)


async def test_a_screen_reader_finds_every_site_in_a_table_and_hears_what_happens(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await expect(cockpit.page.get_by_role("table", name="System").get_by_role("row")).to_have_count(15)
    await cockpit.choose("ceres-1")
    await cockpit.order("Dock")
    await expect(cockpit.body("ceres-1")).to_have_attribute("aria-label", re.compile("^Ceres: building a Dock"))
    await expect(cockpit.page.locator("#polite")).to_contain_text("Dock at Ceres is complete.")


async def test_on_a_phone_orders_are_a_sheet_and_transmissions_a_tab(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(width=390, height=844, phone=True)
    await expect(cockpit.page.get_by_role("heading", name="Orders")).to_be_hidden()
    await cockpit.body("juno-1").tap()
    await expect(cockpit.page.get_by_role("heading", name="Orders")).to_be_visible()
    await cockpit.order("Ore mine")
    await cockpit.picture("phone-orders")
    await expect(cockpit.page.locator(".toast.done")).to_contain_text("Ore mine at Juno is complete.")
    await cockpit.page.get_by_role("button", name="Close").click()
    await cockpit.picture("phone-map")
    await cockpit.page.get_by_role("button", name=re.compile("^Transmissions")).click()
    await expect(cockpit.told("Ore mine at Juno is complete.")).to_be_visible()
    await cockpit.picture("phone-transmissions")


async def test_nothing_is_too_small_to_touch_or_too_wide_for_a_small_phone(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(width=360, height=640, phone=True)
    for panel in ("", "orders", "transmissions"):
        if panel:
            await cockpit.page.locator(f'#tabs [data-panel="{panel}"]').tap()
        assert await cockpit.page.evaluate(SMALL_TARGETS) == []
        assert await cockpit.page.evaluate("document.documentElement.scrollWidth") <= 360
        await cockpit.page.evaluate("document.body.dataset.panel = ''")


async def test_less_motion_means_none_that_decorates(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(reduced_motion=True, light=True)
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.told("Dock at Luna is complete.")).to_be_visible()
    assert await cockpit.page.evaluate("document.getAnimations().length") == 0
    await cockpit.picture("light")


async def test_nothing_is_drawn_while_nobody_looks(cockpits: Cockpits) -> None:
    count_frames = """
        window.frames_asked = 0;
        const ask = window.requestAnimationFrame.bind(window);
        window.requestAnimationFrame = (draw) => { window.frames_asked += 1; return ask(draw); };
        Object.defineProperty(document, "hidden", { get: () => window.away === true });
    """
    cockpit = await cockpits.open(script=count_frames)
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.builds).to_have_count(1)
    await cockpit.page.evaluate("window.away = true; document.dispatchEvent(new Event('visibilitychange'))")
    asked = await cockpit.page.evaluate("window.frames_asked")
    await expect(cockpit.page).to_have_title(re.compile(r"^\(\d+\) Starwake$"))
    assert await cockpit.page.evaluate("window.frames_asked") == asked
    await cockpit.page.evaluate("window.away = false; document.dispatchEvent(new Event('visibilitychange'))")
    await expect(cockpit.page).to_have_title("Starwake")


async def test_no_request_leaves_the_origin(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open()
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.told("Dock at Luna is complete.")).to_be_visible()
    assert cockpit.requests
    assert cockpit.foreign_requests() == []


async def test_the_gate_is_a_picture_worth_keeping(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open(sign_in=False)
    await expect(cockpit.page.get_by_role("heading", name="Starwake")).to_be_visible()
    await cockpit.picture("gate")


async def test_a_name_that_holds_markup_or_wildcards_is_only_a_name(cockpits: Cockpits) -> None:
    cockpit = await cockpits.open('<img src=x onerror="alert(1)"> *.> é')
    await expect(cockpit.page.locator("#player-name")).to_have_text(cockpit.player)
    await cockpit.choose("luna-1")
    await cockpit.order("Dock")
    await expect(cockpit.told("Dock at Luna is complete.")).to_be_visible()
