"""A game whose own orders are bad: each costs itself, and not those that came with it."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from starwake.bus.connection import Bus
from starwake.bus.options import BusOptions
from starwake.bus.provision import provision
from tests.contract.command.universe import CATALOGUE, Refused, Universe
from tests.support.nats import LocalNats
from tests.support.service_process import ServiceProcess

GAME = '''
"""Orders as nobody should write them."""

import msgspec

from starwake.game import FollowUp, Name, Outcome, Player, Refusal, completion, order


class Where(msgspec.Struct):
    site: Name
    how: str = ""

    def __post_init__(self) -> None:
        if self.how == "unreadable":
            raise LookupError


@order("bad.refusal")
def refusal(args: Where, player: Player) -> Outcome:
    raise Refusal("out_of_luck", "no")


@order("bad.follow_up")
def follow_up(args: Where, player: Player) -> Outcome:
    return player.start("dock", args.site, [FollowUp("a.b", {"x": object()})])


@order("bad.nothing")
def nothing(args: Where, player: Player) -> Outcome:
    return None


@order("bad.row")
def row(args: Where, player: Player) -> Outcome:
    (started,) = player.start("dock", args.site).transitions
    return Outcome({}, (started._replace(build=msgspec.structs.replace(started.build, revision=2**40)),))


@order("away.start")
def elsewhere(args: Where, player: Player) -> Outcome:
    """On sites that are not in the arguments."""
    built = [player.start("dock", f"{args.site} {name}") for name in args.how.split()]
    return Outcome({"sites": len(built)}, tuple(each for outcome in built for each in outcome.transitions))


@order("away.own_row")
def own_row(args: Where, player: Player) -> Outcome:
    (started,) = player.start("dock", args.site).transitions
    return Outcome({}, (started._replace(build=msgspec.structs.replace(started.build, site="home")),))


@order("away.cancel", queue=True)
def cancel(args: Where, player: Player) -> Outcome:
    """A build that the arguments name by another word."""
    return player.cancel(args.how)


@order("bad.queue")
def queue(args: Where, player: Player) -> Outcome:
    return player.queue("dock", args.site)


@order("bad.twin")
def twin(args: Where, player: Player) -> Outcome:
    """The id of a build that stands in the table: only the table knows."""
    (started,) = player.start("dock", args.site).transitions
    return Outcome({}, (started._replace(build=msgspec.structs.replace(started.build, id=args.how)),))


@completion("spark")
def spark(build):
    return [{"event": "a.b"}]
'''

BAD = {"bad.refusal": "internal", "bad.follow_up": "internal", "bad.nothing": "internal", "bad.row": "internal"}


@pytest.fixture
async def bad_game(
    service_process: Callable[..., Awaitable[ServiceProcess]], fresh_nats: LocalNats, database_url: str, tmp_path: Path
) -> AsyncIterator[tuple[Universe, ServiceProcess]]:
    """The service with the bad orders, on a NATS of its own, and a player's view of it."""
    bus = await Bus.connect(BusOptions(url=fresh_nats.url, name="observer"))
    await provision(bus, 1)
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "bad.py").write_text(GAME)
    (tmp_path / "catalogue.toml").write_text(CATALOGUE)
    service = await service_process(
        "command",
        STARWAKE_DATABASE_URL=database_url,
        STARWAKE_NATS_URL=fresh_nats.url,
        STARWAKE_CATALOGUE=str(tmp_path / "catalogue.toml"),
        STARWAKE_ORDERS=str(tmp_path / "orders"),
    )
    async with Universe.over(bus, database_url) as universe:
        yield universe, service
    await bus.close()


async def outcome(universe: Universe, player: str, command: str, **args: Any) -> str:  # noqa: ANN401 - as JSON
    try:
        await universe.order(command, player=player, **args)
    except Refused as refused:
        return refused.code
    return "accepted"


async def test_bad_orders_cost_themselves_and_not_their_batch(bad_game: tuple[Universe, ServiceProcess]) -> None:
    universe, service = bad_game
    before = len(service.log())
    good = [outcome(universe, f"good-{n}", "build.start", kind="dock", site="luna-1") for n in range(300)]
    bad = [outcome(universe, f"bad-{n}", list(BAD)[n % 4], site="luna-1") for n in range(280)]
    bad += [outcome(universe, f"bad-{n}", "build.start", kind="spark", site="luna-1") for n in range(280, 300)]
    mixed = [each for pair in zip(good, bad, strict=True) for each in pair]
    outcomes = await asyncio.gather(*mixed)
    assert Counter(outcomes[::2]) == {"accepted": 300}
    assert Counter(outcomes[1::2]) == {"internal": 300}
    assert len(await universe.rows("SELECT FROM build")) == 300
    lines = [json.loads(line) for line in service.log()[before:].splitlines() if line.startswith("{")]
    failed = Counter(line["command"] for line in lines if line.get("event") == "rule.failed")
    assert set(failed) == {*BAD, "build.start"}
    assert max(failed.values()) <= 6, "a few tracebacks, then a count"


async def test_what_only_the_table_can_refuse_is_found_among_its_neighbours(
    bad_game: tuple[Universe, ServiceProcess],
) -> None:
    universe, _ = bad_game
    standing = await universe.start("io-1")
    good = [outcome(universe, f"good-{n}", "build.start", kind="dock", site="luna-1") for n in range(60)]
    bad = [outcome(universe, "eve", "bad.twin", site="luna-1", how=standing["id"])]
    outcomes = await asyncio.gather(*good[:30], *bad, *good[30:])
    assert outcomes.pop(30) != "accepted"
    assert Counter(outcomes) == {"accepted": 60}


async def test_arguments_that_raise_while_they_are_read_are_answered(bad_game: tuple[Universe, ServiceProcess]) -> None:
    universe, _ = bad_game
    assert await outcome(universe, "eve", "bad.nothing", site="luna-1", how="unreadable") == "internal"
    assert await outcome(universe, f"eve-{uuid4().hex}", "build.start", kind="dock", site="luna-1") == "accepted"


async def test_whatever_a_player_sends_costs_no_traceback(bad_game: tuple[Universe, ServiceProcess]) -> None:
    universe, service = bad_game
    build = (await universe.start("io-1"))["id"]
    for command, args in (
        ("build.cancel", {"build_id": build + "\n"}),
        ("build.unqueue", {"build_id": build.upper()}),
        ("build.list", {"after": build + "\n"}),
        ("build.reschedule", {"build_id": build, "due_at": "0001-01-01T00:00:00+23:59"}),
        ("build.reschedule", {"build_id": build, "due_at": "9999-12-31T23:59:59.999999-23:59"}),
        ("build.reschedule", {"build_id": build, "due_at": "\0"}),
        ("build.reschedule", {"build_id": build, "factor": 1e308}),
        ("build.reschedule", {"build_id": build, "factor": 1000}),
        ("build.reschedule", {"build_id": build, "factor": -0.1}),
        ("build.start", {"kind": "dock\n", "site": "x"}),
        ("build.start", {"kind": "dock", "site": "\u2028"}),
        ("bad.twin", {"site": "\x1f"}),
    ):
        assert await outcome(universe, universe.player, command, **args) in (
            "bad_request",
            "unknown_kind",
            "not_found",
            "forbidden",
        ), (command, args)
    assert "Traceback" not in service.log()


async def test_a_rule_may_build_on_sites_that_are_not_in_its_arguments(
    bad_game: tuple[Universe, ServiceProcess],
) -> None:
    universe, service = bad_game
    await universe.order("away.start", site="io", how="north south")
    assert [row["site"] for row in await universe.builds()] == ["io north", "io south"]
    # Among each other and among ordinary orders, on sites that are busy and on free ones.
    away = [outcome(universe, universe.player, "away.start", site="io", how=how) for how in ("south", "west", "west")]
    plain = [outcome(universe, f"p-{n}", "build.start", kind="dock", site="luna-1") for n in range(20)]
    outcomes = await asyncio.gather(*away, *plain, outcome(universe, "ada", "away.own_row", site="mars"))
    assert Counter(outcomes[:3]) == {"site_busy": 2, "accepted": 1}
    assert Counter(outcomes[3:]) == {"accepted": 21}
    assert await outcome(universe, "ada", "away.own_row", site="mars") == "internal", "home is busy"
    assert await outcome(universe, universe.player, "away.start", site="io", how="a\x07") == "bad_request"
    assert "order.conflicts" not in service.log()


async def test_a_rule_may_change_a_build_that_is_not_in_its_arguments(
    bad_game: tuple[Universe, ServiceProcess],
) -> None:
    universe, _ = bad_game
    build = (await universe.start("io-1"))["id"]
    assert await outcome(universe, "eve", "away.cancel", site="x", how=build) == "not_found"
    assert await outcome(universe, universe.player, "away.cancel", site="x", how=build) == "accepted"
    assert await outcome(universe, universe.player, "away.cancel", site="x", how=build) == "not_building"
    assert await outcome(universe, universe.player, "away.cancel", site="x", how="none") == "not_found"


async def test_what_a_rule_should_have_declared_is_said_to_its_developer(
    bad_game: tuple[Universe, ServiceProcess],
) -> None:
    universe, service = bad_game
    assert await outcome(universe, "eve", "bad.queue", site="io-1") == "internal"
    assert "does not say queue=True" in service.log()
    many = " ".join(str(number) for number in range(9))
    assert await outcome(universe, "eve", "away.start", site="io-1", how=many) == "internal"
    assert "which is not in its arguments" in service.log()
