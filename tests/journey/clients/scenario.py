"""Reads the table of scenarios and plays one with a client SDK."""

import asyncio
import tomllib
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, cast

from tests.journey.clients.agents import HERE, Agent, Outcome
from tests.journey.clients.network import Mode, Relay
from tests.support.players import unique_player
from tests.support.stack import Stack

WITHIN_S = 20.0
"""How long anything that is expected may take."""

QUIET_S = 0.4
"""How long nothing must come, where nothing is expected."""

OPERATOR_S = 30.0

Step = dict[str, Any]


@dataclass(frozen=True)
class Scenario:
    """An entry of the table; its head says what the flags mean."""

    steps: list[Step]
    about_tokens: bool = False
    alone: bool = False


def scenarios() -> dict[str, Scenario]:
    """The table, by the scenarios' names."""
    table = tomllib.loads((HERE / "scenarios.toml").read_text())
    return {one.pop("name"): Scenario(**one) for one in table["scenario"]}


class Values:
    """What "$name" stands for in one scenario."""

    def __init__(self) -> None:
        self._bound: dict[str, object] = {"$player": unique_player(), "$other": unique_player()}

    def bind(self, name: str, value: object) -> None:
        """Let `name` stand for `value`."""
        self._bound[name] = value

    def given(self, template: object) -> Any:  # noqa: ANN401 - JSON in, JSON out
        """`template` with every name replaced by what it stands for."""
        match template:
            case str() if template.startswith("$"):
                return self._bound[template]
            case str() if template.startswith("%"):
                return "x" * int(template[1:])
            case dict():
                pairs = cast("dict[str, object]", template)
                return {key: self.given(value) for key, value in pairs.items()}
            case list():
                return [self.given(value) for value in cast("list[object]", template)]
            case _:
                return template

    def difference(self, expected: object, found: object, path: str = "") -> str | None:
        """Where `found` differs from what is expected of it, or None; names are bound at their first use."""
        match expected:
            case dict():
                return self._difference_in_object(cast("dict[str, object]", expected), found, path)
            case list():
                return self._difference_in_list(cast("list[object]", expected), found, path)
            case "*":
                return f"{path} is null" if found is None else None
            case "":
                return None if found is None else f"{path} is {found!r}, not null"
            case str() if expected.startswith("$"):
                wanted = self._bound.setdefault(expected, found)
                return None if found is not None and found == wanted else f"{path} is {found!r}, not {wanted!r}"
            case _:
                return None if found == expected else f"{path} is {found!r}, not {expected!r}"

    def _difference_in_object(self, expected: dict[str, object], found: object, path: str) -> str | None:
        if not isinstance(found, dict):
            return f"{path} is {found!r}, not an object"
        fields = cast("dict[str, object]", found)
        different = (self.difference(value, fields.get(key), f"{path}.{key}") for key, value in expected.items())
        return next((one for one in different if one), None)

    def _difference_in_list(self, expected: list[object], found: object, path: str) -> str | None:
        items = cast("list[object]", found) if isinstance(found, list) else []
        if len(items) < len(expected):
            return f"{path} has {len(items)} elements, not {len(expected)}"
        pairs = zip(expected, items, strict=False)
        different = (self.difference(one, item, f"{path}[{place}]") for place, (one, item) in enumerate(pairs))
        return next((one for one in different if one), None)


class Play:
    """One scenario with one SDK."""

    def __init__(self, agent: Agent, stack: Stack, cleanup: AsyncExitStack) -> None:
        self._agent = agent
        self._stack = stack
        self._cleanup = cleanup
        self._values = Values()
        self._relays: dict[str, Relay] = {}
        self._tokens_asked: dict[str, int] = {}
        self._begun: dict[str, asyncio.Task[Outcome]] = {}

    async def step(self, step: Step) -> None:
        """Play one step; fails where something else comes than is expected."""
        match step:
            case {"open": name}:
                await self._open(name, step)
            case {"close": name}:
                await self._agent.close(name)
            case {"line": word}:
                for relay in self._relays.values():
                    relay.set(Mode(word))
            case {"operator": words}:
                await self._operate(self._values.given(words))
            case {"kill": part}:
                await self._stack.killed_and_back(part)
            case {"elapse_s": seconds}:
                await asyncio.sleep(seconds)
            case {"on": name}:
                await self._on(name, step)
            case _:
                raise AssertionError(f"no such step: {step}")

    async def _open(self, name: str, step: Step) -> None:
        player = self._values.given(step.get("as", "$player"))
        self._tokens_asked[name] = 0

        def mint() -> str:
            self._tokens_asked[name] += 1
            return step.get("token") or self._stack.token(player, step.get("token_life_s", 3600.0))

        url = self._stack.ws_url
        if not step.get("direct"):
            self._relays[name] = await self._cleanup.enter_async_context(Relay(url).running())
            url = self._relays[name].url
        outcome = await self._agent.open(name, url, mint, self._values.given(step.get("resume")))
        assert outcome == ({"error": step["fails"]} if "fails" in step else {"result": {}})

    async def _operate(self, words: list[str]) -> None:
        process = await asyncio.create_subprocess_exec(
            *self._stack.run(*words), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(OPERATOR_S):
            output, _ = await process.communicate()
        assert process.returncode == 0, output.decode()

    async def _on(self, name: str, step: Step) -> None:
        match step:
            case {"command": _}:
                calls = [self._command(name, step["command"], step) for _ in range(step.get("times", 1))]
                for outcome in await asyncio.gather(*calls):
                    self._compare_outcome(step, outcome)
            case {"begin": command}:
                self._begun[step["as"]] = asyncio.create_task(self._command(name, command, step))
            case {"finish": call}:
                self._compare_outcome(step, await self._begun[call])
            case {"keep": position}:
                # Asking for the next says that the one before was handled.
                assert await self._agent.next(name, 0.05) is None
                self._values.bind(position, await self._agent.position(name))
            case {"tokens_asked": count}:
                assert self._tokens_asked[name] == count, f"{self._tokens_asked[name]} tokens were asked for"
            case {"lines": count}:
                assert self._relays[name].connections == count, f"{self._relays[name].connections} connections"
            case _:
                await self._expect_event(name, step)

    async def _command(self, name: str, command: str, step: Step) -> Outcome:
        return await self._agent.command(name, command, self._values.given(step.get("args", {})), step.get("id"))

    def _compare_outcome(self, step: Step, outcome: Outcome) -> None:
        expected = {key: step[key] for key in ("result", "error") if key in step}
        difference = self._values.difference(expected, outcome)
        assert difference is None, f"{difference} in {outcome}"

    async def _expect_event(self, name: str, step: Step) -> None:
        expected = {key: value for key, value in step.items() if key != "on"}
        if "quiet" in expected:
            found = await self._next(name, QUIET_S, passing="notice")
            assert found is None, f"not quiet: {found}"
            return
        # News of the line may come between pushes, and other news before the one that is waited for.
        found = await self._next(name, WITHIN_S, passing="notice", unless=expected.get("notice"))
        difference = self._values.difference(expected, found)
        assert difference is None, f"{difference} in {found}"

    async def _next(self, name: str, within_s: float, passing: str, unless: str | None = None) -> Outcome | None:
        while True:
            event = await self._agent.next(name, within_s)
            if event is None or passing not in event or event[passing] == unless:
                return event
