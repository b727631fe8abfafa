"""All scenarios, in the order in which they run."""

from tests.bench.harness.scenario import Scenario
from tests.bench.scenarios import builds, crowds, growth, masses, messages, resumes

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        *(messages.ECHO, messages.COMMAND, messages.PUSHES, messages.BURST, builds.ORDERS, *builds.LATENESS),
        *(masses.HERD, crowds.STORM, resumes.WIDE, resumes.DEEP, crowds.CROWD, builds.EVENING, growth.GROWTH),
        *(masses.BACKLOG, masses.MILLION),
    )
}
