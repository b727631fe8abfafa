"""One face for every SDK: what a scenario may do with a client, and who does it."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Literal, Protocol

from starwake.client import (
    CommandError,
    Connected,
    Disconnected,
    Missed,
    NotAuthenticated,
    Position,
    Push,
    Refused,
    SessionEnded,
    SessionError,
    Starwake,
    Unanswered,
)
from tests.support.node import node_folder

Outcome = dict[str, Any]
MintToken = Callable[[], str]

HERE = Path(__file__).parent
ANSWER_S = 40.0
STOP_S = 5.0


class Agent(Protocol):
    """A client SDK at work. Sessions go by names; outcomes and events are plain JSON, alike for all.

    An outcome is {"result": ...} or {"error": code}; an event is {"push": ...}, {"notice": ...} or {"ended": code}.
    """

    async def open(self, name: str, url: str, mint: MintToken, resume: Outcome | None) -> Outcome: ...
    async def command(self, name: str, command: str, args: Outcome, command_id: str | None) -> Outcome: ...
    async def next(self, name: str, within_s: float) -> Outcome | None: ...
    async def position(self, name: str) -> Outcome: ...
    async def close(self, name: str) -> None: ...
    async def stop(self) -> None: ...


class PythonAgent:
    """starwake.client, in this process."""

    def __init__(self, auth: Literal["header", "frame"]) -> None:
        self._auth: Literal["header", "frame"] = auth
        self._players: dict[str, Starwake] = {}
        self._running: dict[str, AsyncExitStack] = {}

    async def open(self, name: str, url: str, mint: MintToken, resume: Outcome | None) -> Outcome:
        async def token() -> str:
            return mint()

        running = AsyncExitStack()
        session = Starwake.connect(
            url,
            token_provider=token,
            auth=self._auth,
            resume=None if resume is None else Position(**resume),
        )
        try:
            self._players[name] = await running.enter_async_context(session)
        except NotAuthenticated:
            return {"error": "not_authenticated"}
        self._running[name] = running
        return {"result": {}}

    async def command(self, name: str, command: str, args: Outcome, command_id: str | None) -> Outcome:
        try:
            return {"result": await self._players[name].command(command, args, id=command_id)}
        except Refused as error:
            return {"error": error.code}
        except Unanswered:
            return {"error": "timeout"}
        except CommandError:
            return {"error": "bad_request"}
        except SessionError:
            return {"error": "closed"}

    async def next(self, name: str, within_s: float) -> Outcome | None:
        try:
            async with asyncio.timeout(within_s):
                item = await anext(self._players[name].events(notices=True))
        except TimeoutError:
            return None
        except SessionEnded as error:
            return {"ended": error.code}
        match item:
            case Push():
                return {"push": item.event, "data": item.data, "feed": item.feed, "replayed": item.replayed}
            case Connected():
                return {"notice": "connected", "player": item.player, "recovered": item.recovered}
            case Disconnected():
                return {"notice": "disconnected"}
            case Missed():
                return {"notice": "missed"}

    async def position(self, name: str) -> Outcome:
        position = self._players[name].position
        assert position is not None
        return {"epoch": position.epoch, "seq": position.seq, "all": position.all, "at": position.at}

    async def close(self, name: str) -> None:
        await self._running.pop(name).aclose()

    async def stop(self) -> None:
        for name in list(self._running):
            await self.close(name)


class NodeAgent:
    """starwake.js, in a node process that is spoken to in lines of JSON (agent.mjs)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._asked: dict[int, asyncio.Future[Outcome]] = {}
        self._mints: dict[str, MintToken] = {}
        self._reader = asyncio.create_task(self._read(), name="node-agent")

    @classmethod
    async def start(cls) -> "NodeAgent":
        """Start the process."""
        process = await asyncio.create_subprocess_exec(
            *(str(node_folder() / "node"), str(HERE / "agent.mjs")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=4 * 1024 * 1024,
        )
        return cls(process)

    async def _ask(self, operation: str, **arguments: object) -> Any:  # noqa: ANN401 - whatever JSON holds
        number = len(self._asked)
        self._asked[number] = asyncio.get_running_loop().create_future()
        self._write({"n": number, "operation": operation, **arguments})
        async with asyncio.timeout(ANSWER_S):
            return (await self._asked[number])["value"]

    def _write(self, message: Outcome) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if "mint" in message:
                self._write({"token": self._mints[message["mint"]](), "ask": message["ask"]})
            else:
                self._asked[message["n"]].set_result(message)

    async def open(self, name: str, url: str, mint: MintToken, resume: Outcome | None) -> Outcome:
        self._mints[name] = mint
        return await self._ask("open", name=name, url=url, resume=resume)

    async def command(self, name: str, command: str, args: Outcome, command_id: str | None) -> Outcome:
        return await self._ask("command", name=name, command=command, args=args, id=command_id)

    async def next(self, name: str, within_s: float) -> Outcome | None:
        return await self._ask("next", name=name, within_s=within_s)

    async def position(self, name: str) -> Outcome:
        return await self._ask("position", name=name)

    async def close(self, name: str) -> None:
        await self._ask("close", name=name)

    async def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
        await self._reader
