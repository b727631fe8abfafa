"""The whole embedded stack, started as a player of the house would start it: `starwake up`."""

import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypedDict, cast

import jwt

from starwake.cli.embedded.ports import is_free
from starwake.cli.embedded.process import Child, Launch, start
from tests.support.eventually import eventually

_START_SECONDS = 60.0


def players_port() -> int:
    """A free port whose next neighbour is free too (a second gateway's).

    Below the ephemeral range (net.ipv4.ip_local_port_range begins at 32768): there, any outgoing connection of a
    test beside this one may take it while the stack starts, or between its stop and its next start.
    """
    while True:
        port = secrets.choice(range(15_000, 32_000, 2))
        if is_free(port) and is_free(port + 1):
            return port


class Part(TypedDict):
    """One part of the running stack, as `starwake status --json` tells it."""

    name: str
    pid: int
    url: str
    healthy: bool
    since: str


class Stack:
    """A running `starwake up`.

    `url` is the page's address, `ws_url` the players' socket; `data` is the directory with state, logs and stores.
    """

    def __init__(
        self, directory: Path, *options: str, port: int | None = None, env: dict[str, str] | None = None
    ) -> None:
        self.port = port or players_port()
        self.data = directory / "data"
        self.output_file = directory / "up.log"
        self._options = options
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("STARWAKE_")}
        self._env = {**inherited, **(env or {})}
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        """The players' socket."""
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def pid(self) -> int:
        """Of `up` itself."""
        assert self._child is not None
        return self._child.pid

    @property
    def started(self) -> bool:
        """Whether it was ever started; it may have ended since."""
        return self._child is not None

    @property
    def exit_code(self) -> int | None:
        """Of `up` itself, None while it runs."""
        return None if self._child is None else self._child.exit_code

    async def start(self, *, until_healthy: bool = True) -> "Stack":
        """Start it (again, on the same data) and wait until every part is healthy."""
        self._child = await start(
            Launch(
                name="up",
                argv=(
                    *(sys.executable, "-m", "starwake.cli.main", "up"),
                    *("--port", str(self.port), "--data", str(self.data), *self._options),
                ),
                log=self.output_file,
                env=self._env,
                orphan_signal=signal.SIGTERM,
            )
        )
        if until_healthy:
            await eventually(self.is_healthy, within_s=_START_SECONDS, every_s=0.1)
        return self

    async def is_healthy(self) -> bool:
        """Whether every part says that it is; fails at once where `up` has ended."""
        if self.exit_code is not None:
            raise RuntimeError(f"starwake up ended with {self.exit_code}:\n{self.output()}")
        if not (self.data / "stack.json").exists() or self.state()["supervisor"]["pid"] != self.pid:
            return False
        parts = await self.status()
        return bool(parts) and all(part["healthy"] for part in parts)

    def state(self) -> dict[str, Any]:
        """What `up` wrote about itself: pids, addresses, secrets."""
        return cast("dict[str, Any]", json.loads((self.data / "stack.json").read_text()))

    async def status(self) -> list[Part]:
        """The parts as `starwake status --json` prints them."""
        from starwake.cli.status import part_states  # noqa: PLC0415 - what the command itself calls

        return [cast("Part", part.as_json()) for part in await part_states(self.data)]

    async def part(self, name: str) -> Part:
        """One part by its name."""
        return next(part for part in await self.status() if part["name"] == name)

    async def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send one part a signal, `kill -9` by default; the pid that it went to."""
        pid = (await self.part(name))["pid"]
        os.kill(pid, number)
        return pid

    async def killed_and_back(self, name: str, within_s: float = 30.0) -> None:
        """`kill -9` one part and wait until `up` has a new one that is healthy."""
        old = await self.kill(name)

        async def back() -> bool:
            part = await self.part(name)
            return part["pid"] != old and part["healthy"]

        await eventually(back, within_s=within_s, every_s=0.1)

    def token(self, player: str, ttl_s: float = 3600.0) -> str:
        """A token for this player, signed with the stack's own secret."""
        now = datetime.now(UTC)
        claims = {"sub": player, "iat": now.timestamp(), "exp": now + timedelta(seconds=ttl_s)}
        return jwt.encode(claims, self.state()["secrets"]["jwt_secret"], algorithm="HS256")

    def run(self, *arguments: str) -> Sequence[str]:
        """The words of a CLI command that speaks to this stack, for a subprocess."""
        return (sys.executable, "-m", "starwake.cli.main", *arguments, "--data", str(self.data))

    def output(self) -> str:
        """What `up` printed so far."""
        return self.output_file.read_text() if self.output_file.exists() else ""

    async def stop(self, within_s: float = 30.0) -> int:
        """SIGTERM, and wait for its end; the exit code."""
        assert self._child is not None
        await self._child.stop(within=within_s)
        return await self._child.wait()

    async def kill_up(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Kill `up` itself."""
        assert self._child is not None
        self._child.send(number)
        await self._child.wait()
