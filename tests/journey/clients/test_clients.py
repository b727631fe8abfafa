"""Both client SDKs show the behaviours in scenarios.toml, against the real stack."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import pytest

from tests.journey.clients.agents import Agent, NodeAgent, PythonAgent
from tests.journey.clients.scenario import Play, scenarios
from tests.support.stack import Stack

SCENARIOS = scenarios()


@pytest.fixture(params=["python, token in a header", "python, token in a frame", "javascript"])
async def agent(request: pytest.FixtureRequest) -> AsyncGenerator[Agent]:
    agent: Agent
    match request.param:
        case "javascript":
            agent = await NodeAgent.start()
        case "python, token in a frame":
            agent = PythonAgent("frame")
        case _:
            agent = PythonAgent("header")
    yield agent
    await agent.stop()


@pytest.mark.parametrize("name", SCENARIOS)
async def test_clients_behave_as_the_table_says(name: str, agent: Agent, stack: Stack) -> None:
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(agent.stop)
        play = Play(agent, stack, cleanup)
        for number, step in enumerate(SCENARIOS[name], start=1):
            try:
                await play.step(step)
            except (AssertionError, KeyError) as error:
                raise AssertionError(f"step {number}, {step}: {error}") from error
