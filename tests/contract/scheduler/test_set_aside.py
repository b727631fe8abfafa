"""Pushes that the stream could never take: operators see them, have them tried again, or drop them."""

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner, Result

from starwake.cli.errors import EXIT_USAGE, CliError
from starwake.cli.main import app
from tests.contract.scheduler.conftest import StartScheduler
from tests.contract.scheduler.universe import Universe
from tests.support.eventually import eventually
from tests.support.players import unique_player

PUSH: Final = '{"event":"a.b","at":"2026-11-22T10:00:00.000Z","data":{}}'


class Operator:
    """Somebody at a terminal that has the database's address."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def run(self, *words: str) -> Result:
        """`starwake set-aside ...`, in a thread since it runs a loop of its own."""
        argv = ["set-aside", *words, "--data", str(self._directory)]
        return await asyncio.to_thread(CliRunner().invoke, app, argv)

    async def json(self, *words: str) -> dict[str, Any]:
        """The same, for machines; it has to succeed."""
        result = await self.run(*words, "--json")
        assert result.exit_code == 0, result.output
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer

    async def refused(self, *words: str) -> CliError:
        """The same, refused."""
        error = (await self.run(*words)).exception
        assert isinstance(error, CliError)
        return error


@pytest.fixture
def operator(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Operator:
    monkeypatch.setenv("STARWAKE_DATABASE_URL", database_url)
    return Operator(tmp_path)


async def some_set_aside(universe: Universe, scheduler: StartScheduler, count: int) -> str:
    """Pushes of as many builds that are too large, and were found to be; whose they are."""
    player = unique_player()
    for _ in range(count):
        await universe.build(player, 600)
    await universe.sql("UPDATE outbox SET payload = $1 || repeat(' ', 1100000)", PUSH)
    await scheduler()

    async def are_set_aside() -> bool:
        rows = await universe.sql("SELECT set_aside FROM outbox")
        return len(rows) == count and all(row["set_aside"] for row in rows)

    await eventually(are_set_aside, within_s=20)
    return player


async def test_what_was_set_aside_is_listed_with_the_reason_and_told_once_it_is_tried_again(
    universe: Universe, scheduler: StartScheduler, operator: Operator
) -> None:
    assert await operator.json() == {"set_aside": 0, "pushes": []}
    player = await some_set_aside(universe, scheduler, 2)
    found = await operator.json("list")
    first, second = found["pushes"]
    assert found["set_aside"] == 2
    assert (first["player"], first["event"], first["bytes"]) == (player, "a.b", len(PUSH) + 1_100_000)
    assert "the server takes 1048576" in first["reason"]
    assert f"{first['id']:>8}" in (await operator.run()).stdout

    await universe.sql("UPDATE outbox SET payload = rtrim(payload)")  # as if the server took larger ones now
    assert await operator.json("retry", str(first["id"])) == {"action": "retry", "ids": [first["id"]]}

    async def told() -> bool:
        return await universe.events(player) == ["a.b"]

    await eventually(told, within_s=15)
    assert [push["id"] for push in (await operator.json())["pushes"]] == [second["id"]]
    assert await operator.json("retry", "--all") == {"action": "retry", "ids": [second["id"]]}

    async def all_told() -> bool:
        return await universe.events(player) == ["a.b"] * 2 and not await universe.sql("SELECT FROM outbox")

    await eventually(all_told, within_s=15)


async def test_what_is_dropped_is_gone_and_only_what_is_set_aside_can_be(
    universe: Universe, scheduler: StartScheduler, operator: Operator
) -> None:
    await some_set_aside(universe, scheduler, 2)
    first, second = [push["id"] for push in (await operator.json())["pushes"]]
    await universe.sql("UPDATE outbox SET set_aside = NULL, tell_at = now() + interval '1 h' WHERE id = $1", second)
    error = await operator.refused("drop", str(first), str(second))
    assert str(error) == f"not set aside: {second}; nothing was changed"
    assert len(await universe.sql("SELECT FROM outbox")) == 2
    assert await operator.json("drop", "--all") == {"action": "drop", "ids": [first]}
    assert [row["id"] for row in await universe.sql("SELECT id FROM outbox")] == [second]


@pytest.mark.parametrize("words", [("drop",), ("retry",), ("drop", "1", "--all"), ("list", "1"), ("list", "--all")])
async def test_without_saying_which_nothing_is_done(operator: Operator, words: tuple[str, ...]) -> None:
    error = await operator.refused(*words)
    assert error.exit_code == EXIT_USAGE
