"""What a gateway, an operator and somebody who looks into the table and the streams see of the command service."""

import json
from base64 import b64decode
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast
from uuid import uuid4

from starwake.bus.connection import Bus
from starwake.bus.errors import JetStreamError
from starwake.bus.feed import StoredPush, read_pushes
from starwake.bus.headers import Headers
from starwake.bus.jetstream import ask
from starwake.bus.message import Message
from starwake.contracts import subjects
from starwake.contracts.ids import PlayerId
from tests.support.asking import ask as ask_as_gateway
from tests.support.players import unique_player
from tests.support.postgres import Connection, connect

_NOT_FOUND = 404

CATALOGUE = """
[limits]
builds_at_once = 5
queued_per_site = 2
queued_per_player = 3

[kinds.dock]
title = "Dock"
duration = "15m"
reschedule = { min_factor = 0.0, max_factor = 4 }

[kinds.spark]
title = "Spark"
duration = "0.4s"

[kinds.survey]
title = "Survey"
duration = "45m"

[kinds.mine]
title = "Ore mine"
duration = "30m"
requires = ["dock"]
"""


class Refused(AssertionError):  # noqa: N818 - as in libs/contracts/starwake/contracts/reasons.py
    """The service answered with an error."""

    def __init__(self, code: str, message: str, headers: Mapping[str, str]) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.headers = headers


@dataclass(frozen=True)
class Stored:
    """A message in a stream."""

    subject: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True)
class Universe:
    """One player, and the view behind the scenes."""

    bus: Bus
    database: Connection
    player: PlayerId

    @classmethod
    @asynccontextmanager
    async def over(cls, bus: Bus, database_url: str) -> "AsyncGenerator[Universe, None]":
        """The view over this bus and database, as a player whom no other test has."""
        connection = await connect(database_url)
        try:
            yield cls(bus, connection, PlayerId(unique_player()))
        finally:
            await connection.close()

    async def order(
        self,
        command: str,
        *,
        command_id: str | None = None,
        player: str | None = None,
        headers: Mapping[str, str] | None = None,
        **args: Any,  # noqa: ANN401 - the arguments, as JSON
    ) -> dict[str, Any]:
        """What a gateway does with a player's frame; the result.

        Raises:
            Refused: the service answered with an error.
        """
        frame = json.dumps({"id": command_id or uuid4().hex, "command": command, "args": args}).encode()
        return await self.send(subjects.command(PlayerId(player or self.player), command), frame, headers)

    async def send(self, subject: str, body: bytes, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Any bytes to any subject; the result.

        Raises:
            Refused: the service answered with an error.
        """
        return result_of(await ask_as_gateway(self.bus, subject, body, timeout_s=10, headers=headers))

    async def start(self, site: str = "luna-1", kind: str = "dock", **more: Any) -> dict[str, Any]:  # noqa: ANN401 - passed on
        """`build.start`; the build."""
        return (await self.order("build.start", kind=kind, site=site, **more))["build"]

    async def rows(self, query: str, *args: object) -> list[dict[str, Any]]:
        """What the table holds."""
        return cast("list[dict[str, Any]]", await self.database.fetch(query, *args))

    async def builds(self) -> list[dict[str, Any]]:
        """The player's rows, oldest first."""
        return await self.rows("SELECT * FROM build WHERE player = $1 ORDER BY id", self.player)

    async def pushes(self, player: str | None = None) -> list[StoredPush]:
        """The player's feed."""
        return await read_pushes(self.bus, PlayerId(player or self.player), 0)

    async def events(self) -> list[str]:
        """The events in the player's feed."""
        return [json.loads(push.body)["event"] for push in await self.pushes()]

    async def alarm(self, subject: str) -> Stored | None:
        """The message on a subject of TIMERS."""
        try:
            found = (await ask(self.bus, "STREAM.MSG.GET.TIMERS", {"last_by_subj": subject}))["message"]
        except JetStreamError as error:
            if error.code == _NOT_FOUND:
                return None
            raise
        return Stored(subject, Headers(b64decode(found.get("hdrs", ""))), b64decode(found.get("data", "")))


def result_of(message: Message) -> dict[str, Any]:
    """The result in an answer.

    Raises:
        Refused: it is an error.
    """
    body = json.loads(message.payload)
    if "error" in body:
        raise Refused(body["error"]["code"], body["error"]["message"], dict(message.headers))
    assert not message.raw_headers
    return body["result"]
