"""Names of sites that look alike are one site."""

from importlib import import_module

import pytest

from tests.contract.command.universe import Refused, Universe

normal_sites = import_module("starwake.store.migrations.versions.0008_normal_sites")
COMPOSED, DECOMPOSED = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("first", "second"),
    [("luna-1", " luna-1"), ("luna-1 ", "luna-1"), (COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)],
)
async def test_sites_that_look_alike_are_one(universe: Universe, first: str, second: str) -> None:
    build = await universe.start(first)
    assert build["site"] in ("luna-1", COMPOSED)
    with pytest.raises(Refused) as caught:
        await universe.start(second)
    assert caught.value.code == "site_busy"
    queued = (await universe.order("build.queue", kind="dock", site=second))["queued"]
    assert queued["site"] == build["site"]
    following = await universe.order("build.cancel", build_id=build["id"])
    assert following["build"]["site"] == build["site"]
    assert [row["state"] for row in await universe.builds()] == ["cancelled", "building"]


@pytest.mark.parametrize("site", [" ", "   ", "\u0958" * 64])
async def test_a_name_of_which_nothing_or_too_much_comes_is_refused(universe: Universe, site: str) -> None:
    with pytest.raises(Refused) as caught:
        await universe.start(site)
    assert caught.value.code == "bad_request"


async def test_what_was_begun_under_another_spelling_goes_on_under_the_normal_one(universe: Universe) -> None:
    begun = [await universe.start(site) for site in ("io", "mars", "terra", COMPOSED)]
    waiting = (await universe.order("build.queue", kind="dock", site="io"))["queued"]
    spelt = {"io": " io", "mars": "mars  ", "terra": " io ", COMPOSED: DECOMPOSED}
    for build in begun:
        await universe.rows("UPDATE build SET site = $2 WHERE id = $1", build["id"], spelt[build["site"]])
    await universe.rows("UPDATE queued_order SET site = ' io' WHERE id = $1", waiting["id"])
    for statement in (normal_sites.BUILDS, normal_sites.QUEUED):
        await universe.rows(statement)

    sites = [row["site"] for row in await universe.builds()]
    assert sites == ["io", "mars", " io ", COMPOSED], "one keeps its name until its build ends"
    listed = (await universe.order("build.list"))["builds"]
    assert sorted(build["site"] for build in listed) == sorted(["io", "mars", "io", COMPOSED]), "all are shown alike"
    for site in ("io", " mars", DECOMPOSED):
        with pytest.raises(Refused) as caught:
            await universe.start(site)
        assert caught.value.code == "site_busy"
    assert [order["site"] for order in (await universe.order("build.queued"))["queued"]] == ["io"]
    for build in begun:
        await universe.order("build.cancel", build_id=build["id"])
    assert [row["state"] for row in await universe.builds()].count("cancelled") == 4
    assert str((await universe.builds())[-1]["id"]) == waiting["id"], "what waited has begun"
