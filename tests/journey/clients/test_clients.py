"""Both client SDKs show the behaviours in scenarios.toml, against the real stack.

Scenarios wait more than they work, and each has players of its own: all that were selected run side by side, and
each test waits for its one. Those that disturb others (`alone`) run when the rest is through.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.journey.clients.agents import Agent, NodeAgent, PythonAgent
from tests.journey.clients.scenario import Play, scenarios
from tests.support.stack import Stack

SCENARIOS = scenarios()
AT_ONCE = 6

Case = tuple[str, str]


def cases() -> list[Case]:
    """Every scenario with both SDKs, and those in which a token is handed over with Python's other way, too."""
    both = [(name, kind) for name in SCENARIOS for kind in ("python", "javascript")]
    return both + [(name, "python, token in a frame") for name, one in SCENARIOS.items() if one.about_tokens]


async def start_agent(kind: str) -> Agent:
    if kind == "javascript":
        return await NodeAgent.start()
    return PythonAgent("header" if kind == "python" else "frame")


async def play(case: Case, stack: Stack) -> None:
    name, kind = case
    async with AsyncExitStack() as cleanup:
        agent = await start_agent(kind)
        cleanup.push_async_callback(agent.stop)
        played = Play(agent, stack, cleanup)
        for number, step in enumerate(SCENARIOS[name].steps, start=1):
            try:
                await played.step(step)
            except (AssertionError, KeyError) as error:
                raise AssertionError(f"step {number}, {step}: {error}") from error


@pytest.fixture(scope="session")
async def outcome(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Callable[[Case], Awaitable[None]]]:
    """Waits for one case of those that were selected; they all run from the first test on."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def side_by_side(case: Case) -> None:
        async with gate:
            await play(case, stack)

    selected = {item.name for item in request.session.items}
    running = {
        case: asyncio.create_task(side_by_side(case))
        for case in cases()
        if not is_alone(case) and f"{test_clients_behave_as_the_table_says.__name__}[{'-'.join(case)}]" in selected
    }

    async def finished(case: Case) -> None:
        if is_alone(case):
            await asyncio.gather(*running.values(), return_exceptions=True)
            await play(case, stack)
        else:
            await running[case]

    yield finished
    for task in running.values():
        task.cancel()
    await asyncio.gather(*running.values(), return_exceptions=True)


def is_alone(case: Case) -> bool:
    return SCENARIOS[case[0]].alone


@pytest.mark.parametrize("case", cases(), ids="-".join)
async def test_clients_behave_as_the_table_says(case: Case, outcome: Callable[[Case], Awaitable[None]]) -> None:
    await outcome(case)
